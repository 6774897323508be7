//! What ends because a right has ended: connections of a key, of a credential, and all of a device.

use std::sync::Arc;

use accounts::access::{Identity, is_account_of_service};
use mqtt::ReasonCode;
use uuid::Uuid;

use super::Worker;
use super::action::AfterDurable;
use super::clients::Ended;
use super::granted::Place;
use super::post::{AnswerOfAll, ConnectionKey, Removal};
use crate::bridge::events::Cause;
use crate::client::ClientKey;

/// Connections that one turn ends because of their key.
const CUT_OFF_PER_TURN: usize = 256;
/// What the operator of a service reads.
const KEY_CUT: &str = "the access key of this connection was disabled, removed or narrowed: see its owner";
/// What the holder of a token reads, or of what is revoked like one.
const TOKEN_CUT: &str = "the token or certificate of this connection was revoked: ask for a new one";
/// What the holder of a certificate reads.
const CERTIFICATE_CUT: &str = "the certificate of this connection, or one above it, was revoked: get a new one";
/// What is read by one whose group is gone,
const GROUP_GONE: &str = "the group of this client id was removed: see its owner";
/// and by one whose client id is a user's device now.
const REGISTERED: &str = "the client id of this connection was registered for a user: choose another one";
/// What the person behind a removed device reads.
const REMOVED: &str = "the login of this device has ended: log in again";
/// The same, where the device stays registered.
const REPLACED: &str =
    "this login is void: it was revoked, or another login of the device has replaced it; log in again";

/// Connections that are to be ended, or judged again, because of their key or their time, some in each turn.
#[derive(Default)]
pub(super) struct CutOff {
    connections: Vec<(ConnectionKey, Why)>,
    /// Given when none is left.
    answers: Vec<Arc<AnswerOfAll>>,
}

enum Why {
    /// To be ended, with what it is told. Those with tokens are judged by these instead.
    Ended(&'static str),
    /// To be ended, whatever it was let in by.
    GroupGone,
    /// The time or the secrets of its key are others.
    KeyChanged,
}

impl CutOff {
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    pub(super) fn add(&mut self, connection: ConnectionKey, words: &'static str) {
        self.connections.push((connection, Why::Ended(words)));
    }

    pub(super) fn add_to_judge(&mut self, connection: ConnectionKey) {
        self.connections.push((connection, Why::KeyChanged));
    }

    /// This one waits for them.
    pub(super) fn answer_behind(&mut self, answer: Arc<AnswerOfAll>) {
        self.answers.push(answer);
    }
}

impl Worker {
    pub(super) fn cut_key(&mut self, key_id: &str, answer: Arc<AnswerOfAll>) {
        self.connections.of_key(key_id).for_each(|connection| self.cut_off.add(connection, KEY_CUT));
        // A narrowed key's sessions collect no more what it may not subscribe to, also while they are away.
        let access = self.shared.access.load();
        let who = Identity::Service { key_id: key_id.to_owned(), instance: access.instance().to_owned() };
        if access.lives_by_grants(&who) {
            self.judge_subscribers(Place::Of(who.account().into()), Arc::clone(&answer));
        }
        self.cut_off.answer_behind(answer);
    }

    pub(super) fn cut_token(&mut self, id: Uuid, answer: Arc<AnswerOfAll>) {
        self.connections.of_token(id).for_each(|connection| self.cut_off.add(connection, TOKEN_CUT));
        self.cut_off.answer_behind(answer);
    }

    /// Issuers have revoked certificates: ends the connections that were let in by them.
    pub(super) fn judge_certificates(&mut self, answer: Arc<AnswerOfAll>) {
        let access = self.shared.access.load();
        let void = self.connections.of_void_certificate(|ids| access.check_certificates(ids).is_err());
        void.for_each(|connection| self.cut_off.add(connection, CERTIFICATE_CUT));
        self.cut_off.answer_behind(answer);
    }

    pub(super) fn cut_group(&mut self, group: &str, answer: Arc<AnswerOfAll>) {
        let connections = self.connections.of_group(group).map(|connection| (connection, Why::GroupGone));
        self.cut_off.connections.extend(connections);
        self.cut_off.answer_behind(answer);
    }

    /// Ends some of the connections that are to be ended. Whoever may still log in is let in anew by what its key allows now.
    /// Tokens are judged one by one.
    pub(super) fn cut_some_off(&mut self) {
        let CutOff { connections, answers } = &mut self.cut_off;
        let some = connections.split_off(connections.len().saturating_sub(CUT_OFF_PER_TURN));
        let answers = if connections.is_empty() { std::mem::take(answers) } else { Vec::new() };
        for (key, why) in some {
            match why {
                Why::GroupGone => self.close_revoked(key, ReasonCode::ADMINISTRATIVE_ACTION, GROUP_GONE),
                _ if self.judge_tokens(key) => {}
                Why::Ended(words) => self.close_revoked(key, ReasonCode::NOT_AUTHORIZED, words),
                Why::KeyChanged => self.judge_secret(key),
            }
        }
        drop(answers);
    }

    /// Ends the connection of a device that was let in by a credential which is void from now on. A login under way that has
    /// read it does not come about. `is_removed`: so is the device.
    pub(super) fn cut_credential(&mut self, client_id: &ClientKey, key_id: Box<str>, is_removed: bool) {
        let is_news = self.connections.void_credential(key_id.clone(), self.now.instant);
        if is_removed {
            self.connections.forget_registered(client_id);
        }
        match self.clients.connection_of(client_id) {
            Some(connection) if self.connections.is_of_credential(connection, &key_id) => {
                let (reason, words) = match is_removed {
                    true => (ReasonCode::ADMINISTRATIVE_ACTION, REMOVED),
                    false => (ReasonCode::NOT_AUTHORIZED, REPLACED),
                };
                self.close_revoked(connection, reason, words);
            }
            None if is_news => self.tell_revoked(client_id),
            _ => {}
        }
    }

    /// Those that follow a client which is not connected learn that its right has ended: it may still send media.
    fn tell_revoked(&self, client_id: &ClientKey) {
        let connection_id = Uuid::now_v7().simple().to_string();
        self.shared.events.send_end(Some(Cause::Revoked), client_id, &connection_id, self.now.ms, "");
    }

    /// A client id is this account's from now on. Logins that were judged before, as if no device had it, do not come about. What
    /// the log does not take of the end is owed to it; until it has it, who logs in with the device ends what is left.
    pub(super) fn end_others(&mut self, client_id: &ClientKey, account: &str) {
        self.connections.note_registered(client_id.clone(), self.now.instant);
        if self.clients.holder_of(client_id).is_some_and(|holder| holder != account) {
            if let Some(connection) = self.clients.detach(client_id) {
                self.close_revoked(connection, ReasonCode::ADMINISTRATIVE_ACTION, REGISTERED);
            }
            self.clients.end(client_id);
        }
    }

    /// A device was removed, or its client id is given to somebody else: what a user had under it ends. A service keeps what
    /// it has. Answers when it is on the disk.
    pub(super) fn end_device(&mut self, removal: Removal) {
        let Removal { client: client_id, key_id, is_removed, answer } = removal;
        let mut is_news = is_removed;
        if let Some(key_id) = key_id {
            is_news &= self.connections.void_credential(key_id, self.now.instant);
            self.connections.forget_registered(&client_id);
        }
        if let Some(service) = self.clients.holder_of(&client_id).filter(|account| is_account_of_service(account)) {
            // The caller may have stopped waiting, here and below.
            let _ = answer.send(Some(service.into()));
            return;
        }
        if let Some(connection) = self.clients.detach(&client_id) {
            self.close_revoked(connection, ReasonCode::ADMINISTRATIVE_ACTION, REMOVED);
        } else if is_news {
            self.tell_revoked(&client_id);
        }
        match self.clients.end(&client_id) {
            Ended::Nothing => _ = answer.send(None),
            Ended::Logged(end) => self.durability.wait(end, AfterDurable::Ended(answer)),
            Ended::NotLogged => {}
        }
    }
}
