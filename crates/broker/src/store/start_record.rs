//! The record of this start. A full log may refuse it; then it is tried again, and nothing of a connection of this run is
//! logged before it: a replay ends with it all that was open before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use commitlog::{AppendError, Need, Position};

use super::journal::{Batch, Journal};

/// The log has it, or there is none.
const LOGGED: u64 = 0;

#[derive(Default)]
pub(super) struct StartRecord {
    /// When the broker started, until the log has taken that.
    owed_ms: AtomicU64,
    /// One worker at a time tries.
    trying: Mutex<()>,
    /// Where it ends in the log.
    end: AtomicU64,
}

impl StartRecord {
    fn trying(&self) -> MutexGuard<'_, ()> {
        self.trying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_logged(&self) -> bool {
        self.owed_ms.load(Ordering::Acquire) == LOGGED
    }
}

impl Journal {
    /// Logs that the broker starts now. Returns where that is durable.
    ///
    /// # Errors
    /// The log does not take it; [`Self::log_start`] tries again.
    pub(crate) fn begin_start(&self, now_ms: u64) -> Result<Position, AppendError> {
        self.start().owed_ms.store(now_ms.max(1), Ordering::Release);
        self.log_start(now_ms)?;
        Ok(Position(self.start().end.load(Ordering::Acquire)))
    }

    /// Logs the start, unless the log has it. To be called before the first record of a connection.
    ///
    /// # Errors
    /// The log does not take it.
    pub(crate) fn log_start(&self, now_ms: u64) -> Result<(), AppendError> {
        let start = self.start();
        if start.is_logged() {
            return Ok(());
        }
        let _trying = start.trying();
        let at_ms = start.owed_ms.load(Ordering::Acquire);
        if at_ms == LOGGED {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.started(at_ms);
        if now_ms > at_ms {
            batch.latest_time(now_ms);
        }
        let appended = self.append(&batch, Need::Essential)?;
        start.end.store(appended.end.0, Ordering::Release);
        start.owed_ms.store(LOGGED, Ordering::Release);
        Ok(())
    }

    /// What is handed out before that and forgotten by a power cut may be known, and the next start does not know that.
    pub(crate) fn is_start_durable(&self) -> bool {
        self.start().is_logged() && self.start().end.load(Ordering::Acquire) <= self.durable().0
    }
}
