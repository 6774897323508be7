//! The end of a connection: last words, what the peer still sends, and what it leaves to its client.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mqtt::ReasonCode;

use super::Connections;
use super::connection::{Closing, Connected, ReadState, Stage};
use crate::client::ClientKey;
use crate::transport::{READ_BYTES, Readiness, Scratch};
use crate::worker::action::ClientRef;
use crate::worker::post::ConnectionKey;

/// How long a closing connection may take to read our last words.
const CLOSE_TAKES_MAX: Duration = Duration::from_secs(5);

/// A client whose connection has ended.
pub(in crate::worker) struct Left {
    pub(in crate::worker) client: ClientRef,
    pub(in crate::worker) client_id: ClientKey,
    pub(in crate::worker) connection_id: Box<str>,
    pub(in crate::worker) sent_disconnect: bool,
    pub(in crate::worker) peer: SocketAddr,
}

impl Connections {
    /// Ends a connection: nothing of it can act any more. `farewell`: what a 5.0 client is told, with words for the person
    /// behind it; `None`: all is said, or there is nobody to say it to.
    pub(in crate::worker) fn close(
        &mut self,
        key: ConnectionKey,
        farewell: Option<(ReasonCode, Option<&str>)>,
        now: Instant,
    ) -> Option<Left> {
        let give_up = now + CLOSE_TAKES_MAX;
        let connection = self.get_mut(key).filter(|connection| !connection.is_closing())?;
        if let Some((reason, words)) = farewell {
            connection.mqtt.disconnect(reason, words, &mut connection.out);
        }
        connection.read_state = connection.read_state.max(ReadState::MayHoldBytes);
        let peer = connection.peer;
        let stage =
            std::mem::replace(&mut connection.stage, Stage::Closing(Box::new(Closing { is_finished: false, give_up })));
        self.timers.arm(key, give_up);
        self.mark_dirty(key);
        self.mark_ready(key);
        let Connected { client, client_id, connection_id, sent_disconnect, tokens, .. } = match stage {
            Stage::Connected(connected) => *connected,
            Stage::AwaitingConnack(awaiting) => awaiting.connected,
            _ => return None,
        };
        self.forget_tokens(key, tokens);
        Some(Left { client, client_id, connection_id, sent_disconnect, peer })
    }

    /// The client has sent DISCONNECT.
    pub(in crate::worker) fn note_disconnect(&mut self, key: ConnectionKey) {
        if let Some(connected) = self.get_mut(key).and_then(|connection| connection.connected_mut()) {
            connected.sent_disconnect = true;
        }
    }

    /// Reads the rest of a closing connection, so that the peer gets our last words instead of a reset. `false`: there is
    /// nothing more for now.
    pub(super) fn drain(&mut self, key: ConnectionKey, scratch: &mut Scratch) -> bool {
        let Some(connection) = self.get_mut(key) else { return false };
        if connection.read_state == ReadState::Empty {
            return false;
        }
        match connection.transport.read(scratch, READ_BYTES) {
            Ok(input) if input.state != Readiness::Ended => {
                connection.note_read(input.state);
                true
            }
            _ => {
                // The peer sends nothing more. Either all is written, or nobody reads it.
                let _ = connection.transport.close_step(&mut connection.out);
                self.remove(key);
                false
            }
        }
    }

    pub(super) fn remove(&mut self, key: ConnectionKey) {
        if self.get(key).is_none() {
            return;
        }
        let mut connection = self.table.remove(key.slot as usize);
        self.timers.forget(key);
        // Closing the socket deregisters it anyway.
        let _ = self.registry.deregister(connection.transport.socket_mut());
    }
}
