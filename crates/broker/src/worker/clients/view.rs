//! What owners see of a client that this worker owns.

use accounts::clients::{Depth, InboxState, SessionState};

use super::Clients;
use super::entry::{ClientEntry, NEVER_S, disconnected_at};
use crate::client::ClientKey;
use crate::over::Over;
use crate::worker::post::ConnectionKey;

/// Session and inbox of a client, and the connection that has them.
#[derive(Default)]
pub(in crate::worker) struct ClientView {
    pub(in crate::worker) connection: Option<ConnectionKey>,
    pub(in crate::worker) session: Option<SessionState>,
    pub(in crate::worker) inbox: InboxState,
}

impl Clients {
    /// Nothing of a session whose time is over, though it has not ended yet.
    pub(in crate::worker) fn view(&self, client_id: &ClientKey, depth: Depth, over: Over) -> ClientView {
        let entry = self.find(client_id).and_then(|client| self.entry(client));
        let entry = entry.filter(|entry| !entry.ends_at_ms.is_some_and(|ends_at_ms| over.is_over(ends_at_ms.get())));
        entry.map(|entry| view(entry, depth)).unwrap_or_default()
    }
}

fn view(entry: &ClientEntry, depth: Depth) -> ClientView {
    ClientView {
        connection: entry.attachment.as_ref().map(|attachment| attachment.connection),
        session: session(entry, depth),
        inbox: InboxState {
            messages: entry.inbox.len() as u64,
            bytes: entry.inbox.bytes(),
            in_flight: entry.inbox.session.in_flight_len() as u64,
        },
    }
}

fn session(entry: &ClientEntry, depth: Depth) -> Option<SessionState> {
    let session = entry.session()?;
    let subscriptions = match depth {
        Depth::Presence => None,
        Depth::All => Some(entry.inbox.session.subscriptions()),
    };
    let subscriptions = subscriptions.into_iter().flat_map(|all| all.iter());
    Some(SessionState {
        account: session.account.to_owned(),
        expiry_s: (session.expiry_s != NEVER_S).then_some(session.expiry_s),
        disconnected_ms: entry.ends_at_ms.map(|ends_at_ms| disconnected_at(session.expiry_s, ends_at_ms)),
        ends_at_ms: entry.ends_at_ms.map(Into::into),
        subscriptions: subscriptions.map(|subscription| subscription.filter.as_str().to_owned()).collect(),
    })
}
