//! What is kept of messages, by their ids.
//!
//! Ids nearly always rise, and what came first goes first: so it is a queue, sorted, whose ends are looked at before it is
//! searched. It grows by an eighth, and after a burst it gives its memory back. One message, which is what most clients that are
//! away have, takes no memory of its own.

use std::collections::{VecDeque, vec_deque};

/// A queue that grew past this gives its memory back when it needs less than a quarter of it.
const KEPT_CAPACITY: usize = 8;

const GROWTH_MIN: usize = 4;

/// What is kept of one message.
pub(crate) trait MessageSize {
    /// Of the message.
    fn size(&self) -> u32;
}

#[derive(Clone, Debug, Default)]
pub(crate) enum MessagesById<I, M> {
    #[default]
    Empty,
    One(I, M),
    /// Also while there are fewer, so that a few messages at a time cost no allocation each.
    Many(Box<Many<I, M>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Many<I, M> {
    queue: VecDeque<(I, M)>,
    bytes: u64,
}

impl<I, M> Default for Many<I, M> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), bytes: 0 }
    }
}

impl<I: Copy + PartialEq, M: PartialEq> PartialEq for MessagesById<I, M> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<I: Copy + Eq, M: Eq> Eq for MessagesById<I, M> {}

impl<I: Copy, M> MessagesById<I, M> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(..) => 1,
            Self::Many(many) => many.queue.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By their ids, which rise.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &M)> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(id, message) => (Some((*id, message)), None),
            Self::Many(many) => (None, Some(many.queue.iter().map(|(id, message)| (*id, message)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Those behind this id, which rise.
    pub(crate) fn iter_after(&self, after: Option<I>) -> impl Iterator<Item = (I, &M)>
    where
        I: Ord,
    {
        let is_behind = move |id: I| after.is_none_or(|after| after < id);
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(id, message) => (Some((*id, message)).filter(|(id, _)| is_behind(*id)), None),
            Self::Many(many) => {
                let first = many.queue.partition_point(|(id, _)| !is_behind(*id));
                (None, Some(many.queue.range(first..).map(|(id, message)| (*id, message))))
            }
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut M)> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(id, message) => (Some((*id, message)), None),
            Self::Many(many) => (None, Some(many.queue.iter_mut().map(|(id, message)| (*id, message)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Empty | Self::One(..) => 0,
            Self::Many(many) => many.queue.capacity(),
        }
    }
}

impl<I: Ord + Copy, M: MessageSize> MessagesById<I, M> {
    /// Of all messages together.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::One(_, message) => message.size().into(),
            Self::Many(many) => many.bytes,
        }
    }

    pub(crate) fn get(&self, id: I) -> Option<&M> {
        match self {
            Self::Empty => None,
            Self::One(known, message) => (*known == id).then_some(message),
            Self::Many(many) => many.queue.get(many.place(id).ok()?).map(|(_, message)| message),
        }
    }

    pub(crate) fn contains(&self, id: I) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn insert(&mut self, id: I, message: M) {
        match self {
            Self::Many(many) => many.insert(id, message),
            Self::One(known, _) if *known != id => {
                let mut many = Box::<Many<I, M>>::default();
                if let Self::One(first, its) = std::mem::take(self) {
                    many.insert(first, its);
                }
                many.insert(id, message);
                *self = Self::Many(many);
            }
            Self::Empty | Self::One(..) => *self = Self::One(id, message),
        }
    }

    pub(crate) fn remove(&mut self, id: I) -> Option<M> {
        match self {
            Self::Many(many) => {
                let message = many.remove(id);
                self.give_back();
                message
            }
            Self::One(known, _) if *known == id => match std::mem::take(self) {
                Self::One(_, message) => Some(message),
                _ => None,
            },
            Self::Empty | Self::One(..) => None,
        }
    }

    /// Takes these out, which rise; returns those that were there with their sizes.
    pub(crate) fn remove_all(&mut self, ids: &[I]) -> Vec<(I, u32)> {
        match self {
            Self::Many(many) => {
                let removed = many.remove_all(ids);
                self.give_back();
                removed
            }
            Self::One(id, _) if ids.binary_search(id).is_ok() => {
                let id = *id;
                self.remove(id).map(|message| (id, message.size())).into_iter().collect()
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

    pub(crate) fn shrink(&mut self) {
        let Self::Many(many) = self else { return };
        if many.queue.len() > 1 {
            many.queue.shrink_to_fit();
        } else {
            *self = many.queue.pop_front().map_or(Self::Empty, |(id, message)| Self::One(id, message));
        }
    }
}

impl<I, M> IntoIterator for MessagesById<I, M> {
    type Item = (I, M);
    type IntoIter = vec_deque::IntoIter<(I, M)>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::Empty => VecDeque::new().into_iter(),
            Self::One(id, message) => VecDeque::from([(id, message)]).into_iter(),
            Self::Many(many) => many.queue.into_iter(),
        }
    }
}

/// In any order, each id once.
impl<I: Ord + Copy, M: MessageSize> FromIterator<(I, M)> for MessagesById<I, M> {
    fn from_iter<T: IntoIterator<Item = (I, M)>>(messages: T) -> Self {
        let mut queue: Vec<(I, M)> = messages.into_iter().collect();
        queue.sort_by_key(|(id, _)| *id);
        let bytes = queue.iter().map(|(_, message)| u64::from(message.size())).sum();
        let mut messages = Self::Many(Box::new(Many { queue: queue.into(), bytes }));
        messages.shrink();
        messages
    }
}

#[cfg(test)]
impl<I: Ord + Copy, M: MessageSize, const N: usize> From<[(I, M); N]> for MessagesById<I, M> {
    fn from(messages: [(I, M); N]) -> Self {
        messages.into_iter().collect()
    }
}

impl<I: Ord + Copy, M: MessageSize> Many<I, M> {
    /// Where the message is, or where it belongs.
    fn place(&self, id: I) -> Result<usize, usize> {
        match (self.queue.front(), self.queue.back()) {
            (Some((first, _)), _) if *first == id => Ok(0),
            (_, Some((last, _))) if *last < id => Err(self.queue.len()),
            _ => self.queue.binary_search_by_key(&id, |(id, _)| *id),
        }
    }

    fn insert(&mut self, id: I, message: M) {
        self.bytes += u64::from(message.size());
        match self.place(id) {
            Ok(at) => {
                let (_, old) = std::mem::replace(&mut self.queue[at], (id, message));
                self.bytes -= u64::from(old.size());
            }
            Err(at) => {
                self.grow();
                self.queue.insert(at, (id, message));
            }
        }
    }

    fn grow(&mut self) {
        let len = self.queue.len();
        if len == self.queue.capacity() {
            self.queue.reserve_exact((len / 8).max(GROWTH_MIN));
        }
    }

    fn remove(&mut self, id: I) -> Option<M> {
        let (_, message) = self.queue.remove(self.place(id).ok()?)?;
        self.bytes -= u64::from(message.size());
        self.give_back();
        Some(message)
    }

    fn remove_all(&mut self, ids: &[I]) -> Vec<(I, u32)> {
        let mut removed = Vec::new();
        self.queue.retain(|(id, message)| {
            let stays = ids.binary_search(id).is_err();
            if !stays {
                removed.push((*id, message.size()));
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
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    /// Of so many bytes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Bytes(u32);

    impl MessageSize for Bytes {
        fn size(&self) -> u32 {
            self.0
        }
    }

    proptest! {
        /// It is a sorted map, whatever order the ids come in.
        #[test]
        fn it_holds_what_a_map_would(steps in prop::collection::vec((0u8..5, 0u8..20), 1..80)) {
            let (mut messages, mut model) = (MessagesById::default(), BTreeMap::new());
            for (size, (step, id)) in (0..).map(Bytes).zip(steps) {
                match step {
                    0 | 1 => {
                        messages.insert(id, size);
                        model.insert(id, size);
                    }
                    2 => prop_assert_eq!(messages.remove(id), model.remove(&id)),
                    3 => messages.shrink(),
                    _ => {
                        let ids = [id, id + 1, id + 2];
                        let expected: Vec<_> = ids.iter().filter_map(|id| Some((*id, model.remove(id)?.0))).collect();
                        prop_assert_eq!(messages.remove_all(&ids), expected);
                    }
                }
                prop_assert_eq!((messages.len(), messages.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(messages.bytes(), model.values().map(|size| u64::from(size.0)).sum::<u64>());
                prop_assert!(messages.iter().eq(model.iter().map(|(id, size)| (*id, size))));
                prop_assert!(messages.iter_after(None).eq(messages.iter()));
                for id in 0..23 {
                    let behind = model.range(id + 1..).map(|(id, size)| (*id, size));
                    prop_assert!(messages.iter_after(Some(id)).eq(behind));
                    prop_assert_eq!(messages.get(id), model.get(&id));
                    prop_assert_eq!(messages.contains(id), model.contains_key(&id));
                }
            }
            let again: MessagesById<_, _> = messages.clone().into_iter().rev().collect();
            prop_assert_eq!((&again, again.bytes()), (&messages, messages.bytes()));
            prop_assert!(messages.iter_mut().map(|(id, size)| (id, *size)).eq(model));
        }
    }

    #[test]
    fn when_it_is_empty_again_it_holds_no_memory_of_a_burst() {
        let mut messages = MessagesById::default();
        (0..100).for_each(|id| messages.insert(id, Bytes(1)));
        (0..100).for_each(|id| assert_eq!(messages.remove(id), Some(Bytes(1))));
        assert!(matches!(messages, MessagesById::Empty), "{} places for none", messages.capacity());
    }

    #[test]
    fn memory_of_a_burst_is_given_back_also_if_one_message_stays() {
        let mut messages = MessagesById::default();
        (1..=10_000).for_each(|id| messages.insert(id, Bytes(1)));
        let all_but_the_last: Vec<i32> = (1..10_000).collect();
        assert_eq!(messages.remove_all(&all_but_the_last).len(), 9_999);
        assert!(messages.capacity() < 100, "{} places for one message", messages.capacity());
        messages.shrink();
        assert!(matches!(messages, MessagesById::One(..)), "{} places for one message", messages.capacity());
        messages.remove(10_000);
        assert!(matches!(messages, MessagesById::Empty), "{} places for none", messages.capacity());
    }
}
