//! A device was removed, or a client id is given to somebody else: what a user had under it ends.

use std::time::Duration;

use commitlog::Need;
use mqtt::ReasonCode;

use super::Worker;
use super::durable::AfterDurable;
use super::post::Removal;
use crate::access::is_account_of_service;
use crate::bridge::events::EventKind;
use crate::client::ClientKey;
use crate::store::journal::Batch;

/// Longer than a login may take that found the device before it was removed.
const KEYS_REMEMBERED: Duration = Duration::from_secs(15);
const WORDS: &str = "the login of this device has ended: log in again";

impl Worker {
    /// Ends connection, session and inbox; a service keeps what it has. Answers when it is on the disk.
    pub(super) fn end_device(&mut self, removal: Removal) {
        let Removal { client, key_id, answer } = removal;
        let is_removed = key_id.is_some();
        if let Some(key_id) = key_id {
            self.removed_keys.insert(key_id, self.now);
        }
        if let Some(service) = self.holder_of(&client).filter(|account| is_account_of_service(account)) {
            // Whoever asked may be gone, here and below.
            let _ = answer.send(Some(service.into()));
            return;
        }
        // Without the seat: the end of the connection leaves nothing behind.
        if let Some(link) = self.seats.get_mut(&client).and_then(|seat| seat.link.take()) {
            self.end_link_saying(link, ReasonCode::ADMINISTRATIVE_ACTION, WORDS);
        } else if is_removed {
            self.tell_removed(&client);
        }
        if !self.drop_seat(&client) {
            let _ = answer.send(None);
            return;
        }
        let mut batch = Batch::default();
        batch.session_gone(client.as_str());
        match self.shared.journal.append(&batch, Need::Essential) {
            Ok(appended) => self.when_durable(appended.end, AfterDurable::Ended(answer)),
            Err(error) => {
                self.shared.counts.refused_by_log.one();
                tracing::warn!(%error, "the end of a removed device's session was not logged; the next start ends it");
            }
        }
    }

    /// Whoever follows a device that is away hears that it is removed: its media may be there.
    fn tell_removed(&self, client: &ClientKey) {
        let channel_id = uuid::Uuid::now_v7().simple().to_string();
        self.shared.events.send(EventKind::TcpClean, client, &channel_id, self.now_ms, "");
    }

    /// A login that began before the device was removed finds none.
    pub(super) fn is_removed(&self, device: &catalog::Device) -> bool {
        self.removed_keys.contains_key(device.key_id.as_str())
    }

    pub(super) fn forget_removed_keys(&mut self) {
        let now = self.now;
        self.removed_keys.retain(|_, since| now.duration_since(*since) < KEYS_REMEMBERED);
    }
}
