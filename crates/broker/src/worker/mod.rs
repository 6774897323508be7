//! One worker: a thread with its own epoll, its own connections and its own clients.
//!
//! A client belongs to the worker that its id hashes to, so that take-over, resume, order and acknowledgement of one
//! client happen in one thread and need no lock. Each turn of the loop takes of what the sockets, the mailboxes, the log
//! and the timers have as much as a turn may do, and then writes once to each connection and each mailbox.
//!
//! A worker never waits for anything but its epoll: SQL, the queue and reads of the log run elsewhere and answer by a
//! [`Notice`](post::Notice), and the log is asked only what is durable.
//!
//! Four components with private state do the work: [`Connections`], [`Clients`], [`Durability`], [`WorkerPosts`]. They do not know
//! each other. [`Worker`] sees all four: it asks one and gives what it returns to the next. Here is its loop; `incoming`,
//! `requests`, `opening`, `revoking`, `validity` and `dispatch` are the rest of it. The rules of order that it keeps, each with its test, stand in
//! `docs/broker.md`.

mod action;
mod carrying;
mod clients;
mod connect_request;
mod connections;
mod dispatch;
mod dumping;
mod durability;
mod ended_connections;
mod granted;
mod incoming;
mod known_topic;
mod logins;
mod opening;
pub(crate) mod orders;
pub(crate) mod owner_publish;
pub(crate) mod post;
mod publish;
mod queue_jobs;
pub(crate) mod queue_order;
pub(crate) mod reader;
mod requests;
mod revoking;
#[cfg(test)]
mod scenarios;
mod start;
pub(crate) mod taken;
#[cfg(test)]
mod testing;
mod tokens;
mod turn_budget;
mod validity;
mod worker_posts;
mod writes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::Need;
use mio::{Events, Poll};
use mqtt::ReasonCode;

use crate::fatal::Fatal;
use crate::shared::Shared;
use crate::transport::Scratch;
use action::{Actions, Now};
use carrying::Carrying;
use clients::Clients;
use connections::{Connections, Flushed, SocketEvent, TimedOut};
use dumping::Dumping;
use durability::Durability;
use ended_connections::EndedConnections;
use granted::ToJudge;
use logins::Logins;
use post::WorkerMailbox;
use queue_jobs::QueueAcks;
use reader::ReaderAddress;
use revoking::CutOff;
use validity::ClockWatch;
use worker_posts::WorkerPosts;

pub(crate) use connections::LOGIN_HELD_BYTES;
pub(crate) use start::{Prepared, Recovered, prepare};

/// Sessions and sweeps are looked at this often.
const TICK: Duration = Duration::from_millis(500);
/// A stop waits this long for peers that have been told everything, and for those that read slowly.
const STOP_LINGERS: Duration = Duration::from_millis(200);
const STOP_TAKES_MAX: Duration = Duration::from_secs(3);
/// A stop takes this long at most for the snapshot that makes the next start a quick one.
const STOP_DUMPS_MAX: Duration = Duration::from_secs(10);
const EVENTS_PER_TURN: usize = 1024;

pub(crate) struct Worker {
    me: usize,
    shared: Arc<Shared>,
    mailbox: WorkerMailbox,
    connections: Connections,
    clients: Clients,
    durability: Durability,
    worker_posts: WorkerPosts,
    logins: Logins,
    /// Connections whose end is not told yet.
    ended: EndedConnections,
    /// Which segments of the log it needs no more.
    carrying: Carrying,
    dumping: Dumping,
    /// What the components want of each other; empty between two requests.
    actions: Actions,
    queue_acks: QueueAcks,
    reader: ReaderAddress,
    scratch: Option<Box<Scratch>>,
    now: Now,
    cut_off: CutOff,
    to_judge: ToJudge,
    /// More ends of tokens are to be told than one turn has.
    has_token_news: bool,
    clock_watch: ClockWatch,
    /// New work is refused in this turn.
    is_short_of_memory: bool,
    next_tick: Instant,
    stopping: Option<Stopping>,
}

struct Stopping {
    /// Until then peers may read our last words and close.
    linger_until: Instant,
    give_up: Instant,
    give_up_dumping: Instant,
}

impl Worker {
    /// Serves until it is told to stop and its connections are closed. `true`: everything that it had to log is logged.
    pub(crate) fn run(mut self, mut poll: Poll) -> bool {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.is_finished() {
            let time_to_wait = self.time_to_wait(Instant::now());
            if let Err(error) = poll.poll(&mut events, Some(time_to_wait))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a broker worker cannot wait for its sockets");
                (self.shared.tasks.on_fatal)(Fatal::Worker);
                return false;
            }
            let now = Now::of(&self.shared.clock);
            self.turn(events.iter().filter_map(SocketEvent::of), now);
        }
        self.durability.is_complete()
    }

    /// Does of what the sockets, the mailbox, the log and the timers have at this time as much as a turn may, and waits for
    /// nothing.
    fn turn(&mut self, events: impl Iterator<Item = SocketEvent>, now: Now) {
        self.now = now;
        self.is_short_of_memory = self.shared.memory.is_short();
        self.mailbox.silence();
        for event in events {
            self.connections.take_event(event);
        }
        self.retry_writes();
        self.clients.pace_reads(now.instant, &mut self.actions);
        self.take_posts();
        self.take_notices();
        self.cut_some_off();
        self.judge_some_subscribers();
        self.serve_ready();
        self.take_durable();
        self.take_logins();
        self.take_timeouts();
        self.tick();
        self.durability.flush();
        self.carry();
        self.dump();
        self.flush_connections();
        self.worker_posts.flush();
        if self.connections.has_paused() && !self.is_congested() {
            self.connections.resume_paused();
        }
    }

    /// How long there is nothing to do unless something comes.
    fn time_to_wait(&mut self, now: Instant) -> Duration {
        let has_work = !self.connections.are_served()
            || !self.logins.is_empty()
            || !self.cut_off.is_empty()
            || !self.to_judge.is_empty()
            || self.has_token_news;
        // What was found durable already: the log does not ring for it.
        if has_work || self.durability.has_durable() {
            return Duration::ZERO;
        }
        if self.has_more_to_log() || self.clients.is_sweeping() || self.clients.has_paced_reads() {
            return Duration::from_millis(1);
        }
        let stop = self.stopping.as_ref().map_or(self.next_tick, |stopping| stopping.linger_until);
        let due = self.connections.next_due().unwrap_or(self.next_tick).min(self.next_tick).min(stop.max(now));
        due.saturating_duration_since(now)
    }

    /// Soon, though nothing new comes.
    fn has_more_to_log(&self) -> bool {
        self.durability.has_retries() || self.carrying.has_more() || self.dumping.is_underway()
    }

    fn is_finished(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let now = self.now.instant;
        let is_over = now >= stopping.linger_until && self.connections.are_finished();
        let is_done = self.durability.is_settled() && (is_over || self.connections.is_empty());
        if is_done && self.dumping.is_underway() {
            return now >= stopping.give_up_dumping;
        }
        is_done || now >= stopping.give_up
    }

    fn is_congested(&self) -> bool {
        self.durability.is_congested() || self.worker_posts.is_congested()
    }

    fn stop(&mut self, reason: ReasonCode) {
        if self.stopping.is_some() {
            return;
        }
        let now = self.now.instant;
        self.stopping = Some(Stopping {
            linger_until: now + STOP_LINGERS,
            give_up: now + STOP_TAKES_MAX,
            give_up_dumping: now + STOP_DUMPS_MAX,
        });
        self.connections.keys().into_iter().for_each(|key| self.close(key, Some(reason)));
    }

    fn tick(&mut self) {
        self.clients.sweep_some(self.now, &mut self.actions);
        if self.now.instant >= self.next_tick {
            self.next_tick = self.now.instant + TICK;
            self.watch_clock();
            self.judge_failed_again();
            self.connections.tick(self.now.instant);
            self.clients.tick(self.now);
            self.has_token_news = true;
            let live_bytes = self.clients.live_bytes() + self.ended.live_bytes();
            self.carrying.tick(live_bytes, &self.shared.journal, self.now.certain_ms());
            let has_room = !self.is_short_of_memory && !self.shared.journal.is_full_for(Need::Normal);
            if self.connections.has_awaiting_room() && has_room {
                self.connections.take_awaiting_room().into_iter().for_each(|key| self.close(key, None));
            }
        }
        if self.has_token_news {
            self.tell_of_tokens();
        }
        self.dispatch();
    }

    fn take_timeouts(&mut self) {
        while let Some(timed_out) = self.connections.next_timeout(self.now.instant) {
            match timed_out {
                TimedOut::Close(key) => self.close(key, None),
                TimedOut::Judge(key) => self.judge(key),
                TimedOut::Nothing => {}
            }
        }
    }

    fn take_durable(&mut self) {
        while let Some(then) = self.durability.next_durable() {
            self.after_durable(then);
            self.dispatch();
        }
    }

    fn flush_connections(&mut self) {
        let dirty = self.connections.take_dirty();
        for key in &dirty {
            match self.connections.flush(*key, self.now.instant) {
                Flushed::Done => {}
                Flushed::HasRoom(client) if self.clients.has_waiting(client) => self.deliver(client, &[]),
                Flushed::HasRoom(_) => {}
                Flushed::Failed => {
                    // What was read before counts, a DISCONNECT above all.
                    self.process(*key, &[], usize::MAX);
                    self.close(*key, None);
                }
            }
        }
        self.connections.reuse(dirty);
        self.dispatch();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use std::path::{Path, PathBuf};

    const COMPONENTS: [&str; 4] = ["connections", "clients", "durability", "worker_posts"];

    fn sources_of(component: &str) -> Vec<PathBuf> {
        let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/worker");
        let file = worker.join(component).with_extension("rs");
        if file.exists() {
            return vec![file];
        }
        files_below(&worker.join(component))
    }

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    /// Whether the code has a path through this module, in whatever import it stands.
    fn names(text: &str, module: &str) -> bool {
        let path = format!("{module}::");
        let is_longer = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        // Its module of what owners see has the name of a component.
        let is_another = |before: &str| is_longer(before) || before.ends_with("accounts::");
        let is_in = |code: &str| code.match_indices(&path).any(|(at, _)| !is_another(&code[..at]));
        text.lines().any(|line| is_in(line.split("//").next().unwrap_or_default()))
    }

    /// What goes between them are values of `action`, `post`, `taken`, `queue_order`, `reader`, `writes`, `known_topic` and
    /// `connect_request`.
    #[test]
    fn no_component_names_another() {
        assert!(names("use crate::worker::{action, clients::Clients};", "clients"));
        assert!(!names("// as `clients::Clients`", "clients"));
        assert!(!names("use accounts::clients::Purged;", "clients"));
        assert!(!names("use crate::worker::ended_connections::EndedConnections;", "connections"));
        for component in COMPONENTS {
            let sources = sources_of(component);
            assert!(!sources.is_empty(), "{component}");
            for (source, other) in sources.iter().flat_map(|source| COMPONENTS.map(|other| (source, other))) {
                let text = std::fs::read_to_string(source).unwrap();
                let is_named = other != component && names(&text, other);
                assert!(!is_named, "{} names {other}", source.display());
            }
        }
    }

    /// What one idle client costs its worker, without the allocator's rounding: its connection, its session, and their
    /// places in the maps and the timers.
    #[test]
    fn an_idle_connection_with_its_session_costs_less_than_a_kilobyte() {
        let client_id = "GID_dev@@@web-0123abcd-0";
        let strings = 4 * client_id.len() + "user:".len() + 2 * 32;
        let (connection, client) = (super::connections::CONNECTION_BYTES, super::clients::ENTRY_BYTES);
        let total = connection + client + strings;
        assert!(total < 1024, "{total} bytes: connection {connection}, client {client}");
    }
}
