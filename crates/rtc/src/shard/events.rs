//! The feed of channel events to the one receiver that takes them now.

use crate::metrics::{DropReason, Metrics};
use signalling::{ChannelEvent, ChannelEventKind};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Events that wait for the receiver; later ones are dropped and counted.
const EVENTS_MAX: usize = 8_192;
/// Capacity kept for events of who came and went: reports of quality and speakers, which come again, may use the rest.
const RESERVED_FOR_MEMBERSHIP: usize = EVENTS_MAX / 2;

pub(crate) struct EventFeed {
    receiver: Mutex<Option<mpsc::Sender<ChannelEvent>>>,
    metrics: Arc<Metrics>,
}

impl EventFeed {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { receiver: Mutex::new(None), metrics }
    }

    pub(crate) fn take_over(&self) -> mpsc::Receiver<ChannelEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        *self.receiver.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    pub(crate) fn send(&self, event: ChannelEvent) {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let sender =
            receiver.as_ref().filter(|sender| !is_minor(&event) || sender.capacity() > RESERVED_FOR_MEMBERSHIP);
        if sender.is_none_or(|sender| sender.try_send(event).is_err()) {
            self.metrics.discard(DropReason::Event);
        }
    }
}

/// Another of its kind follows soon.
pub(crate) fn is_minor(event: &ChannelEvent) -> bool {
    matches!(event.kind, ChannelEventKind::Quality { .. } | ChannelEventKind::Speaker { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use signalling::{ChannelId, LeftReason, ParticipationId};

    fn event(kind: ChannelEventKind) -> ChannelEvent {
        ChannelEvent { channel: ChannelId::from("c"), participation: ParticipationId(uuid::Uuid::nil()), kind }
    }

    #[test]
    fn reports_of_quality_never_take_the_room_of_who_has_left() {
        let events = EventFeed::new(Arc::default());
        let mut receiver = events.take_over();
        for _ in 0..EVENTS_MAX {
            events.send(event(ChannelEventKind::Quality { loss_permille: 0, rtt_ms: None }));
        }
        let left = event(ChannelEventKind::Left(LeftReason::Gone));
        events.send(left.clone());
        let mut got = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            got.push(event);
        }
        assert_eq!(got.last(), Some(&left));
        assert_eq!(events.metrics.snapshot().dropped(DropReason::Event), RESERVED_FOR_MEMBERSHIP as u64);
    }
}
