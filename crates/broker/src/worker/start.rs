//! How a worker begins: its mailbox first, so that all know each other, then what the log has of its clients.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::Poll;
use mqtt::server::Restart;
use mqtt::topic::{Matches, SubscriptionTree, TopicFilter};
use mqtt::{SubscriptionOptions, topic::TopicFilterBuf};
use slab::Slab;

use super::io::WAKE;
use super::post::{WorkerAddress, WorkerMailbox};
use super::seat::Seat;
use super::{TICK, Worker};
use crate::client::ClientKey;
use crate::mailbox::{Alarm, mailbox};
use crate::shared::Shared;
use crate::store::RecoveredClient;
use crate::timers::Timers;
use crate::transport::Scratch;

/// A worker that others can already write to.
pub(crate) struct Prepared {
    poll: Poll,
    mailbox: WorkerMailbox,
}

pub(crate) fn prepare() -> io::Result<(WorkerAddress, Prepared)> {
    let poll = Poll::new()?;
    let alarm = Alarm::new(poll.registry(), WAKE)?;
    let (address, mailbox) = mailbox(alarm);
    Ok((address, Prepared { poll, mailbox }))
}

impl Prepared {
    pub(crate) fn into_worker(
        self,
        me: usize,
        shared: Arc<Shared>,
        recovered: Vec<(Box<str>, RecoveredClient)>,
        restart: Restart,
    ) -> Worker {
        let mut worker = self.into_idle(me, shared);
        recovered.into_iter().for_each(|(client_id, client)| worker.recover(&client_id, client, restart));
        worker
    }

    /// Nobody's owner yet.
    fn into_idle(self, me: usize, shared: Arc<Shared>) -> Worker {
        let now = Instant::now();
        let now_ms = shared.clock.now_ms();
        let outgoing = shared.workers.iter().map(|_| VecDeque::new()).collect();
        Worker {
            me,
            shared,
            poll: self.poll,
            mailbox: self.mailbox,
            outgoing,
            links: Slab::new(),
            generations: 0,
            seats: HashMap::new(),
            subscriptions: SubscriptionTree::new(),
            subscribers_by_filter: HashMap::new(),
            matches: Matches::new(),
            timers: Timers::new(),
            endings: BTreeSet::new(),
            to_sweep: VecDeque::new(),
            next_sweep: now,
            next_tick: now + TICK,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            paused: Vec::new(),
            waiting: BTreeMap::new(),
            gathers: HashMap::new(),
            numbers: 0,
            lazy: super::lazy::Lazy::default(),
            lookups: HashMap::new(),
            lookups_waiting: 0,
            removed_keys: HashMap::new(),
            stalled: VecDeque::new(),
            scratch: Some(Box::new(Scratch::new())),
            now,
            now_ms,
            stopping: None,
            log_failed: false,
        }
    }
}

impl Worker {
    fn recover(&mut self, client_id: &str, recovered: RecoveredClient, restart: Restart) {
        let client = ClientKey::new(client_id);
        let subscriptions: Vec<(TopicFilterBuf, _)> = recovered
            .subscriptions
            .iter()
            .filter_map(|(filter, options)| Some((TopicFilter::parse(filter).ok()?.to_owned(), *options)))
            .collect();
        let mut seat = Seat::recover(&self.shared.inbox_limits, recovered, restart, self.now_ms);
        if seat.is_empty() {
            return;
        }
        for (filter, logged) in subscriptions {
            let options = SubscriptionOptions {
                qos: logged.qos,
                no_local: logged.no_local,
                retain_as_published: logged.retain_as_published,
                ..SubscriptionOptions::default()
            };
            let id = logged.subscription_id;
            if seat.inbox.session.subscribe(filter.as_filter(), options, id).is_ok() {
                self.add_subscription(&client, filter.as_filter(), options, id);
            }
        }
        if let Some(ends_at_ms) = seat.ends_at_ms {
            self.endings.insert((ends_at_ms, client.clone()));
        }
        let counts = &self.shared.counts;
        counts.inbox_messages.add(seat.inbox.len() as u64);
        counts.inbox_bytes.add(seat.inbox.bytes());
        counts.sessions.add(u64::from(seat.session.is_some()));
        self.seats.insert(client, seat);
    }
}
