//! The recovery of the engine: the log is replayed into it, then it starts.

use std::sync::{Arc, Mutex};

use commitlog::{Log, ReplayedRecord};
use thiserror::Error;
use tokio::time::Instant;

use super::state::State;
use super::{Engine, EngineOptions, Inner};
use crate::core::Core;
use crate::ids::{GroupId, SubscriptionId, TopicId};
use crate::names::{GroupName, TopicName};
use crate::records::{
    Unreadable, decode_acks, decode_group, decode_hand_outs, decode_index_entry, decode_name, decode_topic_id, kind,
    owns,
};

/// An engine that takes the log's records and does not serve yet.
pub struct Recovery {
    core: Core,
    options: EngineOptions,
}

/// A record of the queue that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("queue record of kind {kind:#04x} at log position {position}: {what}: was it written by a newer version?")]
pub struct RecoverError {
    pub kind: u8,
    pub position: u64,
    pub what: &'static str,
}

impl Recovery {
    pub(super) fn new(options: EngineOptions) -> Self {
        Self { core: Core::default(), options }
    }

    /// Applies a record of a kind that the queue [`owns`]; ignores all others.
    ///
    /// # Errors
    /// A record of the queue that this version cannot read.
    pub fn apply(&mut self, record: ReplayedRecord<'_>) -> Result<(), RecoverError> {
        let (kind, position) = (record.kind, record.position.0);
        self.try_apply(record).map_err(|what| RecoverError { kind, position, what })
    }

    fn try_apply(&mut self, record: ReplayedRecord<'_>) -> Result<(), Unreadable> {
        let ReplayedRecord { kind, owner, position, payload } = record;
        match kind {
            kind::TOPIC => {
                let name = TopicName::parse(decode_name(payload)?).map_err(|_| NO_NAME)?;
                self.core.add_topic(TopicId::from(position), name);
            }
            kind::GROUP => {
                let (options, name) = decode_group(payload)?;
                self.core.set_group(position.into(), GroupName::parse(name).map_err(|_| NO_NAME)?, options);
            }
            kind::SUBSCRIPTION => {
                let topic = decode_topic_id(payload)?;
                // A group that comes later finds what the others had left when it came.
                self.core.remove_consumed(topic);
                self.core.subscribe(position.into(), GroupId(owner), topic);
            }
            kind::MESSAGE => {
                self.core.add_message(TopicId(owner), position, decode_index_entry(payload)?);
            }
            kind::HAND_OUT => {
                for (message, attempt) in decode_hand_outs(payload)? {
                    self.core.replay_hand_out(SubscriptionId(owner), message, attempt);
                }
            }
            kind::ACK => {
                for message in decode_acks(payload)? {
                    self.core.consume(SubscriptionId(owner), message);
                }
            }
            kind if owns(kind) => return Err("a kind that this program does not know"),
            _ => {}
        }
        Ok(())
    }

    /// Starts the engine on `log`, the one whose records were applied.
    #[must_use]
    pub fn start(self, log: Log) -> Engine {
        let state = Mutex::new(State::with(self.core));
        let inner = Inner { log, options: self.options, started: Instant::now(), state };
        let retention = inner.retention();
        {
            let core = &mut inner.state().core;
            core.remove_all_old(retention);
            core.remove_all_consumed();
        }
        let inner = Arc::new(inner);
        // Weak: the engine holds the log, so the log must not hold the engine.
        let watcher = Arc::downgrade(&inner);
        inner.log.watch(Box::new(move |event| {
            if let Some(inner) = watcher.upgrade() {
                inner.handle_log_event(event);
            }
        }));
        Engine { inner }
    }
}

const NO_NAME: Unreadable = "it is not a name";
