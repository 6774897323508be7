//! The entries of one inbox by their ids.
//!
//! Ids nearly always rise, and what came first goes first: so it is a queue, sorted, whose ends are looked at before it is
//! searched. It grows by an eighth, and after a burst it gives its memory back. One entry, which is what most inboxes of
//! clients that are away have, takes no memory of its own.

use std::collections::VecDeque;

use super::{Correction, Entry, EntryId};
use crate::message::SharedMessage;

/// A queue that grew past this gives its memory back when it needs less than a quarter of it.
const KEPT_CAPACITY: usize = 8;

const GROWTH_MIN: usize = 4;

#[derive(Debug, Default)]
pub(super) enum Entries {
    #[default]
    Empty,
    One(EntryId, Kept),
    /// Also while there are fewer, so that a few entries at a time cost no allocation each.
    Many(Box<Many>),
}

#[derive(Debug, Default)]
pub(super) struct Many {
    queue: VecDeque<(EntryId, Kept)>,
    bytes: u64,
}

/// What an inbox keeps of an [`Entry`]: its line in the session knows whether it is urgent, and the collapse keys know
/// what it collapses.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The earlier of the message's own expiry and the end of the retention.
    pub(super) expires_at_ms: u64,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Logged { size: u32 },
    Volatile { size: u32, message: SharedMessage },
    WithSubscriptionIds { size: u32, rare: Box<Rare> },
}

#[derive(Clone, Debug)]
struct Rare {
    message: Option<SharedMessage>,
    subscription_ids: Box<[u32]>,
}

const _: () = assert!(size_of::<(EntryId, Kept)>() == 32, "every message that waits costs this");
const _: () = assert!(size_of::<Entries>() == 32, "every inbox costs this");

impl Kept {
    pub(super) fn size(&self) -> u32 {
        match self.form {
            Form::Logged { size } | Form::Volatile { size, .. } | Form::WithSubscriptionIds { size, .. } => size,
        }
    }

    pub(super) fn to_entry(&self, urgent: bool) -> Entry {
        Entry {
            message: self.message().cloned(),
            size: self.size(),
            expires_at_ms: self.expires_at_ms,
            collapse: None,
            subscription_ids: self.subscription_ids().into(),
            urgent,
        }
    }

    /// Of an entry that lives in memory only.
    pub(super) fn message(&self) -> Option<&SharedMessage> {
        match &self.form {
            Form::Logged { .. } => None,
            Form::Volatile { message, .. } => Some(message),
            Form::WithSubscriptionIds { rare, .. } => rare.message.as_ref(),
        }
    }

    pub(super) fn subscription_ids(&self) -> &[u32] {
        match &self.form {
            Form::Logged { .. } | Form::Volatile { .. } => &[],
            Form::WithSubscriptionIds { rare, .. } => &rare.subscription_ids,
        }
    }
}

impl From<Entry> for Kept {
    fn from(entry: Entry) -> Self {
        let Entry { message, size, expires_at_ms, subscription_ids, .. } = entry;
        let form = match message {
            message if !subscription_ids.is_empty() => {
                Form::WithSubscriptionIds { size, rare: Box::new(Rare { message, subscription_ids }) }
            }
            Some(message) => Form::Volatile { size, message },
            None => Form::Logged { size },
        };
        Self { expires_at_ms, form }
    }
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(..) => 1,
            Self::Many(many) => many.queue.len(),
        }
    }

    /// Of all messages together.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::One(_, entry) => entry.size().into(),
            Self::Many(many) => many.bytes,
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Empty | Self::One(..) => 0,
            Self::Many(many) => many.queue.capacity(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By their ids, which rise.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (EntryId, u32)> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(id, entry) => (Some((*id, entry.size())), None),
            Self::Many(many) => (None, Some(many.queue.iter().map(|(id, entry)| (*id, entry.size())))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(super) fn get(&self, id: EntryId) -> Option<&Kept> {
        match self {
            Self::Empty => None,
            Self::One(known, entry) => (*known == id).then_some(entry),
            Self::Many(many) => many.queue.get(many.place(id).ok()?).map(|(_, entry)| entry),
        }
    }

    pub(super) fn contains(&self, id: EntryId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn insert(&mut self, id: EntryId, entry: Entry) {
        let entry = Kept::from(entry);
        match self {
            Self::Many(many) => many.insert(id, entry),
            Self::One(known, _) if *known != id => {
                let mut many = Box::<Many>::default();
                if let Self::One(first, its) = std::mem::take(self) {
                    many.insert(first, its);
                }
                many.insert(id, entry);
                *self = Self::Many(many);
            }
            Self::Empty | Self::One(..) => *self = Self::One(id, entry),
        }
    }

    pub(super) fn remove(&mut self, id: EntryId) -> Option<Kept> {
        match self {
            Self::Many(many) => {
                let entry = many.remove(id);
                self.give_back();
                entry
            }
            Self::One(known, _) if *known == id => match std::mem::take(self) {
                Self::One(_, entry) => Some(entry),
                _ => None,
            },
            Self::Empty | Self::One(..) => None,
        }
    }

    pub(super) fn correct_deadlines(&mut self, correction: Correction) {
        match self {
            Self::Empty => {}
            Self::One(_, entry) => correction.apply(&mut entry.expires_at_ms),
            Self::Many(many) => many.queue.iter_mut().for_each(|(_, entry)| correction.apply(&mut entry.expires_at_ms)),
        }
    }

    /// Takes these out, which rise; returns those that were there with their sizes.
    pub(super) fn remove_all(&mut self, ids: &[EntryId]) -> Vec<(EntryId, u32)> {
        match self {
            Self::Many(many) => {
                let removed = many.remove_all(ids);
                self.give_back();
                removed
            }
            Self::One(id, _) if ids.binary_search(id).is_ok() => {
                let id = *id;
                self.remove(id).map(|entry| (id, entry.size())).into_iter().collect()
            }
            Self::Empty | Self::One(..) => Vec::new(),
        }
    }

    /// The memory of a burst, once nothing is left of it.
    fn give_back(&mut self) {
        if matches!(self, Self::Many(many) if many.queue.capacity() == 0) {
            *self = Self::Empty;
        }
    }

    pub(super) fn shrink(&mut self) {
        let Self::Many(many) = self else { return };
        if many.queue.len() > 1 {
            many.queue.shrink_to_fit();
        } else {
            *self = many.queue.pop_front().map_or(Self::Empty, |(id, entry)| Self::One(id, entry));
        }
    }
}

impl Many {
    /// Where the entry is, or where it belongs.
    fn place(&self, id: EntryId) -> Result<usize, usize> {
        match (self.queue.front(), self.queue.back()) {
            (Some((first, _)), _) if *first == id => Ok(0),
            (_, Some((last, _))) if *last < id => Err(self.queue.len()),
            _ => self.queue.binary_search_by_key(&id, |(id, _)| *id),
        }
    }

    fn insert(&mut self, id: EntryId, entry: Kept) {
        self.bytes += u64::from(entry.size());
        match self.place(id) {
            Ok(at) => {
                let (_, old) = std::mem::replace(&mut self.queue[at], (id, entry));
                self.bytes -= u64::from(old.size());
            }
            Err(at) => {
                self.grow();
                self.queue.insert(at, (id, entry));
            }
        }
    }

    fn grow(&mut self) {
        let len = self.queue.len();
        if len == self.queue.capacity() {
            self.queue.reserve_exact((len / 8).max(GROWTH_MIN));
        }
    }

    fn remove(&mut self, id: EntryId) -> Option<Kept> {
        let (_, entry) = self.queue.remove(self.place(id).ok()?)?;
        self.bytes -= u64::from(entry.size());
        self.give_back();
        Some(entry)
    }

    fn remove_all(&mut self, ids: &[EntryId]) -> Vec<(EntryId, u32)> {
        let mut removed = Vec::new();
        self.queue.retain(|(id, entry)| {
            let stays = ids.binary_search(id).is_err();
            if !stays {
                removed.push((*id, entry.size()));
            }
            stays
        });
        self.bytes -= removed.iter().map(|(_, size)| u64::from(*size)).sum::<u64>();
        self.give_back();
        removed
    }

    fn give_back(&mut self) {
        let (len, capacity) = (self.queue.len(), self.queue.capacity());
        if capacity > KEPT_CAPACITY && len < capacity / 4 {
            // Past what is kept, so that the last one that goes gives back all.
            self.queue.shrink_to(if len == 0 { 0 } else { (2 * len).max(KEPT_CAPACITY + 1) });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use std::collections::BTreeMap;

    use super::*;
    use commitlog::Position;
    use proptest::prelude::*;

    fn entry(size: u32) -> Entry {
        Entry { message: None, size, expires_at_ms: 0, collapse: None, subscription_ids: Box::default(), urgent: false }
    }

    fn id(number: u8) -> EntryId {
        if number.is_multiple_of(2) {
            EntryId::logged(Position(number.into()))
        } else {
            EntryId::volatile(number.into())
        }
    }

    #[test]
    fn an_inbox_that_is_empty_again_holds_no_memory_of_a_burst() {
        let mut entries = Entries::default();
        (0..100).for_each(|number| entries.insert(id(number), entry(1)));
        (0..100).for_each(|number| assert_eq!(entries.remove(id(number)).unwrap().size(), 1));
        assert!(matches!(entries, Entries::Empty), "{} places for none", entries.capacity());
    }

    proptest! {
        /// It is a sorted map, whatever order the ids come in.
        #[test]
        fn it_holds_what_a_map_would(steps in prop::collection::vec((0u8..5, 0u8..20), 1..80)) {
            let (mut entries, mut model) = (Entries::default(), BTreeMap::new());
            for (size, (step, number)) in (0..).zip(steps) {
                match step {
                    0 | 1 => {
                        entries.insert(id(number), entry(size));
                        model.insert(id(number), size);
                    }
                    2 => {
                        let removed = entries.remove(id(number)).map(|entry| entry.size());
                        prop_assert_eq!(removed, model.remove(&id(number)));
                    }
                    3 => entries.shrink(),
                    _ => {
                        let mut ids = [id(number), id(number + 1), id(number + 2)];
                        ids.sort();
                        let removed = entries.remove_all(&ids);
                        let expected: Vec<_> = ids.iter().filter_map(|id| Some((*id, model.remove(id)?))).collect();
                        prop_assert_eq!(removed, expected);
                    }
                }
                prop_assert_eq!((entries.len(), entries.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(entries.bytes(), model.values().map(|size| u64::from(*size)).sum::<u64>());
                prop_assert!(entries.sizes().eq(model.iter().map(|(id, size)| (*id, *size))));
                for number in 0..23 {
                    let size = entries.get(id(number)).map(Kept::size);
                    prop_assert_eq!(size, model.get(&id(number)).copied());
                    prop_assert_eq!(entries.contains(id(number)), size.is_some());
                }
            }
        }
    }

    #[test]
    fn memory_of_a_burst_is_given_back_also_if_one_message_stays() {
        let mut entries = Entries::default();
        let id = |at| EntryId::logged(Position(at));
        for at in 1..=10_000 {
            let entry = Entry {
                message: None,
                size: 1,
                expires_at_ms: 10,
                collapse: None,
                subscription_ids: Box::default(),
                urgent: false,
            };
            entries.insert(id(at), entry);
        }
        let all_but_the_last: Vec<_> = (1..10_000).map(id).collect();
        assert_eq!(entries.remove_all(&all_but_the_last).len(), 9_999);
        assert!(entries.capacity() < 100, "{} places for one message", entries.capacity());
        entries.shrink();
        assert!(matches!(entries, Entries::One(..)), "{} places for one message", entries.capacity());
        entries.remove(id(10_000));
        assert!(matches!(entries, Entries::Empty), "{} places for none", entries.capacity());
    }
}
