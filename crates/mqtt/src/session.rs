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
//! A session that waits without a connection is small: what only a connection needs, and what was handed out on one, stands
//! apart and is made when it is needed.
//!
//! Contract: [`Session::hand_out`] gives entries while the send window is open; each is sent at once under the id
//! that comes with it. Nothing is sent again by a timer, only on a new connection
//! [MQTT5-4.4.0-1] [MQTT311-4.4.0-1].

mod line;
mod lines;

use std::collections::VecDeque;

use crate::topic::{TopicFilter, TopicFilterBuf};
use crate::{PacketId, SubscriptionOptions};
use line::{KEPT_CAPACITY, Waiting};
use lines::Lines;

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
    pub waiting_max: u32,
    pub subscriptions_max: u32,
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
    next_id: PacketId,
    waiting: Lines<E>,
    /// `None` while there is no connection and nothing is in flight.
    flow: Option<Box<Flow<E>>>,
    #[expect(clippy::box_collection, reason = "one word for the many that have none")]
    subscriptions: Option<Box<Vec<ClientSubscription>>>,
}

/// What was handed out, and how much more may be.
#[derive(Debug)]
struct Flow<E> {
    /// In the order of their first hand-out.
    in_flight: VecDeque<InFlight<E>>,
    /// How many at the front of `in_flight` were sent on this connection.
    sent: usize,
    /// 0 while disconnected.
    window: u16,
    /// Ids that other exchanges of the same direction use (SUBSCRIBE, UNSUBSCRIBE of a client).
    reserved: Vec<PacketId>,
}

impl<E> Default for Flow<E> {
    fn default() -> Self {
        Self { in_flight: VecDeque::new(), sent: 0, window: 0, reserved: Vec::new() }
    }
}

impl<E> Flow<E> {
    fn is_idle(&self) -> bool {
        self.window == 0 && self.in_flight.is_empty() && self.reserved.is_empty()
    }

    fn is_in_use(&self, id: PacketId) -> bool {
        self.in_flight.iter().any(|slot| slot.packet_id == id) || self.reserved.contains(&id)
    }
}

impl<E: Copy> Session<E> {
    /// A session without history, not connected.
    pub const fn new(limits: SessionLimits) -> Self {
        Self { limits, next_id: PacketId::MIN, waiting: Lines::Empty, flow: None, subscriptions: None }
    }

    /// A connection has this session now. All that is in flight will be handed out again, in the original order
    /// and under the same ids [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT311-4.4.0-1] [MQTT311-4.6.0-1]. For a clean
    /// start make a new session instead.
    pub fn connected(&mut self, client_receive_maximum: u16) {
        let setting = self.limits.send_window.clamp(1, SEND_WINDOW_MAX);
        let flow = self.flow.get_or_insert_default();
        // [MQTT5-3.3.4-7] [MQTT5-3.3.4-9]
        flow.window = setting.min(client_receive_maximum.max(1));
        flow.sent = 0;
    }

    /// The connection is gone; everything is kept.
    pub fn disconnected(&mut self) {
        if let Some(flow) = &mut self.flow {
            flow.window = 0;
            flow.sent = 0;
        }
        self.drop_idle_flow();
    }

    fn drop_idle_flow(&mut self) {
        self.flow = self.flow.take().filter(|flow| !flow.is_idle());
    }

    pub fn is_connected(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.window > 0)
    }

    /// Adds an entry at the end of its line.
    ///
    /// # Errors
    /// [`Full`] when as many wait as may wait.
    pub fn push(&mut self, entry: E, priority: Priority) -> Result<(), Full> {
        if self.waiting_len() >= self.limits.waiting_max as usize {
            return Err(Full);
        }
        self.waiting.push_back(entry, priority);
        Ok(())
    }

    /// The next entry to send, while the client's window is open. First what was in flight, then the urgent line
    /// as far as it may go, then the normal one. An entry that need not be sent after all (expired, too large) is ended with
    /// [`Self::ack`].
    pub fn hand_out(&mut self) -> Option<HandOut<E>> {
        let Self { limits, next_id, waiting, flow, .. } = self;
        let flow = flow.as_deref_mut().filter(|flow| flow.sent < usize::from(flow.window))?;
        if let Some(&InFlight { entry, packet_id, .. }) = flow.in_flight.get(flow.sent) {
            flow.sent += 1;
            return Some(HandOut { entry, packet_id, dup: true, is_first: false });
        }
        let may_be_urgent = flow.room_for_urgent(*limits) > 0;
        let urgent = if may_be_urgent { waiting.pop_front(Priority::Urgent) } else { None };
        let (Waiting { entry, dup }, priority) = match urgent {
            Some(urgent) => (urgent, Priority::Urgent),
            None => (waiting.pop_front(Priority::Normal)?, Priority::Normal),
        };
        let packet_id = flow.allocate_id(next_id);
        flow.in_flight.push_back(InFlight { entry, packet_id, priority });
        flow.sent += 1;
        Some(HandOut { entry, packet_id, dup, is_first: true })
    }

    /// Undoes the last hand-out, which was not sent: the next one gives it again, unless something more urgent comes.
    pub fn take_back(&mut self, last: HandOut<E>) {
        let Some(flow) = &mut self.flow else { return };
        flow.sent = flow.sent.saturating_sub(1);
        if last.is_first
            && let Some(InFlight { entry, packet_id, priority }) = flow.in_flight.pop_back()
        {
            self.next_id = packet_id;
            self.waiting.put_back(Waiting { entry, dup: last.dup }, priority);
        }
    }

    /// What [`Self::hand_out`] will give, in that order, as far as the window goes and unless something changes before.
    pub fn upcoming(&self) -> impl Iterator<Item = E> {
        self.flow.iter().flat_map(|flow| {
            let repeated = flow.in_flight.iter().skip(flow.sent).map(|slot| slot.entry);
            let urgent = self.waiting.entries(Priority::Urgent).take(flow.room_for_urgent(self.limits));
            let room = usize::from(flow.window).saturating_sub(flow.sent);
            repeated.chain(urgent).chain(self.waiting.entries(Priority::Normal)).take(room)
        })
    }

    /// Takes an id for an exchange that is no message.
    pub(crate) fn reserve_id(&mut self) -> PacketId {
        let flow = self.flow.get_or_insert_default();
        let id = flow.allocate_id(&mut self.next_id);
        flow.reserved.push(id);
        id
    }

    /// False if the id was not reserved.
    pub(crate) fn release_id(&mut self, id: PacketId) -> bool {
        let Some(flow) = &mut self.flow else { return false };
        let index = flow.reserved.iter().position(|&reserved| reserved == id);
        index.map(|index| flow.reserved.swap_remove(index)).is_some()
    }

    pub(crate) fn release_all_ids(&mut self) {
        if let Some(flow) = &mut self.flow {
            flow.reserved = Vec::new();
        }
        self.drop_idle_flow();
    }

    pub(crate) fn reserved_len(&self) -> usize {
        self.flow.as_ref().map_or(0, |flow| flow.reserved.len())
    }

    /// The other side has forgotten the session: what was in flight is new to it, and goes first.
    pub(crate) fn forget_hand_outs(&mut self) {
        let Some(flow) = &mut self.flow else { return };
        while let Some(InFlight { entry, .. }) = flow.in_flight.pop_back() {
            self.waiting.push_front(entry, Priority::Urgent);
        }
        flow.sent = 0;
    }

    /// The client has what was sent under `packet_id`: returns its entry, which is done. `None`: nothing was sent
    /// under this id on this connection.
    pub fn ack(&mut self, packet_id: PacketId) -> Option<E> {
        let flow = self.flow.as_deref_mut()?;
        let index = flow.in_flight.iter().take(flow.sent).position(|slot| slot.packet_id == packet_id)?;
        let slot = flow.in_flight.remove(index)?;
        flow.sent -= 1;
        if flow.in_flight.is_empty() && flow.in_flight.capacity() > KEPT_CAPACITY {
            flow.in_flight.shrink_to_fit();
        }
        Some(slot.entry)
    }

    /// Drops waiting entries that `keep` does not want, because they expired or were superseded. What is in flight
    /// stays in flight. Returns how many went.
    pub fn retain_waiting(&mut self, keep: impl FnMut(&E) -> bool) -> usize {
        let before = self.waiting_len();
        self.waiting.retain(keep);
        before - self.waiting_len()
    }

    /// Drops what waits, and what is in flight without having been sent on this connection, as an administrator may
    /// (3.1.1 section 4.1). What was sent stays: its acknowledgement may be on the way.
    pub fn discard(&mut self) {
        self.waiting.retain(|_| false);
        if let Some(flow) = &mut self.flow {
            flow.in_flight.truncate(flow.sent);
        }
        self.drop_idle_flow();
    }

    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub fn in_flight_len(&self) -> usize {
        self.flow.as_ref().map_or(0, |flow| flow.in_flight.len())
    }

    /// The entries in flight with their ids, in the order of their first hand-out.
    pub fn in_flight(&self) -> impl Iterator<Item = (E, PacketId)> {
        self.slots_in_flight().map(|slot| (slot.entry, slot.packet_id))
    }

    fn slots_in_flight(&self) -> impl Iterator<Item = &InFlight<E>> {
        self.flow.iter().flat_map(|flow| &flow.in_flight)
    }

    /// The entries that wait, in the order they will be handed out.
    pub fn waiting(&self) -> impl Iterator<Item = E> {
        self.waiting.entries(Priority::Urgent).chain(self.waiting.entries(Priority::Normal))
    }

    /// Puts back an entry after a restart, past every limit. With an id it was handed out: call for these in the
    /// order of their hand-outs. Without one call in the order of their arrival. End with [`Self::restored`].
    pub fn restore(&mut self, entry: E, packet_id: Option<PacketId>, priority: Priority) {
        let Some(packet_id) = packet_id else { return self.waiting.push_back(entry, priority) };
        self.flow.get_or_insert_default().in_flight.push_back(InFlight { entry, packet_id, priority });
    }

    /// The id before the next one, for [`Self::restored`]: none that is newer was handed out.
    pub fn last_packet_id(&self) -> PacketId {
        self.next_id.previous()
    }

    /// Ends a restore. `last_handed_out` is the newest id that is known, also if its entry is done. After an
    /// unclean end every entry may have been received, so all carry DUP, and new ids start a whole send window
    /// past the last known one.
    pub fn restored(&mut self, last_handed_out: Option<PacketId>, restart: Restart) {
        let last = last_handed_out.or_else(|| self.slots_in_flight().last().map(|slot| slot.packet_id));
        let next = last.map_or(PacketId::MIN, PacketId::next);
        self.next_id = match restart {
            Restart::Clean => next,
            Restart::Unclean => next.advanced_by(SEND_WINDOW_MAX),
        };
        if restart == Restart::Unclean {
            self.waiting.mark_all_dup();
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
        let mut subscriptions = self.subscriptions.iter_mut().flat_map(|subscriptions| subscriptions.iter_mut());
        let same = subscriptions.find(|known| known.filter.as_str() == filter.as_str());
        if let Some(known) = same {
            if (known.options, known.subscription_id) == (options, subscription_id) {
                return Ok(Subscribed::Unchanged);
            }
            // [MQTT5-3.8.4-3] [MQTT311-3.8.4-3]
            (known.options, known.subscription_id) = (options, subscription_id);
            return Ok(Subscribed::Replaced);
        }
        if self.subscriptions().len() >= self.limits.subscriptions_max as usize {
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
        let subscriptions = self.subscriptions.get_or_insert_default();
        if subscriptions.is_empty() {
            subscriptions.reserve_exact(1);
        }
        subscriptions.push(ClientSubscription { filter: filter.to_owned(), options, subscription_id });
    }

    /// False if there was no such subscription. Filters are compared by character
    /// [MQTT5-3.10.4-1] [MQTT311-3.10.4-1].
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        let Some(subscriptions) = &mut self.subscriptions else { return false };
        let before = subscriptions.len();
        subscriptions.retain(|known| known.filter.as_str() != filter);
        let is_removed = subscriptions.len() < before;
        if subscriptions.is_empty() {
            self.subscriptions = None;
        }
        is_removed
    }

    pub fn subscriptions(&self) -> &[ClientSubscription] {
        self.subscriptions.as_ref().map_or(&[], |subscriptions| subscriptions)
    }

    /// Gives memory of past traffic back.
    pub fn shrink(&mut self) {
        self.waiting.shrink();
        self.drop_idle_flow();
        if let Some(flow) = &mut self.flow {
            flow.in_flight.shrink_to_fit();
        }
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.shrink_to_fit();
        }
    }
}

impl<E: Copy> Flow<E> {
    fn room_for_urgent(&self, limits: SessionLimits) -> usize {
        let kept = limits.kept_for_normal.min(self.window / 2);
        let in_flight = self.in_flight.iter().filter(|slot| slot.priority == Priority::Urgent).count();
        usize::from(self.window - kept).saturating_sub(in_flight)
    }

    /// The next free id, from `next` on [MQTT5-2.2.1-3] [MQTT5-2.2.1-4] [MQTT311-2.3.1-2] [MQTT311-2.3.1-4].
    fn allocate_id(&self, next: &mut PacketId) -> PacketId {
        let mut id = *next;
        // Ends: far fewer ids are in flight than exist.
        while self.is_in_use(id) {
            id = id.next();
        }
        *next = id.next();
        id
    }
}
