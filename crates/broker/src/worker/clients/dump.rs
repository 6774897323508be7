//! All that the log needs of the clients of one worker, for a snapshot: slot after slot, some in each step, and of a client
//! with much that waits a part in each ([`StateWalk`]).
//!
//! What happens between two steps is in the log behind the snapshot's place. A client that moves to a slot behind the walk did
//! so by records behind that place: its session was ended and made anew, or the log had nothing of it.
//!
//! After a start from a snapshot each client counts as needing the oldest segment. The snapshot's place is no bound for that:
//! its clients stand in older segments, where the log must have all of them without the snapshot, since that may be damaged.

use super::Clients;
use super::carry::OpenConnection;
use super::state::{Said, StateWalk};
use super::step::{Step, StepLimits};
use crate::client::ClientKey;
use crate::worker::post::ConnectionKey;

/// What one step of a snapshot takes.
pub(in crate::worker) const DUMP_STEP: StepLimits = StepLimits { bytes: 16 << 10, records: 64, looked_at: 512 };

/// How far the clients are dumped.
#[derive(Default)]
pub(in crate::worker) struct ClientsDump {
    next_slot: usize,
    /// The client before that slot, of which a part is dumped.
    begun: Option<(ClientKey, StateWalk)>,
}

impl Clients {
    /// Something has ended that the log does not know yet, so that a dump would have less than the log says.
    pub(in crate::worker) fn owes_records(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Adds some of the state of all clients, with the connections that they have. `false`: there is no more.
    ///
    /// Whatever happened to a client before is to be in the log.
    pub(in crate::worker) fn dump_some(
        &self,
        dump: &mut ClientsDump,
        step: &mut Step,
        connection: impl Fn(ConnectionKey) -> Option<OpenConnection>,
    ) -> bool {
        if let Some((client, mut walk)) = dump.begun.take() {
            match walk.say_some(self, step, &connection) {
                Said::All => {}
                Said::Some => dump.begun = Some((client, walk)),
                // A part of it must not be found.
                Said::Gone => step.batch.session_gone(client.as_str()),
            }
        }
        let slots = self.entries.capacity();
        while dump.begun.is_none() && dump.next_slot < slots && !step.is_over() {
            step.look();
            if let Some(entry) = self.entries.get(dump.next_slot) {
                let mut walk = StateWalk::new(self.ref_at(dump.next_slot, entry));
                if walk.say_some(self, step, &connection) == Said::Some {
                    dump.begun = Some((entry.key(), walk));
                }
            }
            dump.next_slot += 1;
        }
        dump.begun.is_some() || dump.next_slot < slots
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use commitlog::Position;
    use mqtt::server::Restart;

    use super::*;
    use crate::inbox::memory::allocations_and_most;
    use crate::message::Collapse;
    use crate::store::{RecoveredClient, RecoveredEntry, RecoveredSession};
    use crate::worker::clients::tests::Bench;

    /// What one record takes, at most: its parts, its payload, their growth.
    pub(in crate::worker::clients) const ALLOCATIONS_PER_RECORD: usize = 16;

    /// A client that is away, with messages of which every third is urgent and every other one has a collapse key, and as many
    /// ids of a queue.
    pub(in crate::worker::clients) fn away(first: u64, messages: u64) -> RecoveredClient {
        let collapse = |number: u64| Collapse { key: format!("key {number}").into(), version: 1 };
        let entry = |number: u64| RecoveredEntry {
            size: 100,
            expires_at_ms: u64::MAX / 2,
            urgent: number.is_multiple_of(3),
            collapse: number.is_multiple_of(2).then(|| Box::new(collapse(number))),
            subscription_ids: [].into(),
        };
        let session = RecoveredSession { account: "user:a".into(), expiry_s: 60, disconnected_ms: None };
        let entries = (first..first + messages).map(|number| (Position(number), entry(number))).collect();
        let queue_ids = (0..messages).map(|number| (number.to_string().into(), u64::MAX / 2)).collect();
        RecoveredClient { session: Some(session), entries, queue_ids, ..RecoveredClient::default() }
    }

    #[test]
    fn a_full_inbox_and_thousands_of_clients_are_dumped_in_small_steps() {
        let mut bench = Bench::new();
        let mut expected = 0;
        for (client, messages) in [10_000].into_iter().chain([1; 3_000]).enumerate() {
            let recovered = away(1 + client as u64, messages);
            bench.clients.recover(&format!("GID_dev@@@{client}"), recovered, Restart::Clean, bench.now);
            // Its session, its messages, as many ids of a queue, and what is in flight.
            expected += 1 + 2 * messages + 1;
        }
        let mut dump = ClientsDump::default();
        let (mut records, mut longest, mut has_more) = (0, Duration::ZERO, true);
        while has_more {
            let (mut step, begun) = (Step::new(DUMP_STEP), Instant::now());
            let (more, allocations, most) =
                allocations_and_most(|| bench.clients.dump_some(&mut dump, &mut step, |_| None));
            longest = longest.max(begun.elapsed());
            has_more = more;
            let (batch, limits) = (step.batch, DUMP_STEP);
            assert!(batch.len() <= limits.records && batch.bytes() < limits.bytes + 1024, "{} bytes", batch.bytes());
            assert!(allocations <= ALLOCATIONS_PER_RECORD * limits.records, "{allocations} allocations in one step");
            assert!(most <= 4 * limits.bytes, "{most} bytes are held in one step");
            records += batch.len() as u64;
        }
        println!("the longest step took {longest:?}");
        assert_eq!(records, expected);
    }
}
