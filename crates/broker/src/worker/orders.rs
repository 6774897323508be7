//! What owners ask and order of clients that are this worker's.

use std::sync::Arc;

use accounts::clients::{ClientState, Depth, Purged, Turn};
use accounts::messages::PlaceOutcome;
use commitlog::{Need, Position};
use mqtt::ReasonCode;
use tokio::sync::oneshot;

use super::Worker;
use super::action::AfterDurable;
use super::clients::ClientView;
use super::post::{FanOut, FanOutOrder, Outcome, P2p, ReplyTarget, ReplyTo};
use crate::client::ClientKey;
use crate::message::SharedMessage;

/// A question or an order, with the place of its answer. How many there are at once is bounded where they are made: each gives
/// its turn back when it is done, and so counts also when nobody waits for it any more.
pub(crate) enum Order {
    /// In the order of the clients.
    States { clients: Vec<ClientKey>, depth: Depth, answer: oneshot::Sender<Vec<ClientState>>, turn: Turn },
    /// How many connections are of this access key.
    OfKey { key_id: Arc<str>, answer: oneshot::Sender<u64>, turn: Turn },
    /// Ends the connection, not the session. `false`: there was none.
    Kick { client: ClientKey, why: &'static str, answer: oneshot::Sender<bool>, turn: Turn },
    /// Drops what waits. Answers when the log has it; not at all if the log has no room to say so.
    Purge { client: ClientKey, answer: oneshot::Sender<Purged>, turn: Turn },
    /// Takes a message for one client.
    Deliver { to: ClientKey, message: SharedMessage, keep: bool, answer: oneshot::Sender<Placed>, turn: Turn },
    /// Takes a message for the subscribers of this worker.
    FanOut { message: SharedMessage, keep: bool, answer: oneshot::Sender<Placed>, turn: Turn },
}

/// What became of an owner's message at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Receivers that were connected.
    pub(crate) online: u64,
    /// Receivers whose inboxes were to keep it on disk.
    pub(crate) inboxes: u64,
    pub(crate) outcome: PlaceOutcome,
}

/// The place that waits for it.
pub(crate) struct PlacedAnswer {
    online: u64,
    inboxes: u64,
    answer: oneshot::Sender<Placed>,
    turn: Turn,
}

impl PlacedAnswer {
    /// The one who asked may have stopped waiting.
    pub(super) fn send(self, outcome: PlaceOutcome) {
        let Self { online, inboxes, answer, turn } = self;
        drop(turn);
        let _ = answer.send(Placed { online, inboxes, outcome });
    }
}

/// `Err`: it is durable from here on.
pub(super) fn outcome_of(outcome: Outcome) -> Result<PlaceOutcome, Position> {
    match outcome {
        Outcome::Durable(end) => Err(end),
        Outcome::Done(_) => Ok(PlaceOutcome::Sent),
        Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS) => Ok(PlaceOutcome::Nobody),
        Outcome::Dropped(_) => Ok(PlaceOutcome::Full),
        Outcome::Unavailable | Outcome::NoRoom | Outcome::Partial { .. } | Outcome::Forbidden(_) => {
            Ok(PlaceOutcome::Unavailable)
        }
    }
}

impl Worker {
    /// Who asked may have stopped waiting: a question is void then, an order is not. Returns how much work it was, in packets.
    pub(super) fn obey(&mut self, order: Order) -> usize {
        match order {
            Order::States { answer, .. } if answer.is_closed() => 1,
            Order::States { clients, depth, answer, turn } => {
                let states = clients.iter().map(|client| self.state_of(client, depth)).collect();
                drop(turn);
                let _ = answer.send(states);
                clients.len()
            }
            Order::OfKey { key_id, answer, turn } => {
                let count = self.connections.of_key(&key_id).count() as u64;
                drop(turn);
                let _ = answer.send(count);
                1
            }
            Order::Kick { client, why, answer, turn } => {
                let was_connected = self.kick(&client, why);
                drop(turn);
                let _ = answer.send(was_connected);
                1
            }
            Order::Purge { .. } if self.shared.journal.is_full_for(Need::Essential) => 1,
            Order::Purge { client, answer, turn } => {
                let purged = self.clients.purge(&client, &mut self.actions);
                self.durability.after_deferred(AfterDurable::Purged { purged, answer, turn });
                usize::try_from(purged.purged).unwrap_or(usize::MAX).max(1)
            }
            Order::Deliver { to, message, keep, answer, turn } => {
                let online = u64::from(self.clients.open_connection_of(&to).is_some());
                let reply_to = self.reply_to_owner(PlacedAnswer { online, inboxes: 0, answer, turn });
                self.clients.take_p2p(P2p { to, message, keep, reply_to }, self.now, &mut self.actions);
                1
            }
            Order::FanOut { message, keep, answer, turn } => {
                let (online, inboxes) = self.clients.count_receivers(&message, keep);
                let reply_to = self.reply_to_owner(PlacedAnswer { online, inboxes, answer, turn });
                let (from, need, order) = (None, Need::Normal, FanOutOrder::LiveFirst);
                let fan_out = FanOut { message, from, keep, need, order, reply_to };
                self.clients.take_fan_out(fan_out, self.now, &mut self.actions);
                1
            }
        }
    }

    fn reply_to_owner(&self, answer: PlacedAnswer) -> ReplyTo {
        ReplyTo { worker: self.me, target: ReplyTarget::Owner(Box::new(answer)) }
    }

    fn state_of(&self, client: &ClientKey, depth: Depth) -> ClientState {
        let ClientView { connection, session, inbox } = self.clients.view(client, depth, self.now.over());
        let connection = connection.and_then(|key| self.connections.view(key, self.now));
        ClientState { connection, session, inbox }
    }

    fn kick(&mut self, client: &ClientKey, why: &'static str) -> bool {
        let Some(connection) = self.clients.connection_of(client) else { return false };
        self.close_with_words(connection, ReasonCode::ADMINISTRATIVE_ACTION, why);
        true
    }
}
