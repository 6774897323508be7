//! The progress of one consumer group on one topic: the cursor, and each message before it that is not consumed yet.
//! Pure: time is a parameter.
//!
//! ```text
//! at or past the cursor: never handed out
//! before the cursor:     invisible ── deadline ──► due again ── hand-out, attempt + 1 ──► invisible
//!                        invisible ── hold ──► held ── end ──► ending ── consume ──► consumed (in no table any more)
//!                                                ├── consume ──► consumed
//!                                                └── release ──► invisible or due again, as its deadline says
//! ```
//!
//! In a topic of message groups, of each group one message is in the table of hand-outs: its *head*. What a pick passes
//! because its group has a head is *parked*: an open hand-out with attempt 0, so that it is not taken for consumed. When
//! the head is consumed, the next that is parked becomes the head and is due.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use commitlog::Position;

use super::messages::Messages;
use crate::ids::Now;
use crate::limits::IN_FLIGHT_MAX;
use crate::message::TagFilter;
use crate::records::GroupKey;

/// A group that has reached the limit of hand-outs is told to have left it when it has no more than these.
const IN_FLIGHT_LEFT: usize = IN_FLIGHT_MAX / 10 * 9;
/// How long a message rests that could not be moved to the dead letters.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(5);
/// Messages that one pick parks: they are logged with its hand-outs.
const PARKED_MAX: usize = 256;
/// Messages past the cursor that one pick examines: filters may leave out most of a topic.
const SCAN_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Progress {
    cursor: Position,
    /// Every message before the cursor that is not consumed.
    handed_out: HashMap<Position, HandedOut>,
    due_again: BTreeSet<Position>,
    /// Of a topic of message groups, as is the next.
    head_by_group: HashMap<GroupKey, Position>,
    parked: BTreeSet<Parked>,
    deadlines: BTreeSet<(Now, Position)>,
    last_serial: u64,
    /// Picks that the limit of hand-outs has ended since it was reached.
    ended_by_limit: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct HandedOut {
    /// 0: it was parked before, and is due for the first time.
    attempt: u32,
    /// Of which it is the head.
    group: Option<GroupKey>,
    visibility: Visibility,
}

#[derive(Clone, Copy, Debug)]
enum Visibility {
    DueAgain,
    Invisible { serial: u64, until: Now },
    Held { serial: u64, until: Now },
    Ending,
}

/// Where a message stands with the group, by what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    NotHandedOut,
    HandedOut {
        attempt: u32,
    },
    Consumed,
    /// Somebody may have appended its acknowledgement, or gives it back.
    Held,
}

/// A message that is held, and the hand-out that it is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    position: Position,
    serial: u64,
}

/// What a receive asks for, with the limits of its group.
pub(crate) struct PickRequest<'a> {
    pub(crate) filter: &'a TagFilter,
    pub(crate) max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) invisible: Duration,
    pub(crate) attempts_max: u32,
    /// Of each message group one message at a time.
    pub(crate) is_fifo: bool,
    pub(crate) now: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOut {
    /// Where it stands in the line.
    pub(crate) position: Position,
    /// Its name.
    pub(crate) message: Position,
    pub(crate) attempt: u32,
    pub(crate) serial: u64,
    /// It was past the cursor.
    pub(crate) is_new: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) hand_outs: Vec<HandOut>,
    /// Passed by, behind the heads of their groups.
    pub(crate) parked: Vec<Parked>,
    /// For the dead letters: they were handed out as often as the group allows. Held, and once released due after a
    /// pause.
    pub(crate) dead: Vec<HandOut>,
    /// Of the records of what is handed out.
    pub(crate) bytes: usize,
    /// Left out by the filter, and so consumed.
    pub(crate) skipped: Vec<Position>,
    /// The scan ended before the topic did.
    pub(crate) more: bool,
    pub(crate) limit: Option<LimitNews>,
}

/// What is to be said of the most that a group may have in hand-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitNews {
    Reached,
    Left {
        /// Picks that it has ended.
        picks: u64,
    },
}

impl Picked {
    /// Behind all hand-outs, which move the cursor by themselves.
    pub(crate) fn last_skipped(&self) -> Option<Position> {
        self.skipped.last().copied().filter(|last| self.open().all(|(position, _)| position < *last))
    }

    /// What is to be logged as handed out, with attempts.
    pub(crate) fn open(&self) -> impl Iterator<Item = (Position, u32)> + '_ {
        let hand_outs = self.hand_outs.iter().map(|out| (out.position, out.attempt));
        hand_outs.chain(self.parked.iter().map(|parked| (parked.position(), 0)))
    }
}

/// The receipt of this hand-out is not valid any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Progress {
    /// Hands messages out: first those that are due again, then those past the cursor.
    pub(crate) fn pick(&mut self, messages: &Messages, request: &PickRequest<'_>) -> Picked {
        self.expire(request.now);
        let mut picked = Picked { limit: self.limit_left(), ..Picked::default() };
        let mut budget = Budget { count: request.max, bytes: request.bytes_max, taken: 0 };
        self.pick_due(messages, request, &mut budget, &mut picked);
        if !budget.is_spent() {
            self.pick_new(messages, request, &mut budget, &mut picked);
        }
        picked.bytes = budget.taken;
        picked
    }

    /// Whether a pick would examine any message now.
    pub(crate) fn has_some(&self, messages: &Messages, now: Now) -> bool {
        !self.due_again.is_empty()
            || self.next_deadline().is_some_and(|until| until <= now)
            || messages.range(self.cursor..).next().is_some()
    }

    fn expire(&mut self, now: Now) {
        while let Some((until, position)) = self.deadlines.first().copied()
            && until <= now
        {
            self.deadlines.pop_first();
            self.make_due(position);
        }
    }

    fn pick_due(&mut self, messages: &Messages, request: &PickRequest<'_>, budget: &mut Budget, picked: &mut Picked) {
        let mut from = Position(0);
        for _ in 0..SCAN_MAX {
            let Some(position) = self.due_again.range(from..).next().copied() else { return };
            from = after(position);
            let Some(entry) = messages.get(position) else {
                // It was older than the retention time.
                self.consume(position);
                continue;
            };
            if !request.filter.matches(entry.tag.as_deref()) {
                continue;
            }
            let (attempt, group) =
                self.handed_out.get(&position).map_or((0, None), |entry| (entry.attempt, entry.group));
            if attempt >= request.attempts_max {
                picked.dead.push(self.hold_for_dead_letters(position, group, attempt, request.now));
            } else if budget.take(entry.bytes()) {
                picked.hand_outs.push(self.hide(position, group, attempt + 1, request.now.after(request.invisible)));
            } else {
                return;
            }
        }
    }

    fn pick_new(&mut self, messages: &Messages, request: &PickRequest<'_>, budget: &mut Budget, picked: &mut Picked) {
        for (seen, (position, entry)) in messages.range(self.cursor..).enumerate() {
            if seen >= SCAN_MAX {
                picked.more = true;
                return;
            }
            let group = entry.group.filter(|_| request.is_fifo);
            if !request.filter.matches(entry.tag.as_deref()) {
                picked.skipped.push(position);
            } else if let Some(group) = group.filter(|group| self.head_by_group.contains_key(group)) {
                if picked.parked.len() >= PARKED_MAX {
                    picked.more = true;
                    return;
                }
                self.parked.insert(Parked::new(group, position));
                picked.parked.push(Parked::new(group, position));
            } else {
                if self.handed_out.len() >= IN_FLIGHT_MAX {
                    picked.limit = self.limit_reached();
                    return;
                }
                if !budget.take(entry.bytes()) {
                    return;
                }
                self.head_by_group.extend(group.map(|group| (group, position)));
                let out = self.hide(position, group, 1, request.now.after(request.invisible));
                picked.hand_outs.push(HandOut { is_new: true, ..out });
            }
            self.cursor = after(position);
        }
    }

    fn limit_reached(&mut self) -> Option<LimitNews> {
        let news = self.ended_by_limit.is_none().then_some(LimitNews::Reached);
        *self.ended_by_limit.get_or_insert(0) += 1;
        news
    }

    fn limit_left(&mut self) -> Option<LimitNews> {
        self.ended_by_limit.take_if(|_| self.handed_out.len() <= IN_FLIGHT_LEFT).map(|picks| LimitNews::Left { picks })
    }

    fn hide(&mut self, position: Position, group: Option<GroupKey>, attempt: u32, until: Now) -> HandOut {
        let serial = self.next_serial();
        self.due_again.remove(&position);
        self.deadlines.insert((until, position));
        let visibility = Visibility::Invisible { serial, until };
        self.handed_out.insert(position, HandedOut { attempt, group, visibility });
        HandOut { position, message: position, attempt, serial, is_new: false }
    }

    fn hold_for_dead_letters(
        &mut self,
        position: Position,
        group: Option<GroupKey>,
        attempt: u32,
        now: Now,
    ) -> HandOut {
        let (serial, until) = (self.next_serial(), now.after(DEAD_LETTER_PAUSE));
        self.due_again.remove(&position);
        let visibility = Visibility::Held { serial, until };
        self.handed_out.insert(position, HandedOut { attempt, group, visibility });
        HandOut { position, message: position, attempt, serial, is_new: false }
    }

    fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    fn make_due(&mut self, position: Position) {
        if let Some(entry) = self.handed_out.get_mut(&position) {
            entry.visibility = Visibility::DueAgain;
            self.due_again.insert(position);
        }
    }

    /// Holds an invisible message back until [`Progress::consume`] or [`Progress::release`].
    pub(crate) fn hold(&mut self, position: Position, serial: u64, now: Now) -> Result<(), Expired> {
        let until = self.invisible_until(position, serial, now)?;
        self.deadlines.remove(&(until, position));
        self.set_visibility(position, Visibility::Held { serial, until });
        Ok(())
    }

    pub(crate) fn release(&mut self, position: Position, serial: u64) {
        let Some(HandedOut { visibility: Visibility::Held { serial: held, until }, .. }) =
            self.handed_out.get(&position)
        else {
            return;
        };
        if *held == serial {
            let until = *until;
            self.deadlines.insert((until, position));
            self.set_visibility(position, Visibility::Invisible { serial, until });
        }
    }

    /// Makes the message invisible from now on for another time, under a new serial.
    pub(crate) fn change(
        &mut self,
        position: Position,
        serial: u64,
        invisible: Duration,
        now: Now,
    ) -> Result<u64, Expired> {
        let until = self.invisible_until(position, serial, now)?;
        self.deadlines.remove(&(until, position));
        let (attempt, group) = self.handed_out.get(&position).map_or((1, None), |entry| (entry.attempt, entry.group));
        Ok(self.hide(position, group, attempt, now.after(invisible)).serial)
    }

    /// What is invisible under this serial; its message by its place in the line.
    pub(crate) fn hand_out(&self, position: Position, serial: u64) -> Option<HandOut> {
        let HandedOut { attempt, visibility, .. } = self.handed_out.get(&position)?;
        let is_out = matches!(visibility, Visibility::Invisible { serial: current, .. } if *current == serial);
        is_out.then_some(HandOut { position, message: position, attempt: *attempt, serial, is_new: false })
    }

    fn invisible_until(&self, position: Position, serial: u64, now: Now) -> Result<Now, Expired> {
        match self.handed_out.get(&position).map(|entry| entry.visibility) {
            Some(Visibility::Invisible { serial: current, until }) if current == serial && until > now => Ok(until),
            _ => Err(Expired),
        }
    }

    fn set_visibility(&mut self, position: Position, visibility: Visibility) {
        if let Some(entry) = self.handed_out.get_mut(&position) {
            entry.visibility = visibility;
        }
    }

    /// Its acknowledgement is appended, and not durable: a held message that is not released any more.
    pub(crate) fn end(&mut self, position: Position) {
        self.set_visibility(position, Visibility::Ending);
    }

    /// Marks the message as consumed, whatever its visibility. Returns whether another one of its message group is due now.
    pub(crate) fn consume(&mut self, position: Position) -> bool {
        self.cursor = self.cursor.max(after(position));
        let Some(HandedOut { visibility, group, .. }) = self.handed_out.remove(&position) else { return false };
        if let Visibility::Invisible { until, .. } = visibility {
            self.deadlines.remove(&(until, position));
        }
        self.due_again.remove(&position);
        group.is_some_and(|group| self.release_next(group))
    }

    /// The head of the message group has gone.
    fn release_next(&mut self, group: GroupKey) -> bool {
        let of_group = Parked::new(group, Position(0))..=Parked::new(group, Position(u64::MAX));
        let Some(parked) = self.parked.range(of_group).next().copied() else {
            self.head_by_group.remove(&group);
            return false;
        };
        self.parked.remove(&parked);
        let next = parked.position();
        self.head_by_group.insert(group, next);
        self.handed_out.insert(next, HandedOut { attempt: 0, group: Some(group), visibility: Visibility::DueAgain });
        self.due_again.insert(next);
        true
    }

    /// At the end of a replay: of each message group the first open hand-out is the head, and what is behind it is parked.
    pub(crate) fn order_groups(&mut self, messages: &Messages) {
        let group_of = |position: &Position| messages.get(*position).and_then(|entry| entry.group);
        let open = self.handed_out.keys().filter_map(|position| Some((group_of(position)?, *position)));
        let open: BTreeSet<(GroupKey, Position)> = open.collect();
        for (group, position) in open {
            if *self.head_by_group.entry(group).or_insert(position) == position {
                self.handed_out.entry(position).and_modify(|entry| entry.group = Some(group));
            } else {
                self.handed_out.remove(&position);
                self.due_again.remove(&position);
                self.parked.insert(Parked::new(group, position));
            }
        }
    }

    fn is_parked(&self, position: Position, group: Option<GroupKey>) -> bool {
        group.is_some_and(|group| self.parked.contains(&Parked::new(group, position)))
    }

    /// `group` is the message's, here and below.
    pub(crate) fn standing(&self, position: Position, group: Option<GroupKey>) -> Standing {
        match self.handed_out.get(&position) {
            Some(HandedOut { visibility: Visibility::Held { .. }, .. }) => Standing::Held,
            Some(HandedOut { visibility: Visibility::Ending, .. }) => Standing::Consumed,
            Some(HandedOut { attempt, .. }) => Standing::HandedOut { attempt: *attempt },
            None if self.is_parked(position, group) => Standing::HandedOut { attempt: 0 },
            None if position < self.cursor => Standing::Consumed,
            None => Standing::NotHandedOut,
        }
    }

    pub(crate) fn holdings(&self) -> Vec<Holding> {
        let held = self.handed_out.iter().filter_map(|(position, entry)| match entry.visibility {
            Visibility::Held { serial, .. } => Some(Holding { position: *position, serial }),
            _ => None,
        });
        held.collect()
    }

    pub(crate) fn is_held(&self, holding: Holding) -> bool {
        let visibility = self.handed_out.get(&holding.position).map(|entry| entry.visibility);
        matches!(visibility, Some(Visibility::Held { serial, .. }) if serial == holding.serial)
    }

    /// Message and attempt of all that is handed out and not consumed as appended, in no order.
    pub(crate) fn open_hand_outs(&self) -> Vec<(Position, u32)> {
        let open = self.handed_out.iter().filter(|(_, entry)| !matches!(entry.visibility, Visibility::Ending));
        let parked = self.parked.iter().map(|parked| (parked.position(), 0));
        open.map(|(position, entry)| (*position, entry.attempt)).chain(parked).collect()
    }

    pub(crate) fn is_consumed(&self, position: Position, group: Option<GroupKey>) -> bool {
        position < self.cursor && !self.handed_out.contains_key(&position) && !self.is_parked(position, group)
    }

    /// Undoes a pick whose hand-outs could not be logged. The cursor goes back to a message that had never been handed
    /// out: left before the cursor, the message would be lost at the next start once a later one was logged.
    pub(crate) fn undo_pick(&mut self, picked: &Picked) {
        for parked in &picked.parked {
            self.parked.remove(parked);
            self.cursor = self.cursor.min(parked.position());
        }
        for HandOut { position, attempt, is_new, .. } in &picked.hand_outs {
            let Some(out) = self.handed_out.remove(position) else { continue };
            if let Visibility::Invisible { until, .. } = out.visibility {
                self.deadlines.remove(&(until, *position));
            }
            if *is_new {
                self.cursor = self.cursor.min(*position);
                out.group.map(|group| self.head_by_group.remove(&group));
            } else {
                let (attempt, visibility) = (attempt - 1, Visibility::DueAgain);
                self.handed_out.insert(*position, HandedOut { attempt, visibility, ..out });
                self.due_again.insert(*position);
            }
        }
        picked.dead.iter().for_each(|dead| self.make_due(dead.position));
    }

    /// Applies a hand-out of an earlier start: the message is due again, with its attempt counted.
    pub(crate) fn replay_hand_out(&mut self, position: Position, attempt: u32) {
        self.cursor = self.cursor.max(after(position));
        self.handed_out.insert(position, HandedOut { attempt, group: None, visibility: Visibility::DueAgain });
        self.due_again.insert(position);
    }

    /// Applies what an earlier start said: every message below the cursor is consumed or in a hand-out.
    pub(crate) fn replay_cursor(&mut self, cursor: Position) {
        self.cursor = self.cursor.max(cursor);
    }

    /// When the next invisible message is due again.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    pub(crate) fn cursor(&self) -> Position {
        self.cursor
    }

    /// How many messages before the cursor were never handed out, are in flight (handed out and invisible), and are due
    /// again.
    pub(crate) fn counts(&self, now: Now) -> (u64, u64, u64) {
        let over = self.deadlines.iter().take_while(|(until, _)| *until <= now).count();
        let due = self.due_again.len() + over;
        let is_first = |position: &&Position| self.handed_out.get(position).is_some_and(|entry| entry.attempt == 0);
        let first = self.due_again.iter().filter(is_first).count();
        let (waiting, in_flight) = (self.parked.len() + first, self.handed_out.len() - due);
        (waiting as u64, in_flight as u64, (due - first) as u64)
    }
}

/// A message that is parked: its group and its position, big-endian, so that as many as can be wait in little memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Parked([u8; 12]);

impl Parked {
    fn new(group: GroupKey, position: Position) -> Self {
        let mut bytes = [0; 12];
        let (first, second) = bytes.split_at_mut(4);
        first.copy_from_slice(&group.to_be_bytes());
        second.copy_from_slice(&position.0.to_be_bytes());
        Self(bytes)
    }

    fn position(self) -> Position {
        let [_, _, _, _, bytes @ ..] = self.0;
        Position(u64::from_be_bytes(bytes))
    }
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position().fmt(f)
    }
}

fn after(position: Position) -> Position {
    Position(position.0.saturating_add(1))
}

/// How much a receive may still take, and what it has taken.
struct Budget {
    count: usize,
    bytes: usize,
    taken: usize,
}

impl Budget {
    /// The first message always fits: a message larger than the budget must be received, too.
    fn take(&mut self, bytes: usize) -> bool {
        if self.count == 0 || (bytes > self.bytes && self.taken > 0) {
            return false;
        }
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.taken += bytes;
        true
    }

    fn is_spent(&self) -> bool {
        self.count == 0
    }
}
