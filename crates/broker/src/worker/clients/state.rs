//! What the log must say of a client, from the client as it is: after it the log needs no older record of this client. It is
//! the counterpart of [`ClientEntry::recover`].
//!
//! It is said in as many steps as it takes, and the client lives on between them:
//!
//! ```text
//! session and connection ──► subscriptions ──► queue ids ──► messages ──► collapse keys ──► in flight
//! ```
//!
//! Each step says what is so at its moment, and each record replaces what older ones say of the same thing. So it does not
//! matter when a thing was said: what becomes of it later is in the log behind it, or behind the place of the snapshot that the
//! step goes into, and what comes later needs no saying. Three things hang together, and stand in this order for it. When a
//! client was disconnected follows from its connection: both are said in one step. The end of a message leaves its collapse
//! key: the key is said with the message, or afterwards if the message is done. Of what is in flight one record says all,
//! behind the messages that it speaks of.
//!
//! A part of a state over the records that it was made from changes nothing, so they stand until its last step is durable. A
//! session that is gone has no state: its end must be in the log first.

use std::collections::BTreeSet;

use commitlog::Position;

use super::Clients;
use super::carry::OpenConnection;
use super::entry::{ClientEntry, disconnected_at};
use super::step::Step;
use super::subscriptions::logged;
use crate::inbox::{LoggedEntry, SeenKey};
use crate::store::record::{CollapsedRecord, ConnectionRecord, Reference, SessionRecord};
use crate::worker::action::ClientRef;
use crate::worker::post::ConnectionKey;

/// How far the state of one client is said.
#[derive(Clone)]
pub(super) struct StateWalk {
    pub(super) client: ClientRef,
    next: Part,
}

/// What comes next.
#[derive(Clone)]
enum Part {
    Session,
    /// Those before this place, the last one first: one that goes moves only those that were said.
    Subscriptions {
        before: usize,
    },
    QueueIds {
        after: Option<Box<str>>,
    },
    Messages {
        after: Option<Position>,
    },
    CollapseKeys {
        after: Option<Box<str>>,
    },
    InFlight,
    End,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    All,
    Some,
    /// The client was forgotten meanwhile.
    Gone,
}

impl StateWalk {
    pub(super) fn new(client: ClientRef) -> Self {
        Self { client, next: Part::Session }
    }

    /// Says what comes next. Of a client of which the log has nothing, that is its connection.
    pub(super) fn say_some(
        &mut self,
        clients: &Clients,
        step: &mut Step,
        connection: impl Fn(ConnectionKey) -> Option<OpenConnection>,
    ) -> Said {
        let Some(entry) = clients.entry(self.client) else { return Said::Gone };
        while !step.is_over() && !matches!(self.next, Part::End) {
            self.next = match &self.next {
                Part::Session => {
                    let open = entry.attachment.as_ref().and_then(|open| connection(open.connection));
                    entry.say_session(open.as_ref(), step)
                }
                Part::Subscriptions { before } => {
                    entry.say_subscriptions(*before, clients.granted.get(&self.client), step)
                }
                Part::QueueIds { after } => entry.say_queue_ids(after.as_deref(), step),
                Part::Messages { after } => entry.say_messages(*after, step),
                Part::CollapseKeys { after } => entry.say_collapse_keys(after.as_deref(), step),
                Part::InFlight => entry.say_in_flight(step),
                Part::End => Part::End,
            };
        }
        if matches!(self.next, Part::End) { Said::All } else { Said::Some }
    }
}

/// Each says what the log has to know, as far as the step takes it, and returns what comes next. What lives in memory only is
/// left out; so is a session that the log does not know, and what was subscribed in it.
impl ClientEntry {
    /// When a session without an end was disconnected matters to nobody, and is not known.
    fn say_session(&self, open: Option<&OpenConnection>, step: &mut Step) -> Part {
        let client_id = self.client_id();
        if let Some(OpenConnection { id, address }) = open {
            step.batch.connection(ConnectionRecord { client_id, connection_id: id, address, closed_ms: None });
        }
        if !self.is_logged {
            return Part::End;
        }
        if let Some(session) = self.session().filter(|_| self.is_session_logged) {
            let (account, expiry_s) = (session.account, session.expiry_s);
            let disconnected_ms = self.ends_at_ms.map(|ends_at_ms| disconnected_at(expiry_s, ends_at_ms));
            step.batch.session_state(SessionRecord { client_id, account, expiry_s }, disconnected_ms);
        }
        Part::Subscriptions { before: usize::MAX }
    }

    fn say_subscriptions(&self, before: usize, granted: Option<&BTreeSet<Box<str>>>, step: &mut Step) -> Part {
        let known = self.inbox.session.subscriptions();
        let known = if self.is_session_logged { &known[..before.min(known.len())] } else { &[] };
        for (at, known) in known.iter().enumerate().rev() {
            if step.is_over() {
                return Part::Subscriptions { before: at + 1 };
            }
            let filter = known.filter.as_str();
            let by_grant = granted.is_some_and(|granted| granted.contains(filter));
            step.batch.subscribed(self.client_id(), filter, logged(known.options, known.subscription_id, by_grant));
        }
        Part::QueueIds { after: None }
    }

    fn say_queue_ids(&self, after: Option<&str>, step: &mut Step) -> Part {
        let mut last = after;
        for (id, until_ms) in self.queue_ids.iter_after(after) {
            if step.is_over() {
                return Part::QueueIds { after: last.map(Box::from) };
            }
            step.batch.queue_id_seen(self.client_id(), until_ms, id);
            last = Some(id);
        }
        Part::Messages { after: None }
    }

    fn say_messages(&self, after: Option<Position>, step: &mut Step) -> Part {
        let (mut last, room) = (after, step.records_left());
        let messages = self.inbox.logged_entries(after, room);
        let are_all = messages.len() < room;
        for entry in messages {
            if step.is_over() {
                return Part::Messages { after: last };
            }
            step.look();
            step.batch.reference_again(&reference(self.client_id(), entry));
            last = Some(entry.message);
        }
        if are_all { Part::CollapseKeys { after: None } } else { Part::Messages { after: last } }
    }

    /// Those whose messages are done.
    fn say_collapse_keys(&self, after: Option<&str>, step: &mut Step) -> Part {
        let mut last = after;
        for SeenKey { key, version, entry: id, until_ms } in self.inbox.collapse_keys_after(after) {
            if step.is_over() {
                return Part::CollapseKeys { after: last.map(Box::from) };
            }
            step.look();
            if let Some(entry) = id.position().filter(|_| !self.inbox.contains(id)) {
                step.batch.collapsed(CollapsedRecord { client_id: self.client_id(), entry, version, until_ms, key });
            }
            last = Some(key);
        }
        Part::InFlight
    }

    fn say_in_flight(&self, step: &mut Step) -> Part {
        let session = &self.inbox.session;
        let packets: Vec<_> = session.in_flight().filter_map(|(id, packet)| Some((id.position()?, packet))).collect();
        step.batch.in_flight(self.client_id(), session.last_packet_id(), &packets);
        Part::End
    }
}

fn reference<'a>(client_id: &'a str, entry: LoggedEntry<'a>) -> Reference<'a> {
    let LoggedEntry { message, size, expires_at_ms, urgent, collapse, subscription_ids } = entry;
    Reference {
        client_id,
        message,
        packet_id: None,
        urgent,
        retain_as_published: false,
        size,
        expires_at_ms,
        collapse,
        subscription_ids: subscription_ids.to_vec(),
    }
}

#[cfg(test)]
mod whole {
    use super::*;
    use crate::store::journal::Batch;
    use crate::store::{RecoveredClient, Recovery};
    use crate::worker::clients::step::StepLimits;

    const UNLIMITED: StepLimits = StepLimits { bytes: usize::MAX, records: usize::MAX, looked_at: usize::MAX };

    impl Clients {
        /// All that the log needs of a client, without its connection.
        pub(in crate::worker) fn add_state(&self, client: ClientRef, batch: &mut Batch) {
            let mut step = Step::new(UNLIMITED);
            assert_ne!(StateWalk::new(client).say_some(self, &mut step, |_| None), Said::Some);
            batch.extend(step.batch);
        }

        /// What a replay makes of it.
        pub(in crate::worker) fn to_recovered(&self, client: ClientRef) -> RecoveredClient {
            let (mut batch, mut recovery) = (Batch::default(), Recovery::new());
            self.add_state(client, &mut batch);
            batch.apply_to(&mut recovery);
            let client_id = self.key_of(client).expect("the client is there");
            recovery.clients.remove(client_id.as_str()).map_or_else(RecoveredClient::default, |client| *client)
        }
    }
}
