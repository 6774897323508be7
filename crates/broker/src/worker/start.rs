//! How a worker begins: its mailbox first, so that all know each other, then what the log has of its clients.

use std::io;
use std::sync::Arc;

use mio::{Poll, Registry};
use mqtt::server::Restart;

use super::Worker;
use super::action::{Actions, Now};
use super::carrying::Carrying;
use super::clients::{self, Clients};
use super::connections::{self, Connections, WAKE};
use super::dumping::Dumping;
use super::durability::Durability;
use super::ended_connections::EndedConnections;
use super::granted::ToJudge;
use super::logins::Logins;
use super::post::{WorkerAddress, WorkerMailbox};
use super::queue_jobs::QueueAcks;
use super::reader::ReaderAddress;
use super::revoking::CutOff;
use super::validity::ClockWatch;
use super::worker_posts::WorkerPosts;
use crate::mailbox::{Alarm, mailbox};
use crate::shared::Shared;
use crate::store::{RecoveredClient, RecoveredConnection};
use crate::transport::Scratch;

/// A worker that others can already write to.
pub(crate) struct Prepared {
    poll: Poll,
    registry: Registry,
    mailbox: WorkerMailbox,
}

/// What the log has for one worker.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) clients: Vec<(Box<str>, Box<RecoveredClient>)>,
    /// Those whose `tcpclean` is not in the queue yet.
    pub(crate) connections: Vec<(Box<str>, RecoveredConnection)>,
}

pub(crate) fn prepare() -> io::Result<(WorkerAddress, Prepared)> {
    let poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    let alarm = Alarm::new(poll.registry(), WAKE)?;
    let (address, mailbox) = mailbox(alarm);
    Ok((address, Prepared { poll, registry, mailbox }))
}

impl Prepared {
    /// The worker, and what it waits with.
    pub(crate) fn into_worker(
        self,
        me: usize,
        shared: Arc<Shared>,
        recovered: Recovered,
        restart: Restart,
        reader: ReaderAddress,
    ) -> (Worker, Poll) {
        let now = Now::of(&shared.clock);
        let queue_acks = QueueAcks::new(shared.atomic_ack.clone());
        let context = clients::Context {
            worker: me,
            journal: shared.journal.clone(),
            counts: shared.counts.clone(),
            limits: shared.limits.clone(),
            inbox_limits: shared.inbox_limits,
            urgent_parents: shared.urgent_parents.clone(),
            workers_by_filter: shared.workers_by_filter.clone(),
            queue_acks: queue_acks.clone(),
        };
        let mut clients = Clients::new(context, now.instant);
        for (client_id, client) in recovered.clients {
            clients.recover(&client_id, *client, restart, now);
        }
        clients.recovered();
        let ended = EndedConnections::recover(recovered.connections, shared.journal.oldest_segment(), now.ms);
        let live_bytes = clients.live_bytes() + ended.live_bytes();
        let context = connections::Context {
            limits: shared.limits.clone(),
            connection_config: shared.connection_config.clone(),
            counts: shared.counts.clone(),
            meter: shared.memory.meter(me).clone(),
        };
        let to_judge = ToJudge::all(clients.subscribers());
        let worker = Worker {
            me,
            mailbox: self.mailbox,
            connections: Connections::new(context, self.registry, now.instant),
            clients,
            durability: Durability::new(shared.journal.clone(), shared.counts.clone(), queue_acks.clone()),
            worker_posts: WorkerPosts::new(me, &shared.workers),
            logins: Logins::default(),
            ended,
            carrying: Carrying::new(shared.journal.register_owner(), live_bytes),
            dumping: Dumping::default(),
            actions: Actions::new(),
            queue_acks,
            reader,
            scratch: Some(Box::new(Scratch::new())),
            now,
            cut_off: CutOff::default(),
            to_judge,
            has_token_news: false,
            clock_watch: ClockWatch::new(now),
            is_short_of_memory: false,
            next_tick: now.instant,
            stopping: None,
            shared,
        };
        (worker, self.poll)
    }
}
