//! What publishers and receivers saw, and the laws that it must obey whatever was killed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One message, named by its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub publisher: u32,
    pub receiver: u32,
    /// Rises by one per publisher and receiver.
    pub sequence: u64,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    /// Sent, acknowledged or not.
    sent: BTreeSet<Id>,
    acknowledged: BTreeSet<Id>,
    /// By receiver, in the order of arrival, repeats included.
    received: BTreeMap<u32, Vec<Id>>,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    Lost(Id),
    /// Never sent, or sent to another receiver.
    Foreign {
        at: u32,
        id: Id,
    },
    /// A first copy that came after a later one of the same publisher.
    OutOfOrder {
        after: Id,
        id: Id,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "acknowledged but lost: {id:?}"),
            Self::Foreign { at, id } => write!(f, "receiver {at} got what was never sent to it: {id:?}"),
            Self::OutOfOrder { after, id } => write!(f, "{id:?} came after {after:?}"),
        }
    }
}

impl Id {
    /// A payload that carries the id and cannot be taken for another's.
    pub fn payload(self) -> Vec<u8> {
        let text = format!("{}:{}:{}", self.publisher, self.receiver, self.sequence);
        format!("{text}:{:08x}", check(&text)).into_bytes()
    }

    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let (text, sum) = text.rsplit_once(':')?;
        if u32::from_str_radix(sum, 16).ok()? != check(text) {
            return None;
        }
        let mut parts = text.split(':');
        let id = Self {
            publisher: parts.next()?.parse().ok()?,
            receiver: parts.next()?.parse().ok()?,
            sequence: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

/// FNV-1a, 32 bit.
fn check(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl History {
    pub fn sent(&mut self, id: Id) {
        self.sent.insert(id);
    }

    pub fn acknowledged(&mut self, id: Id) {
        self.acknowledged.insert(id);
    }

    pub fn received(&mut self, at: u32, id: Id) {
        self.received.entry(at).or_default().push(id);
    }

    pub fn merge(&mut self, other: Self) {
        self.sent.extend(other.sent);
        self.acknowledged.extend(other.acknowledged);
        for (at, ids) in other.received {
            self.received.entry(at).or_default().extend(ids);
        }
    }

    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.len()
    }

    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = self.lost();
        for (at, ids) in &self.received {
            violations.extend(self.foreign(*at, ids));
            violations.extend(out_of_order(ids));
        }
        violations
    }

    fn lost(&self) -> Vec<Violation> {
        let there: BTreeSet<&Id> = self.received.values().flatten().collect();
        self.acknowledged.iter().filter(|id| !there.contains(id)).map(|id| Violation::Lost(*id)).collect()
    }

    fn foreign<'a>(&'a self, at: u32, ids: &'a [Id]) -> impl Iterator<Item = Violation> + 'a {
        let wrong = ids.iter().filter(move |id| id.receiver != at || !self.sent.contains(id));
        wrong.map(move |id| Violation::Foreign { at, id: *id })
    }
}

fn out_of_order(ids: &[Id]) -> Vec<Violation> {
    let (mut seen, mut last, mut violations) = (BTreeSet::new(), BTreeMap::<u32, Id>::new(), Vec::new());
    for id in ids.iter().filter(|id| seen.insert(**id)) {
        if let Some(after) = last.insert(id.publisher, *id)
            && after.sequence > id.sequence
        {
            violations.push(Violation::OutOfOrder { after, id: *id });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(sequence: u64) -> Id {
        Id { publisher: 1, receiver: 2, sequence }
    }

    fn good() -> History {
        let mut history = History::default();
        for n in 0..5 {
            history.sent(id(n));
            history.acknowledged(id(n));
            history.received(2, id(n));
        }
        history
    }

    #[test]
    fn a_good_history_with_a_repeat_is_accepted() {
        let mut history = good();
        history.received(2, id(1));
        assert_eq!(history.violations(), []);
    }

    #[test]
    fn each_bad_history_is_caught() {
        let mut lost = good();
        lost.received.get_mut(&2).expect("received").pop();
        assert_eq!(lost.violations(), [Violation::Lost(id(4))]);

        let mut forged = good();
        forged.received(2, id(9));
        assert_eq!(forged.violations(), [Violation::Foreign { at: 2, id: id(9) }]);

        let mut misdelivered = good();
        misdelivered.received(3, id(0));
        assert_eq!(misdelivered.violations(), [Violation::Foreign { at: 3, id: id(0) }]);

        let mut swapped = good();
        swapped.received.get_mut(&2).expect("received").swap(2, 3);
        assert_eq!(swapped.violations(), [Violation::OutOfOrder { after: id(3), id: id(2) }]);
    }

    #[test]
    fn a_payload_names_its_message_and_a_damaged_one_names_none() {
        assert_eq!(Id::parse(&id(7).payload()), Some(id(7)));
        let mut damaged = id(7).payload();
        damaged[4] ^= 1;
        assert_eq!(Id::parse(&damaged), None);
    }
}
