//! What clients ask for, one request at a time.

use mqtt::PacketId;
use mqtt::codec::Disconnect;
use mqtt::server::Request;

use super::Worker;
use super::link::{ConnectWish, Stage};
use super::post::LinkKey;
use super::seat::SessionInfo;
use crate::client::ClientKey;
use crate::store::journal::Batch;
use crate::store::record::SessionRecord;

impl Worker {
    pub(super) fn handle(&mut self, key: LinkKey, request: Request<'_>) {
        match request {
            Request::Connect(connect) => {
                let wish = Box::new(ConnectWish::of(&connect));
                if let Some(link) = self.link(key) {
                    link.stage = Stage::Moving(wish);
                }
            }
            Request::Publish { message, token } => self.publish(key, &message, token),
            Request::Ack { packet_id, .. } => self.receive_ack(key, packet_id),
            Request::Subscribe(subscribe) => self.subscribe(key, &subscribe),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(key, &unsubscribe),
            Request::Disconnect(disconnect) => self.say_goodbye(key, &disconnect),
        }
    }

    /// After the turn in which the CONNECT came: the owner goes on with it.
    pub(super) fn after_connect(&mut self, key: LinkKey) {
        let workers = self.shared.workers.len();
        let Some(link) = self.link(key) else { return };
        let Stage::Moving(wish) = &link.stage else { return };
        let owner = ClientKey::owner(wish.client.as_str(), workers);
        if owner != self.me {
            return self.move_link(key, owner);
        }
        if let Some(link) = self.link(key)
            && let Stage::Moving(wish) = std::mem::replace(&mut link.stage, Stage::Connecting)
        {
            self.begin_login(key, wish);
        }
    }

    /// The name of the client of a connection that is open.
    pub(super) fn client_of(&mut self, key: LinkKey) -> Option<ClientKey> {
        self.link(key)?.live().map(|live| live.client.clone())
    }

    fn receive_ack(&mut self, key: LinkKey, packet_id: PacketId) {
        let Some(client) = self.client_of(key) else { return };
        let Some(seat) = self.seats.get_mut(&client) else { return };
        let Some(gone) = seat.inbox.ack(packet_id) else { return };
        self.forget(&client, gone);
        self.deliver(&client);
    }

    fn say_goodbye(&mut self, key: LinkKey, disconnect: &Disconnect<'_>) {
        if let Some(expiry_s) = disconnect.properties.session_expiry_interval() {
            self.change_expiry(key, expiry_s);
        }
        if let Some(link) = self.link(key)
            && let Stage::Live(live) = &mut link.stage
        {
            live.said_goodbye = true;
        }
        self.end_link(key, None);
    }

    fn change_expiry(&mut self, key: LinkKey, asked_s: u32) {
        let expiry_s = self.capped_expiry(asked_s);
        let Some(client) = self.client_of(key) else { return };
        let Some(session) = self.seats.get_mut(&client).and_then(|seat| seat.session.as_mut()) else { return };
        if session.expiry_s == expiry_s {
            return;
        }
        session.expiry_s = expiry_s;
        let SessionInfo { account, .. } = session.clone();
        let mut batch = Batch::default();
        batch.session(SessionRecord { client_id: client.as_str(), account: &account, expiry_s });
        self.append_essential(&batch);
    }
}
