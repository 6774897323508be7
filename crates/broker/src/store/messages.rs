//! Messages that are read back from the log. It blocks on the disk: the reader's, and no worker's.

use commitlog::{Log, Position, ReadError, Record};

use super::record::{self, kind};
use crate::message::Message;

#[derive(Clone)]
pub(crate) struct Messages(Log);

/// A message that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the record at {position} is no message: {what}")]
    NotAMessage { position: Position, what: &'static str },
}

impl Messages {
    pub(crate) fn new(log: Log) -> Self {
        Self(log)
    }

    /// The record as it is, to be carried.
    pub(crate) fn read_record(&self, name: Position) -> Result<Record, ReadError> {
        self.0.read(name)
    }

    pub(crate) fn read(&self, position: Position) -> Result<Message, MessageError> {
        let record = self.0.read(position)?;
        if record.kind != kind::MESSAGE {
            return Err(MessageError::NotAMessage { position, what: "it is of another kind" });
        }
        record::decode_message(&record.payload).map_err(|error| MessageError::NotAMessage { position, what: error.0 })
    }
}
