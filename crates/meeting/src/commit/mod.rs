//! One event, one transaction: read the document, let the machine decide, store everything together.

mod changes;
pub(crate) mod known;

use crate::clock;
use crate::commit::changes::change;
use crate::commit::known::{Known, Memory};
use crate::config::Config;
use crate::directory::contacts::Contacts;
use crate::machine::{Context, DocumentError, Event, Meeting, Missed, Outgoing, Past, Step};
use crate::outage::Gate;
use crate::outbox::encode;
use crate::outbox::relay;
use crate::presence::Watching;
use crate::rosters::Rosters;
use crate::rtc::reconcile::Reconciler;
use crate::set_aside;
use crate::token::JoinSigner;
use catalog::{
    Catalog, CatalogError, CommitError, Handled, MeetingCommit, MeetingRead, OutcomeRow, PastCallRow, SetAside,
    TimerRow,
};
use queue::Queue;
use signalling::{ClientId, DownBody, MeetingId, SignalId};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, watch};
use uuid::Uuid;

/// A commit that meets a changed document is tried again, at most so often before the event is given back.
pub(crate) const TRIES_MAX: usize = 50;

/// What all tasks of the service share.
pub(crate) struct Shared {
    pub config: Config,
    pub queue: Arc<dyn Queue>,
    pub catalog: Arc<dyn Catalog>,
    pub signer: JoinSigner,
    pub reconciler: Reconciler,
    pub gate: Gate,
    pub memory: Memory,
    pub contacts: Contacts,
    pub rosters: Rosters,
    pub watching: Watching,
    /// How much is set aside for an operator.
    pub set_aside: watch::Sender<SetAside>,
    /// Rows of the outbox that are sent and not forgotten yet.
    pub sent: std::sync::Mutex<Vec<i64>>,
    /// There is something in the outbox.
    pub outbox: Notify,
    /// The earliest deadline may have changed.
    pub deadlines: Notify,
    /// Creates are decided one after the other, so that two users who call each other meet.
    pub creating: Mutex<()>,
}

/// The event was not decided; it has to come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecided {
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("the RTC server cannot open a channel: {0}")]
    Channel(#[from] signalling::ChannelError),
    #[error("the queue did not take the answer for as long as it is good")]
    Unsent,
}

impl Undecided {
    /// What was read is no document.
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Document(_) | Self::Commit(CommitError::Catalog(CatalogError::Damaged(_))))
    }

    /// The store takes nothing at the moment, whatever the request.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Catalog(CatalogError::Unavailable(_))))
    }
}

impl From<CatalogError> for Undecided {
    fn from(error: CatalogError) -> Self {
        Self::Commit(error.into())
    }
}

/// What a request adds to the transaction.
#[derive(Default)]
pub(crate) struct Extra {
    pub handled: Option<Handled>,
    pub created_by: Option<(String, u64)>,
    pub seen: Vec<(String, Uuid)>,
    /// Timers that stand in the catalog, as they were read: they are replaced by what the document says now.
    pub timers: Vec<TimerRow>,
}

impl Shared {
    /// One that cannot be read is set aside, and known no more.
    pub(crate) async fn known(&self, id: Uuid) -> Result<Option<Known>, Undecided> {
        if let Some(known) = self.memory.find(id)
            && self.catalog.meeting_revision(id).await? == Some(known.revision)
        {
            return Ok(Some(known));
        }
        match self.read(id).await {
            Ok(Some(known)) => {
                self.memory.keep(&known);
                Ok(Some(known))
            }
            Err(error) if error.is_unreadable() => {
                set_aside::meeting(self, id, &error.to_string()).await?;
                Ok(None)
            }
            done => done,
        }
    }

    async fn read(&self, id: Uuid) -> Result<Option<Known>, Undecided> {
        let Some(row) = self.catalog.meeting(id).await? else { return Ok(None) };
        Ok(Some(Known::try_from(row)?))
    }

    pub(crate) fn sent(&self) -> std::sync::MutexGuard<'_, Vec<i64>> {
        self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs one decision of the machine now.
    pub(crate) fn machine<T>(&self, decide: impl FnOnce(Context<'_>) -> T) -> T {
        let mut ids = clock::new_id;
        decide(Context { now_ms: clock::now_ms(), rules: &self.config.rules, ids: &mut ids })
    }

    /// An event that no request caused: decided on the newest document, again if that changes meanwhile.
    pub(crate) async fn happen(&self, id: Uuid, event: Event) -> Result<Option<Arc<Meeting>>, Undecided> {
        for _ in 0..TRIES_MAX {
            let Some(known) = self.known(id).await? else { return Ok(None) };
            let step = self.machine(|context| known.meeting.apply(event.clone(), context));
            match self.store(Some(&known), step, Extra::default()).await {
                Err(Undecided::Commit(CommitError::Conflict)) => {}
                done => return done.map(Some),
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// Stores a decision with all it caused, and sets everybody to work on it. It is stored only while the document is the
    /// one that it was made from, also where it changes nothing: its answers would come after those of a newer one.
    pub(crate) async fn store(
        &self,
        before: Option<&Known>,
        step: Step,
        extra: Extra,
    ) -> Result<Arc<Meeting>, Undecided> {
        if step.changed {
            self.store_change(before, step, extra).await
        } else {
            self.store_answers(before, step, extra).await
        }
    }

    async fn store_change(&self, before: Option<&Known>, step: Step, extra: Extra) -> Result<Arc<Meeting>, Undecided> {
        let Step { meeting, mut sends, missed, past, .. } = step;
        let told = self.fit_rosters(&meeting, &mut sends);
        let (change, places) = change(before, &meeting, &self.config.rules, &extra.timers);
        let revision = change.expected.unwrap_or(0) + 1;
        let commit = MeetingCommit {
            meeting: Some(change),
            outcomes: missed.into_iter().map(outcome_row).collect(),
            past_calls: past.into_iter().map(past_call_row).collect(),
            ..self.commit_of(Some(meeting.id), sends, extra)
        };
        self.catalog.commit(commit).await?;
        tracing::trace!(meeting = %meeting.id, "a decision is stored");
        let known = Known { meeting: Arc::new(meeting), revision, places: Arc::new(places) };
        self.memory.keep(&known);
        self.outbox.notify_one();
        self.deadlines.notify_one();
        self.reconciler.wants(&known.meeting);
        self.rosters.take(&known.meeting, &told);
        Ok(known.meeting)
    }

    async fn store_answers(&self, before: Option<&Known>, step: Step, extra: Extra) -> Result<Arc<Meeting>, Undecided> {
        let Step { meeting, mut sends, .. } = step;
        let told = self.fit_rosters(&meeting, &mut sends);
        if !sends.is_empty() || extra.handled.is_some() {
            let mut read = before.map(|known| MeetingRead { id: meeting.id.0, revision: known.revision });
            if let Some(delay) = self.config.fault.answers_late() {
                tokio::time::sleep(delay).await;
                read = None;
            }
            let commit = MeetingCommit { read, ..self.commit_of(Some(meeting.id), sends, extra) };
            self.catalog.commit(commit).await?;
            self.outbox.notify_one();
            if let Some(known) = before {
                self.rosters.take(&known.meeting, &told);
            }
        }
        Ok(before.map_or_else(|| Arc::new(meeting), |known| Arc::clone(&known.meeting)))
    }

    /// The clients that learn the roster of this decision by it.
    fn fit_rosters(&self, after: &Meeting, sends: &mut [Outgoing]) -> Vec<ClientId> {
        sends.iter_mut().for_each(|send| self.rosters.fit(after, send));
        let told = |send: &&Outgoing| {
            matches!(send.body, DownBody::Admitted { .. } | DownBody::Roster(_) | DownBody::RosterChanged(_))
        };
        sends.iter().filter(told).map(|send| send.to.clone()).collect()
    }

    /// Stores an answer that changes no meeting.
    pub(crate) async fn answer(
        &self,
        meeting: Option<MeetingId>,
        sends: Vec<Outgoing>,
        extra: Extra,
    ) -> Result<(), Undecided> {
        self.catalog.commit(self.commit_of(meeting, sends, extra)).await?;
        self.outbox.notify_one();
        Ok(())
    }

    /// Sends what no decision caused, without the outbox: the answer of a read, news that nobody misses.
    pub(crate) async fn send_straight(&self, send: Outgoing, meeting: Option<MeetingId>) -> Result<(), Undecided> {
        let row = self.row(send, meeting, clock::now_ms());
        relay::send_straight(&*self.queue, &row).await
    }

    /// Whether the catalog takes anything: a row that is forgotten with the next ones.
    pub(crate) async fn try_write(&self) -> Result<(), Undecided> {
        let handled = Handled { signal: clock::new_id(), keep_until_ms: clock::now_ms() };
        self.catalog.commit(MeetingCommit { handled: Some(handled), ..MeetingCommit::default() }).await?;
        Ok(())
    }

    fn commit_of(&self, meeting: Option<MeetingId>, sends: Vec<Outgoing>, extra: Extra) -> MeetingCommit {
        let now_ms = clock::now_ms();
        let rows = sends.into_iter().map(|send| self.row(send, meeting, now_ms));
        MeetingCommit {
            handled: extra.handled,
            outbox: rows.collect(),
            seen: extra.seen,
            created_by: extra.created_by,
            ..MeetingCommit::default()
        }
    }

    /// Signs the token that the signal carries.
    fn row(&self, mut send: Outgoing, meeting: Option<MeetingId>, now_ms: u64) -> catalog::NewOutboxRow {
        let parameters = send.ticket.as_ref().map(|ticket| self.signer.parameters(ticket, &self.config, now_ms));
        if let (Some(join), Some(parameters)) = (send.join_mut(), parameters) {
            *join = parameters;
        }
        encode::row(send, meeting, SignalId(clock::new_id()), now_ms)
    }
}

fn outcome_row(missed: Missed) -> OutcomeRow {
    OutcomeRow {
        user: missed.user.0,
        invitation: missed.outcome.invitation.0,
        at_ms: missed.outcome.at_ms,
        document: serde_json::to_string(&missed.outcome).expect("an outcome has string keys only"),
    }
}

fn past_call_row(Past { user, call }: Past) -> PastCallRow {
    PastCallRow {
        user: user.0,
        meeting: call.meeting.0,
        started_at_ms: call.started_at_ms,
        duration_ms: call.duration_ms,
        document: serde_json::to_string(&call).expect("a past call has string keys only"),
    }
}
