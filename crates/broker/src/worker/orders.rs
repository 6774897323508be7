//! What owners ask and order of clients that are this worker's.

use accounts::clients::{ClientState, Purged};
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

/// A question or an order, with the place of its answer. How many there are at once is bounded where they are made.
pub(crate) enum Order {
    /// In the order of the clients.
    States { clients: Vec<ClientKey>, answer: oneshot::Sender<Vec<ClientState>> },
    /// Ends the connection, not the session. `false`: there was none.
    Kick { client: ClientKey, why: &'static str, answer: oneshot::Sender<bool> },
    /// Drops what waits. Answers when the log has it.
    Purge { client: ClientKey, answer: oneshot::Sender<Purged> },
    /// Takes a message for one client.
    Deliver { to: ClientKey, message: SharedMessage, keep: bool, answer: oneshot::Sender<Placed> },
    /// Takes a message for the subscribers of this worker.
    FanOut { message: SharedMessage, answer: oneshot::Sender<Placed> },
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
}

impl PlacedAnswer {
    /// The one who asked may have stopped waiting.
    pub(super) fn send(self, outcome: PlaceOutcome) {
        let Self { online, inboxes, answer } = self;
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
    /// Who asked may have stopped waiting.
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::States { clients, answer } => {
                let states = clients.iter().map(|client| self.state_of(client)).collect();
                let _ = answer.send(states);
            }
            Order::Kick { client, why, answer } => {
                let _ = answer.send(self.kick(&client, why));
            }
            Order::Purge { client, answer } => {
                let purged = self.clients.purge(&client, &mut self.actions);
                self.durability.after_deferred(AfterDurable::Purged { purged, answer });
            }
            Order::Deliver { to, message, keep, answer } => {
                let online = u64::from(self.clients.open_connection_of(&to).is_some());
                let reply_to = self.reply_to_owner(PlacedAnswer { online, inboxes: 0, answer });
                self.clients.take_p2p(P2p { to, message, keep, reply_to }, self.now, &mut self.actions);
            }
            Order::FanOut { message, answer } => {
                let (online, inboxes) = self.clients.count_receivers(&message);
                let reply_to = self.reply_to_owner(PlacedAnswer { online, inboxes, answer });
                let (from, need, order) = (None, Need::Normal, FanOutOrder::LiveFirst);
                self.clients.take_fan_out(FanOut { message, from, need, order, reply_to }, self.now, &mut self.actions);
            }
        }
    }

    fn reply_to_owner(&self, answer: PlacedAnswer) -> ReplyTo {
        ReplyTo { worker: self.me, target: ReplyTarget::Owner(Box::new(answer)) }
    }

    fn state_of(&mut self, client: &ClientKey) -> ClientState {
        let ClientView { connection, session, inbox } = self.clients.view(client, self.now.over());
        let connection = connection.and_then(|key| self.connections.view(key, self.now));
        ClientState { connection, session, inbox }
    }

    fn kick(&mut self, client: &ClientKey, why: &'static str) -> bool {
        let Some(connection) = self.clients.connection_of(client) else { return false };
        self.close_with_words(connection, ReasonCode::ADMINISTRATIVE_ACTION, why);
        true
    }
}
