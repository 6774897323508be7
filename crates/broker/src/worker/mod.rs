//! One worker: a thread with its own epoll, its own connections and its own clients.
//!
//! A client belongs to the worker that its id hashes to, so that take-over, resume, order and acknowledgement of one
//! client happen in one thread and need no lock. Each turn of the loop takes what the sockets, the mailboxes, the log
//! and the timers have, does all of it, and then writes once to each connection and each mailbox.
//!
//! A worker never waits for anything but its epoll: SQL and the queue run elsewhere and answer by a
//! [`Notice`](post::Notice), and the log is asked only what is durable.

mod connect;
mod deliver;
mod durable;
mod io;
mod lazy;
pub(crate) mod link;
pub(crate) mod post;
mod publish;
mod queue_side;
mod removal;
mod requests;
mod route;
mod seat;
mod stalled;
mod start;
mod subscribe;
mod sweep;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::Position;
use mio::{Events, Poll};
use mqtt::ReasonCode;
use mqtt::topic::{Matches, SubscriptionTree};
use slab::Slab;

use crate::client::ClientKey;
use crate::fatal::Fatal;
use crate::shared::Shared;
use crate::timers::Timers;
use crate::transport::Scratch;
use durable::{AfterDurable, Gather};
use lazy::Lazy;
use link::Link;
use post::{LinkKey, P2p, Post, WorkerMailbox};
use seat::Seat;
use stalled::Stalled;

pub(crate) use start::{Prepared, prepare};

/// Sessions and sweeps are looked at this often.
const TICK: Duration = Duration::from_millis(500);
/// Posts to one worker that wait for room before their publishers are paused.
const OUTGOING_MAX: usize = 1024;
/// A stop waits this long for peers that have been told everything, and for those that read slowly.
const STOP_LINGERS: Duration = Duration::from_millis(200);
const STOP_TAKES_MAX: Duration = Duration::from_secs(3);
const EVENTS_PER_TURN: usize = 1024;

pub(crate) struct Worker {
    me: usize,
    shared: Arc<Shared>,
    poll: Poll,
    mailbox: WorkerMailbox,
    /// For each worker, what goes out at the end of the turn.
    outgoing: Vec<VecDeque<Post>>,
    links: Slab<Link>,
    generations: u64,
    seats: HashMap<ClientKey, Seat>,
    subscriptions: SubscriptionTree<ClientKey>,
    /// Subscribers of each filter here, for the shared interest.
    subscribers_by_filter: HashMap<Box<str>, usize>,
    /// Used again for each message.
    matches: Matches<ClientKey>,
    timers: Timers<LinkKey>,
    /// Sessions without a connection, by the time they end.
    endings: BTreeSet<(u64, ClientKey)>,
    to_sweep: VecDeque<ClientKey>,
    next_sweep: Instant,
    next_tick: Instant,
    /// Connections that have something to do without a new event.
    ready: VecDeque<LinkKey>,
    dirty: Vec<LinkKey>,
    paused: Vec<LinkKey>,
    waiting: BTreeMap<(Position, u64), AfterDurable>,
    gathers: HashMap<u64, Gather>,
    /// Numbers for waiters, gathers and volatile entries.
    numbers: u64,
    lazy: Lazy,
    /// Messages whose receiver is being looked up.
    lookups: HashMap<ClientKey, Vec<P2p>>,
    lookups_waiting: usize,
    /// Credentials of devices that were removed a moment ago, and when.
    removed_keys: HashMap<Box<str>, Instant>,
    /// Messages that wait until the log takes them.
    stalled: VecDeque<Stalled>,
    scratch: Option<Box<Scratch>>,
    now: Instant,
    now_ms: u64,
    stopping: Option<Stopping>,
    log_failed: bool,
}

struct Stopping {
    /// Until then peers may read our last words and close.
    linger_until: Instant,
    give_up: Instant,
}

impl Worker {
    /// Serves until it is told to stop and its connections are closed. `true`: everything that it had to log is logged.
    pub(crate) fn run(mut self) -> bool {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.is_finished() {
            let patience = self.patience();
            if let Err(error) = self.poll.poll(&mut events, Some(patience))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a broker worker cannot wait for its sockets");
                (self.shared.tasks.on_fatal)(Fatal::Worker);
                return false;
            }
            self.turn(&events);
        }
        self.lazy.is_empty() && !self.log_failed
    }

    fn turn(&mut self, events: &Events) {
        self.now = Instant::now();
        self.now_ms = self.shared.clock.now_ms();
        self.mailbox.silence();
        self.take_events(events);
        self.retry_stalled();
        self.take_posts();
        self.take_notices();
        self.take_ready();
        self.take_durable();
        self.take_timeouts();
        self.tick();
        self.flush_lazy();
        self.flush_links();
        self.flush_posts();
    }

    /// How long there is nothing to do unless something comes.
    fn patience(&mut self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        if !self.to_sweep.is_empty() || !self.lazy.is_empty() || !self.stalled.is_empty() {
            return Duration::from_millis(1);
        }
        let now = Instant::now();
        let stop = self.stopping.as_ref().map_or(self.next_tick, |stopping| stopping.linger_until);
        let due = self.timers.next_due().unwrap_or(self.next_tick).min(self.next_tick).min(stop.max(now));
        due.saturating_duration_since(now)
    }

    fn is_finished(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let is_over = self.now >= stopping.linger_until && self.links.iter().all(|(_, link)| link.is_finished());
        let is_logged = self.log_failed || (self.waiting.is_empty() && self.lazy.is_empty());
        (is_logged && (is_over || self.links.is_empty())) || self.now >= stopping.give_up
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn link(&mut self, key: LinkKey) -> Option<&mut Link> {
        self.links.get_mut(key.slot).filter(|link| link.generation == key.generation)
    }

    fn key_of(&self, slot: usize) -> Option<LinkKey> {
        self.links.get(slot).map(|link| LinkKey { slot, generation: link.generation })
    }

    /// There are bytes to write at the end of the turn.
    fn mark_dirty(&mut self, key: LinkKey) {
        if let Some(link) = self.link(key)
            && !std::mem::replace(&mut link.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// It may go on with what it holds or with what its socket has.
    fn mark_ready(&mut self, key: LinkKey) {
        if let Some(link) = self.link(key)
            && !std::mem::replace(&mut link.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    fn post(&mut self, worker: usize, post: Post) {
        if let Some(outgoing) = self.outgoing.get_mut(worker) {
            outgoing.push_back(post);
        }
    }

    fn is_congested(&self) -> bool {
        self.is_stalled() || self.outgoing.iter().any(|outgoing| outgoing.len() >= OUTGOING_MAX)
    }

    fn stop(&mut self, reason: ReasonCode) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { linger_until: self.now + STOP_LINGERS, give_up: self.now + STOP_TAKES_MAX });
        let keys: Vec<LinkKey> =
            self.links.iter().map(|(slot, link)| LinkKey { slot, generation: link.generation }).collect();
        keys.into_iter().for_each(|key| self.end_link(key, Some(reason)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::Live;

    /// What one idle client costs its worker, without the allocator's rounding: its connection, its session, and their
    /// places in the maps and the timers.
    #[test]
    fn an_idle_connection_with_its_session_costs_less_than_a_kilobyte() {
        let client_id = "GID_dev@@@web-0123abcd-0";
        let strings = 4 * client_id.len() + "user:".len() + 2 * 32;
        let timers = size_of::<(Instant, LinkKey)>() * 2;
        let link = size_of::<Link>() + size_of::<Live>();
        let seat = size_of::<ClientKey>() + size_of::<Seat>();
        let total = link + seat + timers + strings;
        assert!(total < 1024, "{total} bytes: link {link}, seat {seat}");
    }
}
