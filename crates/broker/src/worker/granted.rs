//! Subscriptions that a grant allowed which was taken back: judged again, some in each turn.
//!
//! Those of a session that is away end too: it would collect what it has no right to. With a connection its holder is told why,
//! and may come back. A start judges all sessions once: what a change ended may not have ended before the process did.

use std::collections::BTreeSet;
use std::sync::Arc;

use accounts::access::Identity;
use commitlog::AppendError;
use mqtt::ReasonCode;

use super::Worker;
use super::action::ClientRef;
use super::post::AnswerOfAll;

/// Clients that one turn judges. Each has some subscriptions at most.
const JUDGED_PER_TURN: usize = 128;
/// What the person behind a device reads, or the operator of a service.
const GRANT_CUT: &str = "the right to a subscription of this connection was taken back: see its owner";

/// Whose subscriptions are to be judged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Of all who have some at this parent topic.
    At(Arc<str>),
    /// Of all whose session is of this account.
    Of(Box<str>),
}

/// Clients that are to be judged.
#[derive(Default)]
pub(super) struct ToJudge {
    /// Where clients are still to be looked for. Each once, however many changes wait for it.
    places: BTreeSet<Place>,
    clients: Vec<ClientRef>,
    /// The log took nothing of what they lost: once more, later.
    failed: Vec<ClientRef>,
    /// Given when none is left.
    answers: Vec<Arc<AnswerOfAll>>,
}

impl ToJudge {
    pub(super) fn all(clients: Vec<ClientRef>) -> Self {
        Self { clients, ..Self::default() }
    }

    /// Each once, however many changes wait for it.
    fn add(&mut self, clients: Vec<ClientRef>) {
        if clients.is_empty() {
            return;
        }
        self.clients.extend(clients);
        self.clients.sort_unstable();
        self.clients.dedup();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.clients.is_empty()
    }

    /// What could not be done is not answered, and so ordered again.
    fn answer_if_done(&mut self) {
        if !self.is_empty() {
            return;
        }
        if !self.failed.is_empty() {
            self.answers.iter().for_each(|answer| answer.fail());
        }
        self.answers.clear();
    }
}

impl Worker {
    pub(super) fn judge_subscribers(&mut self, place: Place, answer: Arc<AnswerOfAll>) {
        self.to_judge.places.insert(place);
        self.to_judge.answers.push(answer);
    }

    /// To be called now and then.
    pub(super) fn judge_failed_again(&mut self) {
        let failed = std::mem::take(&mut self.to_judge.failed);
        self.to_judge.add(failed);
    }

    pub(super) fn judge_some_subscribers(&mut self) {
        if self.to_judge.is_empty() {
            return;
        }
        // All changes of one turn at one place are one look.
        let found = self.to_judge.places.pop_first().map(|place| match place {
            Place::At(parent) => self.clients.subscribers_at(&parent),
            Place::Of(account) => self.clients.subscribers_of(&account),
        });
        self.to_judge.add(found.unwrap_or_default());
        let left = self.to_judge.clients.len().saturating_sub(JUDGED_PER_TURN);
        for client in self.to_judge.clients.split_off(left) {
            if let Err(error) = self.judge_subscriber(client) {
                tracing::debug!(%error, "a subscription that is not granted any more has not ended yet");
                self.to_judge.failed.push(client);
            }
        }
        self.to_judge.answer_if_done();
    }

    /// # Errors
    /// The log takes nothing: the subscriptions are as they were. The connection has ended.
    fn judge_subscriber(&mut self, client: ClientRef) -> Result<(), AppendError> {
        let connection = self.clients.attached_to(client);
        let connected = connection.and_then(|key| self.connections.identity_of(key));
        let is_away = connected.is_none();
        let of_session = || {
            self.clients.session_of(client).and_then(|(client_id, account)| Identity::of_session(account, client_id))
        };
        let Some(identity) = connected.cloned().or_else(of_session) else { return Ok(()) };
        let access = self.shared.access.load();
        if !access.lives_by_grants(&identity) {
            return Ok(());
        }
        let granted = self.clients.granted_of(client);
        let is_device = matches!(identity, Identity::Device { .. });
        let may = |filter: &str| match (is_device, is_away) {
            (true, false) => access.may_subscribe(&identity, filter).is_ok(),
            // By tokens, as far as is known: they are asked when it is resumed.
            (true, true) if !granted.contains(filter) => true,
            // That a key is disabled ends connections, and no subscription.
            _ => access.keeps_while_away(&identity, filter),
        };
        if self.clients.may_all(client, &may) {
            return Ok(());
        }
        let ended = self.clients.judge_subscriptions(client, &may);
        if let Some(connection) = connection {
            self.close_with_words(connection, ReasonCode::NOT_AUTHORIZED, GRANT_CUT);
        }
        ended
    }
}
