//! What owners ask and order of clients that are this worker's.

use accounts::clients::{ClientState, Purged};
use mqtt::ReasonCode;
use tokio::sync::oneshot;

use super::Worker;
use super::action::AfterDurable;
use super::clients::ClientView;
use crate::client::ClientKey;

/// A question or an order, with the place of its answer. How many there are at once is bounded where they are made.
pub(crate) enum Order {
    /// In the order of the clients.
    States { clients: Vec<ClientKey>, answer: oneshot::Sender<Vec<ClientState>> },
    /// Ends the connection, not the session. `false`: there was none.
    Kick { client: ClientKey, why: &'static str, answer: oneshot::Sender<bool> },
    /// Drops what waits. Answers when the log has it.
    Purge { client: ClientKey, answer: oneshot::Sender<Purged> },
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
        }
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
