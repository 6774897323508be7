//! Messages in memory that could not go out at once, for clients that are connected: their window is closed, or earlier
//! messages are being read. They go out from here when their turn comes, without the reader.
//!
//! It is a help and no promise: at its limit the oldest go, and are read when they are due.

use std::collections::{HashMap, VecDeque};

use commitlog::Position;

use crate::message::SharedMessage;

/// Of one worker.
const BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Unsent {
    messages: HashMap<Position, SharedMessage>,
    /// From the oldest on.
    order: VecDeque<Position>,
    bytes: usize,
}

impl Unsent {
    pub(super) fn find(&self, position: Position) -> Option<&SharedMessage> {
        self.messages.get(&position)
    }

    pub(super) fn keep(&mut self, position: Position, message: &SharedMessage) {
        if self.messages.insert(position, message.clone()).is_some() {
            return;
        }
        self.order.push_back(position);
        self.bytes += memory_of(message);
        while self.bytes > BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.messages.remove(&oldest).as_ref().map_or(0, memory_of);
        }
    }
}

/// With its places in the map and in the order.
fn memory_of(message: &SharedMessage) -> usize {
    size_of_val(&**message) + message.size() as usize + 4 * size_of::<Position>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::message::{Message, NEVER_MS};
    use mqtt::QoS;
    use std::sync::Arc;

    fn message(bytes: usize) -> SharedMessage {
        let payload = vec![0; bytes].into();
        let (topic, properties) = ("chat/p2p/x".into(), Box::default());
        let (qos, expires_at_ms) = (QoS::AtLeastOnce, NEVER_MS);
        Message { topic, properties, payload, qos, arrived_ms: 0, expires_at_ms, collapse: None }.into()
    }

    #[test]
    fn what_is_kept_is_in_the_budget_of_memory() {
        let memory = Memory::new(0, 1, Arc::default());
        let (mut unsent, plain) = (Unsent::default(), message(1000));
        let charged = SharedMessage::new((*plain).clone(), memory.meter(0));
        let held = memory.held_bytes();
        unsent.keep(Position(1), &charged);
        drop(charged);
        assert!(held > 1000 && memory.held_bytes() == held);
        drop(unsent);
        assert_eq!(memory.held_bytes(), 0);
    }

    #[test]
    fn at_the_limit_the_oldest_go() {
        let mut unsent = Unsent::default();
        let places = BYTES_MAX / memory_of(&message(100_000));
        (0..=places).for_each(|at| unsent.keep(Position(at as u64), &message(100_000)));
        assert!(unsent.find(Position(0)).is_none() && unsent.find(Position(1)).is_some());
        assert_eq!(unsent.messages.len(), places);
        unsent.keep(Position(1), &message(100_000));
        assert_eq!(unsent.messages.len(), places, "it is there");
        unsent.keep(Position(u64::MAX), &message(BYTES_MAX));
        assert_eq!((unsent.messages.len(), unsent.order.len(), unsent.bytes), (0, 0, 0));
    }
}
