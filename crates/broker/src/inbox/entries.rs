//! The entries of one inbox, and what it keeps of each.

use super::{Entry, EntryId};
use crate::message::SharedMessage;
use crate::messages_by_id::{MessageSize, MessagesById};

pub(super) type Entries = MessagesById<EntryId, Kept>;

/// What an inbox keeps of an [`Entry`]: the collapse keys know what it collapses.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The earlier of the message's own expiry and the end of the retention.
    pub(super) expires_at_ms: u64,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Logged { size: u32, urgent: bool },
    Volatile { size: u32, urgent: bool, message: SharedMessage },
    WithSubscriptionIds { size: u32, urgent: bool, rare: Box<Rare> },
}

#[derive(Clone, Debug)]
struct Rare {
    message: Option<SharedMessage>,
    subscription_ids: Box<[u32]>,
}

const _: () = assert!(size_of::<(EntryId, Kept)>() == 32, "every message that waits costs this");
const _: () = assert!(size_of::<Entries>() == 32, "every inbox costs this");

impl MessageSize for Kept {
    fn size(&self) -> u32 {
        match self.form {
            Form::Logged { size, .. } | Form::Volatile { size, .. } | Form::WithSubscriptionIds { size, .. } => size,
        }
    }
}

impl Kept {
    /// As its line in the session says, too.
    pub(super) fn is_urgent(&self) -> bool {
        match self.form {
            Form::Logged { urgent, .. } | Form::Volatile { urgent, .. } | Form::WithSubscriptionIds { urgent, .. } => {
                urgent
            }
        }
    }

    /// Of an entry that lives in memory only.
    pub(super) fn message(&self) -> Option<&SharedMessage> {
        match &self.form {
            Form::Logged { .. } => None,
            Form::Volatile { message, .. } => Some(message),
            Form::WithSubscriptionIds { rare, .. } => rare.message.as_ref(),
        }
    }

    pub(super) fn subscription_ids(&self) -> &[u32] {
        match &self.form {
            Form::Logged { .. } | Form::Volatile { .. } => &[],
            Form::WithSubscriptionIds { rare, .. } => &rare.subscription_ids,
        }
    }
}

impl From<Entry> for Kept {
    fn from(entry: Entry) -> Self {
        let Entry { message, size, expires_at_ms, subscription_ids, urgent, .. } = entry;
        let form = match message {
            message if !subscription_ids.is_empty() => {
                Form::WithSubscriptionIds { size, urgent, rare: Box::new(Rare { message, subscription_ids }) }
            }
            Some(message) => Form::Volatile { size, urgent, message },
            None => Form::Logged { size, urgent },
        };
        Self { expires_at_ms, form }
    }
}
