//! The state that all tasks of the service share.

use crate::commit::stored::MeetingCache;
use crate::config::Config;
use crate::directory::contacts::Contacts;
use crate::machine::Ticket;
use crate::outage::OutageGate;
use crate::outbox::relay::Answer;
use crate::presence::PresenceWatches;
use crate::rosters::Rosters;
use crate::rtc::reconcile::Reconciler;
use crate::token::JoinSigner;
use catalog::{Catalog, SetAside};
use clock::Clock;
use queue::Queue;
use signalling::JoinParameters;
use std::sync::{Arc, MutexGuard, PoisonError};
use tokio::sync::{Mutex, Notify, mpsc, watch};

pub(crate) struct ServiceState {
    pub config: Config,
    pub clock: Clock,
    pub queue: Arc<dyn Queue>,
    pub catalog: Arc<dyn Catalog>,
    pub signer: JoinSigner,
    pub reconciler: Reconciler,
    pub gate: OutageGate,
    pub meetings: MeetingCache,
    pub contacts: Contacts,
    pub rosters: Rosters,
    pub presence: PresenceWatches,
    /// How many meetings and messages are set aside for an operator.
    pub set_aside: watch::Sender<SetAside>,
    /// Rows of the outbox that are sent and not deleted yet.
    pub sent: std::sync::Mutex<Vec<i64>>,
    /// There are new rows in the outbox.
    pub outbox: Notify,
    /// What the run before left in the outbox is sent.
    pub caught_up: Notify,
    /// Answers that are sent behind the rows of the outbox.
    pub answers: mpsc::Sender<Answer>,
    /// The earliest deadline may have changed.
    pub deadlines: Notify,
    /// Creates are decided one after the other, so that two users who call each other meet.
    pub creating: Mutex<()>,
}

impl ServiceState {
    /// Milliseconds since 1970, of the service's time.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Everything that the ticket's client needs to join now: where the RTC server says, and until it has said it, where
    /// the configuration says.
    pub(crate) fn join_parameters(&self, ticket: &Ticket) -> JoinParameters {
        let endpoints = self.reconciler.endpoints().unwrap_or_else(|| self.config.endpoints.clone());
        self.signer.parameters(ticket, &self.config, endpoints, self.now_ms())
    }

    pub(crate) fn sent(&self) -> MutexGuard<'_, Vec<i64>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
