//! The engine's side of an acknowledgement that its consumer appends.

use super::Inner;
use crate::atomic_ack::{AckRecord, AtomicAck};
use crate::error::AckError;
use crate::message::Receipt;
use crate::records::kind;

impl AtomicAck for Inner {
    fn prepare(&self, receipt: &Receipt) -> Result<AckRecord, AckError> {
        let id = self.parse(receipt)?;
        let now = self.now();
        self.state().hold(&id, now)?;
        let payload = id.position.to_bytes().to_vec();
        Ok(AckRecord { kind: kind::ACK, owner: id.subscription.0, payload })
    }

    fn commit(&self, receipt: &Receipt) {
        if let Ok(id) = self.parse(receipt) {
            self.state().core.done(id.subscription, id.position);
        }
    }

    fn abort(&self, receipt: &Receipt) {
        if let Ok(id) = self.parse(receipt) {
            let mut state = self.state();
            state.core.release(id.subscription, id.position, id.serial);
            state.wake(id.subscription);
        }
    }
}
