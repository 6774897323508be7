//! The session half: the subscriptions of one client, its packet ids in flight, and what waits for it.
//!
//! Both roles use it: what a broker sends to a client and what a client sends to a broker obey the same rules.
//! The session does not hold messages. It orders *entries*, small handles that the caller can turn into a message.
//!
//! ```text
//!   push ─► waiting: urgent, then normal ──hand_out──► in flight (entry, packet id) ──ack──► done
//!                                                          │ disconnected, connected
//!                                                          └─► the same again, in order, with DUP
//! ```
//!
//! Contract: [`Session::hand_out`] gives entries while the send window is open; each is sent at once under the id
//! that comes with it. Nothing is sent again by a timer, only on a new connection
//! [MQTT5-4.4.0-1] [MQTT311-4.4.0-1].

mod line;

use std::collections::VecDeque;

use crate::topic::{TopicFilter, TopicFilterBuf};
use crate::{PacketId, SubscriptionOptions};
use line::{KEPT_CAPACITY, Line, Waiting};

/// No send window is larger, whatever the settings say: after an unclean start new packet ids begin this far past
/// the last known one, so that they meet none that was handed out and not logged.
pub const SEND_WINDOW_MAX: u16 = 1024;

/// The limits of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The most entries in flight, whatever the client would take; 1 to [`SEND_WINDOW_MAX`].
    pub send_window: u16,
    /// So many places of the window, at most half of it, urgent entries leave free: a client that does not acknowledge
    /// those, since it waits for something normal first, still gets that. A window of one has no such place.
    pub kept_for_normal: u16,
    /// The most entries that wait. What happens at the limit is the caller's policy.
    pub waiting_max: usize,
    pub subscriptions_max: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { send_window: 32, kept_for_normal: 0, waiting_max: 10_000, subscriptions_max: 30 }
    }
}

/// In which of the two lines an entry waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Handed out before anything normal.
    Urgent,
    #[default]
    Normal,
}

/// How the process that kept this session before has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// All hand-outs are known.
    Clean,
    /// Some hand-outs may be unknown: everything that is restored may have been received already.
    Unclean,
}

/// A limit was reached; the entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// An entry that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOut<E> {
    pub entry: E,
    pub packet_id: PacketId,
    /// It may have been received before [MQTT5-3.3.1-1] [MQTT311-3.3.1-1].
    pub dup: bool,
    /// It was not in flight before.
    pub is_first: bool,
}

#[derive(Clone, Copy, Debug)]
struct InFlight<E> {
    entry: E,
    packet_id: PacketId,
    priority: Priority,
}

/// What a subscribe did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    New,
    Replaced,
    /// It had just this one.
    Unchanged,
}

/// One subscription of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSubscription {
    pub filter: TopicFilterBuf,
    /// With the granted QoS.
    pub options: SubscriptionOptions,
    pub subscription_id: Option<u32>,
}

/// The state that outlives a connection.
#[derive(Debug)]
pub struct Session<E> {
    limits: SessionLimits,
    subscriptions: Vec<ClientSubscription>,
    /// Small while nothing urgent waits.
    urgent: Option<Box<Line<E>>>,
    normal: Line<E>,
    /// In the order of their first hand-out.
    in_flight: VecDeque<InFlight<E>>,
    /// How many at the front of `in_flight` were sent on this connection.
    sent: usize,
    /// 0 while disconnected.
    window: u16,
    next_id: PacketId,
    /// Ids that other exchanges of the same direction use (SUBSCRIBE, UNSUBSCRIBE of a client).
    #[expect(clippy::box_collection, reason = "one word for a broker, which has none")]
    reserved: Option<Box<Vec<PacketId>>>,
    unknown_acks: u32,
}

impl<E: Copy> Session<E> {
    /// A session without history, not connected.
    pub const fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            subscriptions: Vec::new(),
            urgent: None,
            normal: Line::new(),
            in_flight: VecDeque::new(),
            sent: 0,
            window: 0,
            next_id: PacketId::MIN,
            reserved: None,
            unknown_acks: 0,
        }
    }

    /// A connection has this session now. All that is in flight will be handed out again, in the original order
    /// and under the same ids [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT311-4.4.0-1] [MQTT311-4.6.0-1]. For a clean
    /// start make a new session instead.
    pub fn connected(&mut self, client_receive_maximum: u16) {
        let setting = self.limits.send_window.clamp(1, SEND_WINDOW_MAX);
        // [MQTT5-3.3.4-7] [MQTT5-3.3.4-9]
        self.window = setting.min(client_receive_maximum.max(1));
        self.sent = 0;
    }

    /// The connection is gone; everything is kept.
    pub fn disconnected(&mut self) {
        self.window = 0;
        self.sent = 0;
    }

    pub const fn is_connected(&self) -> bool {
        self.window > 0
    }

    /// Adds an entry at the end of its line.
    ///
    /// # Errors
    /// [`Full`] when as many wait as may wait.
    pub fn push(&mut self, entry: E, priority: Priority) -> Result<(), Full> {
        if self.waiting_len() >= self.limits.waiting_max {
            return Err(Full);
        }
        self.line(priority).push_back(entry);
        Ok(())
    }

    fn line(&mut self, priority: Priority) -> &mut Line<E> {
        match priority {
            Priority::Urgent => self.urgent.get_or_insert_with(|| Box::new(Line::new())),
            Priority::Normal => &mut self.normal,
        }
    }

    /// The next entry to send, while the client's window is open. First what was in flight, then the urgent line
    /// as far as it may go, then the normal one. An entry that need not be sent after all (expired, too large) is ended with
    /// [`Self::ack`].
    pub fn hand_out(&mut self) -> Option<HandOut<E>> {
        if self.sent >= usize::from(self.window) {
            return None;
        }
        if let Some(&InFlight { entry, packet_id, .. }) = self.in_flight.get(self.sent) {
            self.sent += 1;
            return Some(HandOut { entry, packet_id, dup: true, is_first: false });
        }
        let (Waiting { entry, dup }, priority) = self.next_waiting()?;
        let packet_id = self.allocate_id();
        self.in_flight.push_back(InFlight { entry, packet_id, priority });
        self.sent += 1;
        Some(HandOut { entry, packet_id, dup, is_first: true })
    }

    /// Undoes the last hand-out, which was not sent: the next one gives it again, unless something more urgent comes.
    pub fn take_back(&mut self, last: HandOut<E>) {
        self.sent = self.sent.saturating_sub(1);
        if last.is_first
            && let Some(InFlight { entry, packet_id, priority }) = self.in_flight.pop_back()
        {
            self.next_id = packet_id;
            self.line(priority).put_back(Waiting { entry, dup: last.dup });
        }
    }

    /// What [`Self::hand_out`] will give, in that order, as far as the window goes and unless something changes before.
    pub fn upcoming(&self) -> impl Iterator<Item = E> {
        let repeated = self.in_flight.iter().skip(self.sent).map(|slot| slot.entry);
        let urgent = self.urgent_entries().take(self.room_for_urgent());
        let room = usize::from(self.window).saturating_sub(self.sent);
        repeated.chain(urgent).chain(self.normal.entries()).take(room)
    }

    fn next_waiting(&mut self) -> Option<(Waiting<E>, Priority)> {
        let may_be_urgent = self.room_for_urgent() > 0;
        let urgent = self.urgent.as_mut().filter(|_| may_be_urgent).and_then(|line| line.pop_front());
        let urgent = urgent.map(|waiting| (waiting, Priority::Urgent));
        urgent.or_else(|| Some((self.normal.pop_front()?, Priority::Normal)))
    }

    fn room_for_urgent(&self) -> usize {
        let kept = self.limits.kept_for_normal.min(self.window / 2);
        let in_flight = self.in_flight.iter().filter(|slot| slot.priority == Priority::Urgent).count();
        usize::from(self.window - kept).saturating_sub(in_flight)
    }

    /// The next free id [MQTT5-2.2.1-3] [MQTT5-2.2.1-4] [MQTT311-2.3.1-2] [MQTT311-2.3.1-4].
    fn allocate_id(&mut self) -> PacketId {
        let mut id = self.next_id;
        // Ends: far fewer ids are in flight than exist.
        while self.is_in_use(id) {
            id = id.next();
        }
        self.next_id = id.next();
        id
    }

    fn is_in_use(&self, id: PacketId) -> bool {
        self.in_flight.iter().any(|slot| slot.packet_id == id)
            || self.reserved.as_ref().is_some_and(|reserved| reserved.contains(&id))
    }

    /// Takes an id for an exchange that is no message.
    pub(crate) fn reserve_id(&mut self) -> PacketId {
        let id = self.allocate_id();
        self.reserved.get_or_insert_default().push(id);
        id
    }

    /// False if the id was not reserved.
    pub(crate) fn release_id(&mut self, id: PacketId) -> bool {
        let Some(reserved) = &mut self.reserved else { return false };
        let index = reserved.iter().position(|&reserved| reserved == id);
        index.map(|index| reserved.swap_remove(index)).is_some()
    }

    pub(crate) fn release_all_ids(&mut self) {
        self.reserved = None;
    }

    pub(crate) fn reserved_len(&self) -> usize {
        self.reserved.as_ref().map_or(0, |reserved| reserved.len())
    }

    /// The other side has forgotten the session: what was in flight is new to it, and goes first.
    pub(crate) fn forget_hand_outs(&mut self) {
        while let Some(InFlight { entry, .. }) = self.in_flight.pop_back() {
            self.line(Priority::Urgent).push_front(entry);
        }
        self.sent = 0;
    }

    /// The client has what was sent under `packet_id`: returns its entry, which is done. `None`: nothing was sent
    /// under this id on this connection; ignored and counted.
    pub fn ack(&mut self, packet_id: PacketId) -> Option<E> {
        let index = self.in_flight.iter().take(self.sent).position(|slot| slot.packet_id == packet_id);
        let Some(slot) = index.and_then(|index| self.in_flight.remove(index)) else {
            self.unknown_acks = self.unknown_acks.saturating_add(1);
            return None;
        };
        self.sent -= 1;
        if self.in_flight.is_empty() && self.in_flight.capacity() > KEPT_CAPACITY {
            self.in_flight.shrink_to_fit();
        }
        Some(slot.entry)
    }

    /// Acks for ids that were not in flight.
    pub const fn unknown_acks(&self) -> u32 {
        self.unknown_acks
    }

    /// Drops waiting entries that `keep` does not want, because they expired or were superseded. What is in flight
    /// stays in flight. Returns how many went.
    pub fn retain_waiting(&mut self, mut keep: impl FnMut(&E) -> bool) -> usize {
        let before = self.waiting_len();
        self.urgent.iter_mut().for_each(|line| line.retain(&mut keep));
        self.normal.retain(&mut keep);
        before - self.waiting_len()
    }

    pub fn waiting_len(&self) -> usize {
        self.urgent.as_ref().map_or(0, |line| line.len()) + self.normal.len()
    }

    pub fn in_flight_len(&self) -> usize {
        self.in_flight.len()
    }

    /// The entries in flight with their ids, in the order of their first hand-out.
    pub fn in_flight(&self) -> impl Iterator<Item = (E, PacketId)> {
        self.in_flight.iter().map(|slot| (slot.entry, slot.packet_id))
    }

    /// The entries that wait, in the order they will be handed out.
    pub fn waiting(&self) -> impl Iterator<Item = E> {
        self.urgent_entries().chain(self.normal.entries())
    }

    fn urgent_entries(&self) -> impl Iterator<Item = E> {
        self.urgent.iter().flat_map(|line| line.entries())
    }

    /// Puts back an entry after a restart, past every limit. With an id it was handed out: call for these in the
    /// order of their hand-outs. Without one call in the order of their arrival. End with [`Self::restored`].
    pub fn restore(&mut self, entry: E, packet_id: Option<PacketId>, priority: Priority) {
        match packet_id {
            Some(packet_id) => self.in_flight.push_back(InFlight { entry, packet_id, priority }),
            None => self.line(priority).push_back(entry),
        }
    }

    /// What [`Self::restore`] takes, in an order in which it may be called.
    pub fn entries(&self) -> impl Iterator<Item = (E, Option<PacketId>, Priority)> {
        let in_flight = self.in_flight.iter().map(|slot| (slot.entry, Some(slot.packet_id), slot.priority));
        let urgent = self.urgent_entries().map(|entry| (entry, None, Priority::Urgent));
        let normal = self.normal.entries().map(|entry| (entry, None, Priority::Normal));
        in_flight.chain(urgent).chain(normal)
    }

    /// The id before the next one, for [`Self::restored`]: none that is newer was handed out.
    pub fn last_packet_id(&self) -> PacketId {
        self.next_id.previous()
    }

    /// Ends a restore. `last_handed_out` is the newest id that is known, also if its entry is done. After an
    /// unclean end every entry may have been received, so all carry DUP, and new ids start a whole send window
    /// past the last known one.
    pub fn restored(&mut self, last_handed_out: Option<PacketId>, restart: Restart) {
        let last = last_handed_out.or_else(|| self.in_flight.back().map(|slot| slot.packet_id));
        let next = last.map_or(PacketId::MIN, PacketId::next);
        self.next_id = match restart {
            Restart::Clean => next,
            Restart::Unclean => next.advanced_by(SEND_WINDOW_MAX),
        };
        if restart == Restart::Unclean {
            self.urgent.iter_mut().for_each(|line| line.mark_all_dup());
            self.normal.mark_all_dup();
        }
    }

    /// Adds or replaces a subscription.
    ///
    /// # Errors
    /// [`Full`] when the client has as many as it may have.
    pub fn subscribe(
        &mut self,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) -> Result<Subscribed, Full> {
        let same = self.subscriptions.iter_mut().find(|known| known.filter.as_str() == filter.as_str());
        if let Some(known) = same {
            if (known.options, known.subscription_id) == (options, subscription_id) {
                return Ok(Subscribed::Unchanged);
            }
            // [MQTT5-3.8.4-3] [MQTT311-3.8.4-3]
            (known.options, known.subscription_id) = (options, subscription_id);
            return Ok(Subscribed::Replaced);
        }
        if self.subscriptions.len() >= self.limits.subscriptions_max {
            return Err(Full);
        }
        self.restore_subscription(filter, options, subscription_id);
        Ok(Subscribed::New)
    }

    /// Puts a subscription back that the session has had, whatever the limit is now.
    pub fn restore_subscription(
        &mut self,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) {
        self.subscriptions.push(ClientSubscription { filter: filter.to_owned(), options, subscription_id });
    }

    /// False if there was no such subscription. Filters are compared by character
    /// [MQTT5-3.10.4-1] [MQTT311-3.10.4-1].
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|known| known.filter.as_str() != filter);
        self.subscriptions.len() < before
    }

    pub fn subscriptions(&self) -> &[ClientSubscription] {
        &self.subscriptions
    }

    /// Gives memory of past traffic back.
    pub fn shrink(&mut self) {
        self.urgent = self.urgent.take().filter(|line| line.len() > 0);
        self.urgent.iter_mut().for_each(|line| line.shrink());
        self.normal.shrink();
        self.in_flight.shrink_to_fit();
    }
}
