//! The way of channel events to whoever receives them now.

use crate::metrics::{DropReason, Metrics};
use signalling::ChannelEvent;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Events that wait for the receiver; later ones are dropped and counted.
const EVENTS_MAX: usize = 8_192;

pub(crate) struct Events {
    receiver: Mutex<Option<mpsc::Sender<ChannelEvent>>>,
    metrics: Arc<Metrics>,
}

impl Events {
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
        if receiver.as_ref().is_none_or(|sender| sender.try_send(event).is_err()) {
            self.metrics.discard(DropReason::Event);
        }
    }
}
