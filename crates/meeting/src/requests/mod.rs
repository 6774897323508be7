//! The handling of a request, from the queue's message to the commit.

mod about_meeting;
mod about_user;
mod create;
mod history;
pub(crate) mod verify;

use crate::commit::{CommitExtra, DecisionError};
use crate::config::Config;
use crate::machine::{Actor, OutgoingSignal};
use crate::requests::verify::{Refusal, Sender, Unreadable, refusal};
use crate::state::ServiceState;
use crate::token::alias;
use catalog::{CommitError, Handled, UserState};
use queue::Message;
use signalling::{DownBody, MeetingId, RefusalCode, SignalId, Up, UpBody, UserName};

/// Returns when the request is decided and stored, now or before.
pub(crate) async fn handle(service: &ServiceState, message: &Message) -> Result<(), DecisionError> {
    let Some(sender) = verify::sender(message) else {
        tracing::warn!(
            "a request that no client has sent was dropped: terminals publish them, each under its own client id"
        );
        return Ok(());
    };
    let done = match verify::parse(&message.body, &service.config) {
        Ok(up) => RequestHandler { service, sender, up: &up }.handle().await,
        Err(unreadable) => refuse_unreadable(service, &sender, unreadable).await,
    };
    or_handled_before(done)
}

async fn refuse_unreadable(
    service: &ServiceState,
    sender: &Sender,
    unreadable: Unreadable,
) -> Result<(), DecisionError> {
    let Unreadable { id, meeting, refusal: Refusal { code, words } } = unreadable;
    let handled = id.map(|signal| handled(service, signal, 0));
    let refused = service.to_client(&sender.client, DownBody::Refused { code, words });
    let send = OutgoingSignal { in_reply_to: id, ..refused };
    service.answer(meeting, vec![send], CommitExtra { handled, ..CommitExtra::default() }).await
}

/// Refuses a request of a sender that makes too many. It is stored as handled, so that it has no other answer.
pub(crate) async fn refuse_limit(
    service: &ServiceState,
    message: &Message,
    words: String,
) -> Result<(), DecisionError> {
    let Some(sender) = verify::sender(message) else { return Ok(()) };
    let envelope = verify::parse(&message.body, &service.config).ok().map(|up| up.envelope);
    let (id, meeting) = envelope.map_or((None, None), |envelope| (Some(envelope.id), envelope.meeting));
    let unreadable = Unreadable { id, meeting, refusal: refusal(RefusalCode::Limit, words) };
    or_handled_before(refuse_unreadable(service, &sender, unreadable).await)
}

/// A request that comes again has its answer.
fn or_handled_before(done: Result<(), DecisionError>) -> Result<(), DecisionError> {
    match done {
        Err(DecisionError::Commit(CommitError::AlreadyHandled)) => Ok(()),
        done => done,
    }
}

fn handled(service: &ServiceState, signal: SignalId, expires_at_ms: u64) -> Handled {
    let now_ms = service.now_ms();
    let until_ms = expires_at_ms.clamp(now_ms, now_ms.saturating_add(Config::EXPIRY_MAX_MS));
    Handled { signal: signal.0, keep_until_ms: until_ms.saturating_add(service.config.handled_kept_ms) }
}

/// The handling of a request that could be read.
struct RequestHandler<'a> {
    service: &'a ServiceState,
    sender: Sender,
    up: &'a Up,
}

impl RequestHandler<'_> {
    async fn handle(self) -> Result<(), DecisionError> {
        if self.is_read() {
            return self.read().await;
        }
        let handled = async { Ok(self.service.catalog.handled(self.up.envelope.id.0).await?) };
        let (handled, person) = tokio::try_join!(handled, self.person(0))?;
        if handled {
            return Ok(());
        }
        let actor = match self.check(person) {
            Ok((actor, _)) => actor,
            Err(refusal) => return self.refuse(refusal).await,
        };
        match &self.up.body {
            UpBody::Seen { invitation } => self.seen(&actor, *invitation).await,
            UpBody::Create { callees, media, title } => self.create(&actor, callees, *media, title.clone()).await,
            of_meeting => self.about_meeting(&actor, of_meeting).await,
        }
    }

    /// Whether it changes nothing: it is not stored as handled, its answer goes to the queue without the outbox, and if
    /// it comes again, it is answered again.
    fn is_read(&self) -> bool {
        matches!(self.up.body, UpBody::State {} | UpBody::Contacts { .. } | UpBody::History { .. } | UpBody::Roster {})
    }

    async fn read(self) -> Result<(), DecisionError> {
        // Taken before all that is read: no answer claims to know what came after.
        let now_ms = self.service.now_ms();
        let outcomes = if matches!(self.up.body, UpBody::State {}) { Config::OUTCOMES_MAX } else { 0 };
        let (actor, known) = match self.check(self.person(outcomes).await?) {
            Ok(checked) => checked,
            Err(refusal) => return self.refuse(refusal).await,
        };
        match &self.up.body {
            UpBody::State {} => self.state(&actor, known, now_ms).await,
            UpBody::Contacts { watch_s } => self.contacts(&actor, *watch_s).await,
            UpBody::History { before, limit } => self.history(&actor, before.as_deref(), *limit).await,
            of_meeting => self.about_meeting(&actor, of_meeting).await,
        }
    }

    /// The sender, if the request may be handled.
    fn check(&self, person: Option<UserState>) -> Result<(Actor, UserState), Refusal> {
        verify::check(self.up, &self.sender, &self.service.config, self.service.clock.times())?;
        let words = "this login belongs to no user: connect with a device credential of a user";
        let known = person.ok_or_else(|| refusal(RefusalCode::NotAllowed, words))?;
        let client = self.sender.client.clone();
        tracing::debug!(signal = %self.up.envelope.id, client = alias(&client), kind = self.up.body.kind(), "request");
        let online = known.devices.iter().any(|device| device.client_id == client.0 && device.online);
        let (user, name) = (UserName(known.user.user.clone()), known.user.shown_name().into_owned());
        Ok((Actor { user, name, client, online, request: self.up.envelope.id }, known))
    }

    /// What the catalog has of the sender, with at most so many outcomes.
    async fn person(&self, outcomes: u32) -> Result<Option<UserState>, DecisionError> {
        let catalog = &self.service.catalog;
        let user = match &self.sender.user {
            Some(user) => Some(user.0.clone()),
            None => catalog.device(self.sender.client.as_str()).await?.map(|device| device.user),
        };
        let Some(user) = user else { return Ok(None) };
        Ok(catalog.user_state(&user, outcomes).await?)
    }

    fn extra(&self) -> CommitExtra {
        let Up { envelope, .. } = self.up;
        CommitExtra {
            handled: Some(handled(self.service, envelope.id, envelope.expires_at_ms)),
            ..CommitExtra::default()
        }
    }

    fn answer(&self, body: DownBody) -> OutgoingSignal {
        let in_reply_to = Some(self.up.envelope.id);
        OutgoingSignal { in_reply_to, ..self.service.to_client(&self.sender.client, body) }
    }

    async fn refuse(&self, refusal: Refusal) -> Result<(), DecisionError> {
        let Refusal { code, words } = refusal;
        tracing::debug!(client = alias(&self.sender.client), kind = self.up.body.kind(), ?code, "request refused");
        let answer = self.answer(DownBody::Refused { code, words });
        if self.is_read() {
            return self.service.send_directly(answer, self.up.envelope.meeting).await;
        }
        self.service.answer(self.up.envelope.meeting, vec![answer], self.extra()).await
    }

    async fn refuse_engaged(&self) -> Result<(), DecisionError> {
        let words = "you are in another call: leave it first";
        self.refuse(refusal(RefusalCode::AlreadyInCall, words)).await
    }

    async fn refuse_unknown(&self) -> Result<(), DecisionError> {
        let words = "there is no such user or meeting for you: check the name";
        self.refuse(refusal(RefusalCode::NotAllowed, words)).await
    }

    /// `check` has refused requests about a meeting without one.
    fn meeting(&self) -> MeetingId {
        self.up.envelope.meeting.unwrap_or(MeetingId(uuid::Uuid::nil()))
    }
}
