//! The transaction of an event: read the document, let the machine decide, store everything together.

mod changes;
pub(crate) mod stored;

use crate::commit::changes::change;
use crate::commit::stored::StoredMeeting;
use crate::ids;
use crate::machine::{Context, Decided, DocumentError, Event, HistoryEntry, Meeting, Missed, OutgoingSignal};
use crate::outbox::encode;
use crate::outbox::relay;
use crate::set_aside;
use crate::state::ServiceState;
use catalog::{
    AuditEntry, CatalogError, CommitError, Handled, MeetingCommit, MeetingRead, OutcomeRow, PastCallRow, TimerRow,
};
use signalling::{ClientId, DownBody, MeetingId, SignalId};
use std::sync::Arc;
use uuid::Uuid;

/// How often an event is decided again because its document has changed meanwhile.
pub(crate) const TRIES_MAX: usize = 50;

/// The event was not decided; it has to come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecisionError {
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("the RTC server cannot open a channel: {0}")]
    Channel(#[from] signalling::ChannelError),
    #[error("the queue did not take the answer for as long as it is good")]
    Unsent,
}

impl DecisionError {
    /// The stored document cannot be read.
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Document(_) | Self::Commit(CommitError::Catalog(CatalogError::Damaged(_))))
    }

    /// The catalog accepts nothing at the moment, whatever the request.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Catalog(CatalogError::Unavailable(_))))
    }
}

impl From<CatalogError> for DecisionError {
    fn from(error: CatalogError) -> Self {
        Self::Commit(error.into())
    }
}

/// What a request adds to the transaction.
#[derive(Default)]
pub(crate) struct CommitExtra {
    pub handled: Option<Handled>,
    pub created_by: Option<(String, u64)>,
    pub seen: Vec<(String, Uuid)>,
    /// Timers that are in the catalog, as they were read: they are replaced by those of the document.
    pub timers: Vec<TimerRow>,
    pub audit: Option<AuditEntry>,
}

impl ServiceState {
    /// The meeting as it is stored. One that cannot be read is set aside; then there is none.
    pub(crate) async fn stored_meeting(&self, id: Uuid) -> Result<Option<StoredMeeting>, DecisionError> {
        if let Some(stored) = self.meetings.find(id)
            && self.catalog.meeting_revision(id).await? == Some(stored.revision)
        {
            return Ok(Some(stored));
        }
        match self.read(id).await {
            Ok(Some(stored)) => {
                self.meetings.keep(&stored);
                Ok(Some(stored))
            }
            Err(error) if error.is_unreadable() => {
                set_aside::meeting(self, id, &error.to_string()).await?;
                Ok(None)
            }
            done => done,
        }
    }

    async fn read(&self, id: Uuid) -> Result<Option<StoredMeeting>, DecisionError> {
        let Some(row) = self.catalog.meeting(id).await? else { return Ok(None) };
        Ok(Some(StoredMeeting::try_from(row)?))
    }

    /// Runs one decision of the machine now.
    pub(crate) fn decide<T>(&self, decide: impl FnOnce(Context<'_>) -> T) -> T {
        let mut ids = ids::new_id;
        let times = self.clock.times();
        let (now_ms, held_ms, is_settled) = (times.now_ms, times.held_ms(), times.is_settled());
        decide(Context { now_ms, held_ms, is_settled, rules: &self.config.rules, ids: &mut ids })
    }

    /// Handles an event that no request caused: decides it on the newest document, again if that changes meanwhile.
    pub(crate) async fn handle_event(&self, id: Uuid, event: Event) -> Result<Option<Arc<Meeting>>, DecisionError> {
        for _ in 0..TRIES_MAX {
            let Some(stored) = self.stored_meeting(id).await? else { return Ok(None) };
            let decided = self.decide(|context| stored.meeting.handle_event(event.clone(), context));
            match self.store(Some(&stored), decided, CommitExtra::default()).await {
                Err(DecisionError::Commit(CommitError::Conflict)) => {}
                done => return done.map(Some),
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// Stores a decision with all that it caused, and wakes the tasks that carry it out. It is stored only while the
    /// document is the one that it was made from, also where it changes nothing: else its answers would follow those of
    /// a newer one.
    pub(crate) async fn store(
        &self,
        before: Option<&StoredMeeting>,
        decided: Decided,
        extra: CommitExtra,
    ) -> Result<Arc<Meeting>, DecisionError> {
        if decided.changed {
            self.store_change(before, decided, extra).await
        } else {
            self.store_answers(before, decided, extra).await
        }
    }

    async fn store_change(
        &self,
        before: Option<&StoredMeeting>,
        decided: Decided,
        extra: CommitExtra,
    ) -> Result<Arc<Meeting>, DecisionError> {
        let Decided { meeting, mut sends, missed, past, .. } = decided;
        let told = self.fit_rosters(&meeting, &mut sends);
        let (change, places) = change(before, &meeting, &self.config.rules, self.now_ms(), &extra.timers);
        let created_at_ms = change.created_at_ms;
        let revision = change.expected.unwrap_or(0) + 1;
        let commit = MeetingCommit {
            meeting: Some(change),
            outcomes: missed.into_iter().map(outcome_row).collect(),
            past_calls: past.into_iter().map(past_call_row).collect(),
            ..self.commit_of(Some(meeting.id), sends, extra)
        };
        self.catalog.commit(commit).await?;
        tracing::trace!(meeting = %meeting.id, "a decision is stored");
        let stored = StoredMeeting { meeting: Arc::new(meeting), revision, created_at_ms, places: Arc::new(places) };
        self.meetings.keep(&stored);
        self.outbox.notify_one();
        self.deadlines.notify_one();
        self.reconciler.handle_meeting(&stored.meeting);
        self.rosters.handle_meeting(&stored.meeting, &told);
        Ok(stored.meeting)
    }

    async fn store_answers(
        &self,
        before: Option<&StoredMeeting>,
        decided: Decided,
        extra: CommitExtra,
    ) -> Result<Arc<Meeting>, DecisionError> {
        let Decided { meeting, mut sends, .. } = decided;
        let told = self.fit_rosters(&meeting, &mut sends);
        if !sends.is_empty() || extra.handled.is_some() || extra.audit.is_some() {
            let mut read = before.map(|stored| MeetingRead { id: meeting.id.0, revision: stored.revision });
            if let Some(delay) = self.config.fault.answers_late() {
                tokio::time::sleep(delay).await;
                read = None;
            }
            let commit = MeetingCommit { read, ..self.commit_of(Some(meeting.id), sends, extra) };
            self.catalog.commit(commit).await?;
            self.outbox.notify_one();
            if let Some(stored) = before {
                self.rosters.handle_meeting(&stored.meeting, &told);
            }
        }
        Ok(before.map_or_else(|| Arc::new(meeting), |stored| Arc::clone(&stored.meeting)))
    }

    /// Returns the clients that get the roster of this decision with it.
    fn fit_rosters(&self, after: &Meeting, sends: &mut [OutgoingSignal]) -> Vec<ClientId> {
        sends.iter_mut().for_each(|send| self.rosters.fit(after, send));
        let told = |send: &&OutgoingSignal| {
            matches!(send.body, DownBody::Admitted { .. } | DownBody::Roster(_) | DownBody::RosterChanged(_))
        };
        sends.iter().filter(told).map(|send| send.to.clone()).collect()
    }

    /// Stores an answer that changes no meeting.
    pub(crate) async fn answer(
        &self,
        meeting: Option<MeetingId>,
        sends: Vec<OutgoingSignal>,
        extra: CommitExtra,
    ) -> Result<(), DecisionError> {
        self.catalog.commit(self.commit_of(meeting, sends, extra)).await?;
        self.outbox.notify_one();
        Ok(())
    }

    /// A signal on `meeting-down` that no decision caused.
    pub(crate) fn to_client(&self, to: &ClientId, body: DownBody) -> OutgoingSignal {
        let expires_at_ms = self.now_ms().saturating_add(self.config.rules.meeting_kept_ms);
        OutgoingSignal::on_meeting_down(to.clone(), body, expires_at_ms)
    }

    /// Sends without the outbox what no decision caused: the answer of a read, or an update that is sent again if it is
    /// lost.
    pub(crate) async fn send_directly(
        &self,
        send: OutgoingSignal,
        meeting: Option<MeetingId>,
    ) -> Result<(), DecisionError> {
        let row = self.row(send, meeting, self.now_ms());
        relay::send_directly(self, &row).await
    }

    /// The same for an answer that knows what was decided: all signals that were decided before and go to the same
    /// receiver on the same topic are sent first.
    pub(crate) async fn send_behind_outbox(&self, send: OutgoingSignal) -> Result<(), DecisionError> {
        let row = self.row(send, None, self.now_ms());
        relay::send_behind(self, row).await
    }

    /// Fails while the catalog accepts no write. What it writes is deleted with the next expired rows.
    pub(crate) async fn try_write(&self) -> Result<(), DecisionError> {
        let handled = Handled { signal: ids::new_id(), keep_until_ms: self.now_ms() };
        self.catalog.commit(MeetingCommit { handled: Some(handled), ..MeetingCommit::default() }).await?;
        Ok(())
    }

    fn commit_of(&self, meeting: Option<MeetingId>, sends: Vec<OutgoingSignal>, extra: CommitExtra) -> MeetingCommit {
        let now_ms = self.now_ms();
        let rows = sends.into_iter().map(|send| self.row(send, meeting, now_ms));
        MeetingCommit {
            handled: extra.handled,
            outbox: rows.collect(),
            seen: extra.seen,
            created_by: extra.created_by,
            audit: extra.audit,
            ..MeetingCommit::default()
        }
    }

    /// Signs the token that the signal carries.
    fn row(&self, mut send: OutgoingSignal, meeting: Option<MeetingId>, now_ms: u64) -> catalog::NewOutboxRow {
        let parameters = send.ticket.as_ref().map(|ticket| self.join_parameters(ticket));
        if let (Some(join), Some(parameters)) = (send.join_mut(), parameters) {
            *join = parameters;
        }
        encode::row(send, meeting, SignalId(ids::new_id()), now_ms)
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

fn past_call_row(HistoryEntry { user, call }: HistoryEntry) -> PastCallRow {
    PastCallRow {
        user: user.0,
        meeting: call.meeting.0,
        started_at_ms: call.started_at_ms,
        duration_ms: call.duration_ms,
        document: serde_json::to_string(&call).expect("a past call has string keys only"),
    }
}
