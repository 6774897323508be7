//! Answers that are kept with the changes that they tell of, so that a request whose answer was lost can be sent again.
//!
//! A caller names its request by an idempotency key. The answer is written in the transaction of the change: after a crash
//! there are both or none. What it says is sealed by the caller of this trait; the catalog does not read it.

use crate::limits::ANSWER_KEEP_MS;
use crate::{Applied, ApplyError, CatalogFuture, Order};
use std::fmt;

/// Answers to requests with an idempotency key.
pub trait Answers: Send + Sync {
    /// As [`Audit::apply`](crate::Audit::apply), and keeps the answer in the same transaction, also where the change finds all
    /// as it is wished. A refused change keeps none.
    ///
    /// # Errors
    /// [`ApplyError::Answered`]: there is an answer under this key already, and nothing was changed.
    fn apply_and_keep(&self, order: Order, answer: Answer) -> CatalogFuture<'_, Applied, ApplyError>;
    /// The answer under this key, for as long as [`Answer::is_kept_at`] says.
    fn answer(&self, to: &AnswerKey, now_ms: u64) -> CatalogFuture<'_, Option<Answer>>;
}

/// Which request of which caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    /// As [`Actor`](crate::Actor) is written. The answers to a key go with it.
    pub caller: String,
    /// A digest of what the caller sent: only that text opens the answer.
    pub idempotency_key: String,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub to: AnswerKey,
    /// A digest of what was asked.
    pub request: Vec<u8>,
    pub status: u16,
    pub sealed: Vec<u8>,
    pub created_at_ms: u64,
}

impl Answer {
    #[must_use]
    pub const fn is_kept_at(&self, now_ms: u64) -> bool {
        self.created_at_ms.saturating_add(ANSWER_KEEP_MS) >= now_ms
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("to", &self.to).field("status", &self.status).finish_non_exhaustive()
    }
}
