//! What one device must get, may get and must not get, whatever the server lived through. Pure: it is told what was sent,
//! seen and acknowledged, and when.
//!
//! ```text
//!           ┌─► done: acknowledged          ┐
//! waiting ──┼─► superseded by a version     ├─ must not come again
//!           ├─► expired                     │
//!           └─► of a session that is over   ┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The server may notice a moment so much later than it was. Less than any step of the simulated time.
pub(crate) const MARGIN_MS: u64 = 10_000;

/// A law of the broker that an answer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    /// What the server acknowledged comes, unless it expires or is superseded before.
    Kept,
    /// Nothing comes that was not sent to this device.
    Own,
    /// What the device acknowledged does not come again.
    Once,
    /// What has expired does not come any more.
    Expiry,
    /// Of a collapse key the highest version comes, and no lower one after it.
    Collapse,
    /// One sender's messages come in the order in which they were sent.
    Order,
    /// What is in flight keeps its packet id.
    PacketId,
    /// A session lasts for its expiry interval after the last connection, and not longer.
    Session,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) law: Law,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) sequence: u64,
    pub(crate) bytes: u64,
    pub(crate) at_ms: u64,
    pub(crate) expires_ms: u64,
    /// Key and version.
    pub(crate) collapse: Option<(u8, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) sequence: u64,
    pub(crate) packet_id: u16,
}

/// One connection of the device.
pub(crate) struct Visit {
    pub(crate) opened_ms: u64,
    pub(crate) closed_ms: u64,
    pub(crate) session_present: bool,
    pub(crate) session_expiry_s: u64,
    pub(crate) seen: Vec<Seen>,
    /// All that waited was taken and acknowledged; else nothing was acknowledged.
    pub(crate) is_whole: bool,
}

#[derive(Clone, Copy)]
enum Why {
    Done,
    Superseded,
    Expired,
    SessionOver,
}

struct Waiting {
    bytes: u64,
    expires_ms: u64,
    /// It may have been sent to the device before.
    may_be_in_flight: bool,
    packet_id: Option<u16>,
}

struct Key {
    version: u64,
    sequence: u64,
    until_ms: u64,
    /// The server may not know it: the message may have gone with the session before, or have met a key that was about
    /// to expire.
    is_uncertain: bool,
}

#[derive(Clone, Copy, Default)]
enum Session {
    #[default]
    None,
    EndsAt(u64),
    /// It ends about now.
    Uncertain,
}

#[derive(Default)]
pub(crate) struct Inbox {
    waiting: BTreeMap<u64, Waiting>,
    gone: BTreeMap<u64, Why>,
    /// May come, need not.
    free: BTreeSet<u64>,
    /// Acknowledged by the device, perhaps not yet on the disk.
    fresh: Vec<u64>,
    keys: BTreeMap<u8, Key>,
    session: Session,
    /// The session ends about now: what is sent now may go with it.
    is_unsettled: bool,
}

impl Inbox {
    /// Bytes and number of the messages that wait.
    pub(crate) fn waiting(&self) -> (u64, usize) {
        (self.waiting.values().map(|waiting| waiting.bytes).sum(), self.waiting.len())
    }

    /// Simulated time has passed.
    pub(crate) fn pass(&mut self, now_ms: u64) {
        self.fresh.clear();
        self.is_unsettled = false;
        if let Session::EndsAt(ends_ms) = self.session
            && ends_ms < now_ms + MARGIN_MS
        {
            self.end_session(ends_ms + MARGIN_MS < now_ms);
        }
        let (expired, kept): (BTreeMap<_, _>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, waiting)| waiting.expires_ms + MARGIN_MS < now_ms);
        self.waiting = kept;
        for (sequence, waiting) in expired {
            self.let_go(sequence, &waiting, Why::Expired);
        }
    }

    fn end_session(&mut self, is_certain: bool) {
        self.session = if is_certain { Session::None } else { Session::Uncertain };
        self.is_unsettled = !is_certain;
        self.keys.clear();
        let all = std::mem::take(&mut self.waiting).into_keys();
        if is_certain {
            self.free.clear();
            self.gone.extend(all.map(|sequence| (sequence, Why::SessionOver)));
        } else {
            self.free.extend(all);
        }
    }

    /// The server was killed: of what was acknowledged last, some may not have been written.
    pub(crate) fn killed(&mut self) {
        for sequence in self.fresh.drain(..) {
            self.gone.remove(&sequence);
            self.free.insert(sequence);
        }
    }

    pub(crate) fn sent(&mut self, sent: &Sent) {
        let Sent { sequence, bytes, at_ms, expires_ms, collapse } = *sent;
        if self.is_unsettled {
            self.free.insert(sequence);
            if let Some((key, version)) = collapse
                && self.keys.get(&key).is_none_or(|known| known.version < version)
            {
                self.keys.insert(key, Key { version, sequence, until_ms: expires_ms, is_uncertain: true });
            }
            return;
        }
        if let Some((key, version)) = collapse
            && !self.admits(key, version, sent)
        {
            return;
        }
        debug_assert!(expires_ms > at_ms + MARGIN_MS, "what expires at once cannot be judged");
        let waiting = Waiting { bytes, expires_ms, may_be_in_flight: false, packet_id: None };
        self.waiting.insert(sequence, waiting);
    }

    /// Whether the message is the newest of its key; then the one before it goes.
    fn admits(&mut self, key: u8, version: u64, sent: &Sent) -> bool {
        if let Some(known) = self.keys.get_mut(&key) {
            let before = known.sequence;
            if known.version >= version && known.until_ms + MARGIN_MS > sent.at_ms {
                if !known.is_uncertain && known.until_ms > sent.at_ms + MARGIN_MS {
                    self.gone.insert(sent.sequence, Why::Superseded);
                } else {
                    known.is_uncertain = true;
                    known.until_ms = known.until_ms.max(sent.expires_ms);
                    self.free.insert(sent.sequence);
                }
                return false;
            }
            if let Some(waiting) = self.waiting.remove(&before) {
                self.let_go(before, &waiting, Why::Superseded);
            }
        }
        let (sequence, until_ms) = (sent.sequence, sent.expires_ms);
        self.keys.insert(key, Key { version, sequence, until_ms, is_uncertain: false });
        true
    }

    /// What is in flight may stay in flight.
    fn let_go(&mut self, sequence: u64, waiting: &Waiting, why: Why) {
        if waiting.may_be_in_flight {
            self.free.insert(sequence);
        } else {
            self.gone.insert(sequence, why);
        }
    }

    /// Judges what a connection was given.
    pub(crate) fn visited(&mut self, visit: &Visit) -> Vec<Violation> {
        let mut violations = Vec::new();
        violations.extend(self.judge_session(visit));
        let mut last = 0;
        for seen in &visit.seen {
            violations.extend(self.judge(seen, visit.opened_ms));
            if seen.sequence < last {
                violations.push(violation(Law::Order, format!("{} after {last}", seen.sequence)));
            }
            last = last.max(seen.sequence);
        }
        if visit.is_whole {
            violations.extend(self.judge_missing(visit));
            self.finish(visit);
        } else {
            self.leave_in_flight(visit);
        }
        self.session = Session::EndsAt(visit.closed_ms + visit.session_expiry_s * 1000);
        self.is_unsettled = false;
        violations
    }

    fn judge_session(&self, visit: &Visit) -> Option<Violation> {
        // Ends of sessions were noted when time passed.
        let what = match (self.session, visit.session_present) {
            (Session::EndsAt(ends_ms), false) if ends_ms > visit.opened_ms + MARGIN_MS => "it is gone before its time",
            (Session::None, true) => "it is there although it is over",
            _ => return None,
        };
        Some(violation(Law::Session, what.to_owned()))
    }

    fn judge(&self, seen: &Seen, now_ms: u64) -> Option<Violation> {
        let Seen { sequence, packet_id } = *seen;
        if let Some(waiting) = self.waiting.get(&sequence) {
            if waiting.packet_id.is_some_and(|before| before != packet_id) {
                let what = format!("{sequence} was {:?} and is {packet_id}", waiting.packet_id);
                return Some(violation(Law::PacketId, what));
            }
            let is_late = waiting.expires_ms + MARGIN_MS < now_ms && !waiting.may_be_in_flight;
            return is_late.then(|| violation(Law::Expiry, format!("{sequence} has expired")));
        }
        if self.free.contains(&sequence) {
            return None;
        }
        let (law, what) = match self.gone.get(&sequence) {
            Some(Why::Done) => (Law::Once, "was acknowledged"),
            Some(Why::Superseded) => (Law::Collapse, "was superseded"),
            Some(Why::Expired) => (Law::Expiry, "has expired"),
            Some(Why::SessionOver) => (Law::Session, "is of a session that is over"),
            None => (Law::Own, "was not sent to this device"),
        };
        Some(violation(law, format!("{sequence} {what}")))
    }

    fn judge_missing(&self, visit: &Visit) -> Vec<Violation> {
        let there: BTreeSet<u64> = visit.seen.iter().map(|seen| seen.sequence).collect();
        let must_come = |waiting: &Waiting| waiting.expires_ms > visit.closed_ms + MARGIN_MS;
        let missing = self.waiting.iter().filter(|(sequence, waiting)| must_come(waiting) && !there.contains(sequence));
        missing.map(|(sequence, _)| violation(Law::Kept, format!("{sequence} did not come"))).collect()
    }

    fn finish(&mut self, visit: &Visit) {
        let (waiting, free) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.free));
        for sequence in waiting.into_keys().chain(free).chain(visit.seen.iter().map(|seen| seen.sequence)) {
            self.gone.insert(sequence, Why::Done);
            self.fresh.push(sequence);
        }
    }

    fn leave_in_flight(&mut self, visit: &Visit) {
        for waiting in self.waiting.values_mut() {
            waiting.may_be_in_flight = true;
        }
        for seen in &visit.seen {
            if let Some(waiting) = self.waiting.get_mut(&seen.sequence) {
                waiting.packet_id = Some(seen.packet_id);
            }
        }
    }
}

fn violation(law: Law, what: String) -> Violation {
    Violation { law, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_S: u64 = 24 * 3600;

    fn sent(sequence: u64, expires_ms: u64, collapse: Option<(u8, u64)>) -> Sent {
        Sent { sequence, bytes: 1, at_ms: 0, expires_ms, collapse }
    }

    fn visit(at_ms: u64, session_present: bool, sequences: &[u64]) -> Visit {
        let seen = sequences.iter().map(|sequence| Seen { sequence: *sequence, packet_id: 1 }).collect();
        let (opened_ms, closed_ms) = (at_ms, at_ms + 1);
        Visit { opened_ms, closed_ms, session_present, session_expiry_s: DAY_S, seen, is_whole: true }
    }

    fn laws(violations: &[Violation]) -> Vec<Law> {
        violations.iter().map(|violation| violation.law).collect()
    }

    /// Two messages without a key, two versions of one, one that expires within an hour.
    fn inbox() -> Inbox {
        let mut inbox = Inbox::default();
        for (sequence, expires_ms, collapse) in
            [(1, 9 * HOUR_MS, None), (2, 9 * HOUR_MS, Some((7, 1))), (3, 9 * HOUR_MS, Some((7, 2))), (4, HOUR_MS, None)]
        {
            inbox.sent(&sent(sequence, expires_ms, collapse));
        }
        inbox
    }

    #[test]
    fn what_a_good_server_does_breaks_no_law() {
        let mut inbox = inbox();
        inbox.pass(2 * HOUR_MS);
        assert_eq!(inbox.visited(&visit(2 * HOUR_MS, false, &[1, 3])), []);
        assert_eq!(inbox.visited(&visit(2 * HOUR_MS, true, &[])), []);
        inbox.pass(40 * HOUR_MS);
        assert_eq!(inbox.visited(&visit(40 * HOUR_MS, false, &[])), []);
    }

    #[test]
    fn each_law_is_seen_to_be_broken() {
        let broken = |sequences: &[u64]| {
            let mut inbox = inbox();
            inbox.pass(2 * HOUR_MS);
            laws(&inbox.visited(&visit(2 * HOUR_MS, false, sequences)))
        };
        assert_eq!(broken(&[1]), [Law::Kept]);
        assert_eq!(broken(&[1, 3, 9]), [Law::Own]);
        assert_eq!(broken(&[1, 2, 3]), [Law::Collapse]);
        assert_eq!(broken(&[1, 3, 4]), [Law::Expiry]);
        assert_eq!(broken(&[3, 1]), [Law::Order]);
    }

    #[test]
    fn what_was_acknowledged_comes_again_only_after_a_kill() {
        let twice = |is_killed: bool| {
            let mut inbox = inbox();
            inbox.visited(&visit(0, false, &[1, 3, 4]));
            if is_killed {
                inbox.killed();
            }
            laws(&inbox.visited(&visit(1, true, &[1])))
        };
        assert_eq!((twice(false), twice(true)), (vec![Law::Once], vec![]));
    }

    #[test]
    fn a_version_that_meets_a_key_at_its_end_may_be_admitted_and_be_the_key_from_then_on() {
        let mut inbox = Inbox::default();
        inbox.sent(&sent(1, HOUR_MS, Some((7, 4))));
        for (sequence, at_ms) in [(2, HOUR_MS), (3, 5 * HOUR_MS)] {
            inbox.pass(at_ms);
            inbox.sent(&Sent { at_ms, ..sent(sequence, 9 * HOUR_MS, Some((7, 4))) });
        }
        assert_eq!(inbox.visited(&visit(5 * HOUR_MS, false, &[2])), []);
    }

    #[test]
    fn a_session_that_is_over_or_not_over_is_seen() {
        let present = |hours: u64, session_present: bool| {
            let mut inbox = Inbox::default();
            inbox.visited(&visit(0, false, &[]));
            inbox.pass(hours * HOUR_MS);
            laws(&inbox.visited(&visit(hours * HOUR_MS, session_present, &[])))
        };
        assert_eq!((present(20, true), present(20, false)), (vec![], vec![Law::Session]));
        assert_eq!((present(30, false), present(30, true)), (vec![], vec![Law::Session]));
    }

    #[test]
    fn a_packet_id_that_changes_in_flight_is_seen() {
        let mut inbox = inbox();
        let mut hasty = visit(0, false, &[1]);
        hasty.is_whole = false;
        assert_eq!(inbox.visited(&hasty), []);
        let mut again = visit(1, true, &[1, 3, 4]);
        again.seen[0].packet_id = 2;
        assert_eq!(laws(&inbox.visited(&again)), [Law::PacketId]);
    }
}
