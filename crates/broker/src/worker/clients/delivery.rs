//! From the inbox to the client, as far as its window goes.

use commitlog::Position;
use mqtt::server::Sent;
use mqtt::{Delivery, PacketId};

use super::Clients;
use crate::inbox::{EntryId, Outgoing};
use crate::message::SharedMessage;
use crate::over::Over;
use crate::store::messages::MessageError;
use crate::worker::action::{Action, Actions, ClientRef, Deferred};
use crate::worker::post::ConnectionKey;
use crate::worker::reader::{self, Loaded};

/// A message that goes to a client now.
pub(in crate::worker) struct Outbound {
    pub(in crate::worker) message: SharedMessage,
    pub(in crate::worker) subscription_ids: Box<[u32]>,
    id: EntryId,
    packet_id: PacketId,
    dup: bool,
    /// Its hand-out was not known before.
    is_first: bool,
}

impl Outbound {
    fn new(message: SharedMessage, outgoing: Outgoing) -> Self {
        let Outgoing { id, subscription_ids, packet_id, dup, is_first, .. } = outgoing;
        Self { message, subscription_ids, id, packet_id, dup, is_first }
    }

    pub(in crate::worker) fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce { packet_id: self.packet_id, dup: self.dup }
    }
}

impl Clients {
    /// The next message for a client while its window is open; it is in flight from now on. Ask only while its connection
    /// has room, and tell with [`Self::sent`] what became of it. A message of the log that is not in memory, nor among
    /// those that are `loaded`, ends it: it is read, and nothing overtakes it meanwhile.
    pub(in crate::worker) fn hand_out(
        &mut self,
        client: ClientRef,
        loaded: &[Loaded],
        over: Over,
        actions: &mut Actions,
    ) -> Option<Outbound> {
        loop {
            let Some(mut outgoing) = self.next_outgoing(client, over, actions) else {
                self.keep_unsent(client, loaded);
                return None;
            };
            if let Some(message) = outgoing.message.take() {
                return Some(Outbound::new(message, outgoing));
            }
            match self.in_memory(outgoing.id.position()?, loaded) {
                Some(Ok(message)) => return Some(Outbound::new(message, outgoing)),
                Some(Err(error)) => self.skip(client, outgoing.packet_id, error),
                None => {
                    self.entry_mut(client)?.inbox.take_back(&outgoing);
                    self.keep_unsent(client, loaded);
                    self.want_read(client, actions);
                    return None;
                }
            }
        }
    }

    fn next_outgoing(&mut self, client: ClientRef, over: Over, actions: &mut Actions) -> Option<Outgoing> {
        let mut expired = Vec::new();
        let outgoing = self.entry_mut(client)?.inbox.hand_out(over, &mut expired);
        self.context.counts.expired.add(expired.len() as u64);
        expired.into_iter().for_each(|gone| self.forget(client, gone, actions));
        outgoing
    }

    fn in_memory<'a>(
        &self,
        position: Position,
        loaded: &'a [Loaded],
    ) -> Option<Result<SharedMessage, &'a MessageError>> {
        match reader::find(loaded, position) {
            Some(loaded) => Some(loaded.message.as_ref().map(SharedMessage::clone).map_err(|error| &**error)),
            None => self.unsent.find(position).cloned().map(Ok),
        }
    }

    /// Of what is in memory, that which waits still.
    fn keep_unsent(&mut self, client: ClientRef, loaded: &[Loaded]) {
        let entry = self.entries.get(client.slot as usize).filter(|entry| entry.generation == client.generation);
        let Some(entry) = entry.filter(|entry| entry.inbox.session.waiting_len() > 0) else { return };
        for Loaded { position, message } in loaded {
            if let Ok(message) = message
                && entry.inbox.is_waiting(EntryId::logged(*position))
            {
                self.unsent.keep(*position, message);
            }
        }
    }

    /// A message that cannot be read is skipped; the log keeps it as long as its segment.
    fn skip(&mut self, client: ClientRef, packet_id: PacketId, error: &MessageError) {
        let key = self.key_of(client);
        let client_group = key.as_ref().and_then(|key| key.group());
        tracing::error!(%error, client_group, "a waiting message cannot be read");
        self.context.counts.unreadable.one();
        let gone = self.entry_mut(client).and_then(|entry| entry.inbox.ack(packet_id));
        gone.into_iter().for_each(|gone| self.count_out_one(gone));
    }

    /// What became of a message that was handed out.
    pub(in crate::worker) fn sent(
        &mut self,
        client: ClientRef,
        outbound: &Outbound,
        sent: Sent,
        actions: &mut Actions,
    ) {
        match sent {
            Sent::Written => {
                self.context.counts.sent.one();
                if let Some(message) = outbound.id.position().filter(|_| outbound.is_first)
                    && let Some(key) = self.key_of(client)
                {
                    let (client, packet_id) = (key, outbound.packet_id);
                    actions.push_back(Action::Defer(Deferred::HandedOut { client, message, packet_id }));
                }
            }
            Sent::TooLarge => {
                // As if delivered [MQTT5-3.1.2-25].
                self.context.counts.dropped_too_large.one();
                self.done(client, outbound.packet_id, actions);
            }
            // It stays in flight and goes out on the next connection.
            Sent::NotOpen => {}
        }
    }

    /// The client has what was sent under this id on this connection, so there is room for more.
    pub(in crate::worker) fn ack(
        &mut self,
        client: ClientRef,
        connection: ConnectionKey,
        packet_id: PacketId,
        actions: &mut Actions,
    ) {
        if self.entry(client).is_some_and(|entry| entry.is_attached_to(connection))
            && self.done(client, packet_id, actions)
        {
            actions.push_back(Action::Deliver { client, just_stored: None });
        }
    }

    /// `false`: nothing was in flight under this id.
    fn done(&mut self, client: ClientRef, packet_id: PacketId, actions: &mut Actions) -> bool {
        let Some(gone) = self.entry_mut(client).and_then(|entry| entry.inbox.ack(packet_id)) else { return false };
        self.forget(client, gone, actions);
        true
    }

    /// Whether something waits that could be handed out.
    pub(in crate::worker) fn has_waiting(&self, client: ClientRef) -> bool {
        self.entry(client).is_some_and(|entry| entry.inbox.session.upcoming().next().is_some())
    }
}
