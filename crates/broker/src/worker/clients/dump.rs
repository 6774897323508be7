//! All that the log needs of the clients of one worker, for a snapshot: slot after slot, some in each step.
//!
//! The state of a client is taken at one moment, and its records are added in as many steps as they take: what happens to
//! it meanwhile is in the log behind the snapshot's place. A client that moves to a slot behind the walk did so by records
//! behind that place: its session was ended and made anew, or the log had nothing of it.

use super::Clients;
use super::carry::OpenConnection;
use super::state::add_connection;
use crate::client::ClientKey;
use crate::store::journal::Batch;
use crate::store::state::StateRecords;
use crate::worker::post::ConnectionKey;

/// What one step of a dump takes at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct StepLimits {
    pub(in crate::worker) bytes: usize,
    pub(in crate::worker) records: usize,
    /// Slots that are looked at.
    pub(in crate::worker) slots: usize,
}

impl Default for StepLimits {
    fn default() -> Self {
        Self { bytes: 16 << 10, records: 64, slots: 512 }
    }
}

impl StepLimits {
    pub(in crate::worker) fn are_reached(self, batch: &Batch) -> bool {
        batch.bytes() >= self.bytes || batch.len() >= self.records
    }
}

/// How far the clients are dumped.
#[derive(Default)]
pub(in crate::worker) struct ClientsDump {
    next_slot: usize,
    /// What is left of the client before that slot.
    begun: Option<ClientDump>,
}

struct ClientDump {
    client: ClientKey,
    /// `None`: the log has nothing of it but its connection.
    state: Option<StateRecords>,
    connection: Option<OpenConnection>,
}

impl Clients {
    /// Adds some of the state of all clients, with the connections that they have. `false`: there is no more.
    ///
    /// Whatever happened to a client before is to be in the log.
    pub(in crate::worker) fn dump_some(
        &self,
        dump: &mut ClientsDump,
        limits: StepLimits,
        batch: &mut Batch,
        connection: impl Fn(ConnectionKey) -> Option<OpenConnection>,
    ) -> bool {
        let slots = self.entries.capacity();
        let end = slots.min(dump.next_slot + limits.slots);
        loop {
            dump.begun = dump.begun.take().and_then(|client| client.add_some(limits, batch));
            if dump.begun.is_some() {
                return true;
            }
            if limits.are_reached(batch) || dump.next_slot >= end {
                return dump.next_slot < slots;
            }
            dump.begun = self.entries.get(dump.next_slot).map(|entry| {
                let client = entry.key();
                let state = entry.is_logged.then(|| StateRecords::new(client.clone(), entry.to_recovered()));
                let connection = entry.attachment.as_ref().and_then(|open| connection(open.connection));
                ClientDump { client, state, connection }
            });
            dump.next_slot += 1;
        }
    }
}

impl ClientDump {
    /// Returns what is left.
    fn add_some(mut self, limits: StepLimits, batch: &mut Batch) -> Option<Self> {
        while !limits.are_reached(batch) {
            if let Some(record) = self.state.as_mut().and_then(Iterator::next) {
                batch.state_record(&self.client, record);
            } else {
                self.connection.iter().for_each(|open| add_connection(batch, self.client.as_str(), open));
                return None;
            }
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use commitlog::Position;
    use mqtt::server::Restart;

    use super::*;
    use crate::store::{RecoveredClient, RecoveredEntry, RecoveredSession};
    use crate::worker::clients::tests::Bench;

    /// A client that is away, with messages of which every third is urgent and every seventh has a collapse key.
    fn away(first: u64, messages: u64) -> RecoveredClient {
        let entry = |number: u64| RecoveredEntry {
            size: 100,
            expires_at_ms: u64::MAX / 2,
            urgent: number.is_multiple_of(3),
            collapse: number
                .is_multiple_of(7)
                .then(|| Box::new(crate::message::Collapse { key: format!("key {number}").into(), version: 1 })),
            subscription_ids: [].into(),
        };
        let session = RecoveredSession { account: "user:a".into(), expiry_s: 60, disconnected_ms: None };
        let entries = (first..first + messages).map(|number| (Position(number), entry(number))).collect();
        RecoveredClient { session: Some(session), entries, ..RecoveredClient::default() }
    }

    #[test]
    fn a_full_inbox_and_thousands_of_clients_are_dumped_in_small_steps() {
        let mut bench = Bench::new();
        let mut expected = 0;
        for (client, messages) in [10_000].into_iter().chain([1; 3_000]).enumerate() {
            let recovered = away(1 + client as u64, messages);
            bench.clients.recover(&format!("GID_dev@@@{client}"), recovered, Restart::Clean, bench.now);
            // Its session, its messages, and what is in flight.
            expected += 1 + messages + 1;
        }
        let (mut dump, limits) = (ClientsDump::default(), StepLimits::default());
        let (mut records, mut longest, mut has_more) = (0, Duration::ZERO, true);
        while has_more {
            let (mut batch, begun) = (Batch::default(), Instant::now());
            has_more = bench.clients.dump_some(&mut dump, limits, &mut batch, |_| None);
            longest = longest.max(begun.elapsed());
            assert!(batch.len() <= limits.records && batch.bytes() < limits.bytes + 1024, "{} bytes", batch.bytes());
            records += batch.len() as u64;
        }
        println!("the longest step took {longest:?}");
        assert_eq!(records, expected);
    }
}
