//! The entries of one inbox while the log is replayed. A start holds all inboxes of the broker like this, so an entry is small.

use commitlog::Position;

use crate::message::Collapse;
use crate::messages_by_id::{MessageSize, MessagesById};

/// By the positions of their messages.
pub(crate) type RecoveredEntries = MessagesById<Position, RecoveredEntry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredEntry {
    pub(crate) size: u32,
    pub(crate) expires_at_ms: u64,
    pub(crate) urgent: bool,
    pub(crate) collapse: Option<Box<Collapse>>,
    pub(crate) subscription_ids: Box<[u32]>,
}

const _: () = assert!(size_of::<(Position, RecoveredEntry)>() <= 48, "every message that waits costs this at a start");

impl MessageSize for RecoveredEntry {
    fn size(&self) -> u32 {
        self.size
    }
}
