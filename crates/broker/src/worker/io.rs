//! Sockets and mailboxes: what comes in at the start of a turn, what goes out at its end.

use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Token};
use mqtt::ReasonCode;
use mqtt::server::{Connection, Request};

use super::Worker;
use super::link::{Link, Moving, Socket, Stage};
use super::post::{Arrival, LinkKey, Notice, Post};
use crate::mailbox::BATCH_MAX;
use crate::transport::{Readiness, Scratch, Transport, TransportError};

/// The token of the waker; slots of connections come after it.
pub(super) const WAKE: Token = Token(0);
/// Reads of one connection in one turn, so that nobody starves the others.
const READS_PER_TURN: usize = 4;
/// How long a closing connection may take to read our last words.
const CLOSE_TAKES_MAX: Duration = Duration::from_secs(5);
/// Batches of one turn, so that sockets get their turn too.
const BATCHES_PER_TURN: usize = 64;
const NOTICES_PER_TURN: usize = 4096;

impl Worker {
    pub(super) fn take_events(&mut self, events: &Events) {
        for event in events.iter().filter(|event| event.token() != WAKE) {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: &Event) {
        let Some(key) = self.key_of(event.token().0 - 1) else { return };
        let Some(link) = self.link(key) else { return };
        if event.is_read_closed() {
            link.socket = Socket::HoldsEnd;
        } else if event.is_readable() || event.is_error() {
            link.socket = link.socket.max(Socket::MayHoldBytes);
        }
        if event.is_writable() && (!link.out.is_empty() || link.transport.has_pending() || link.is_closing()) {
            self.mark_dirty(key);
        }
        self.mark_ready(key);
    }

    pub(super) fn take_posts(&mut self) {
        for _ in 0..BATCHES_PER_TURN {
            if self.is_stalled() {
                break;
            }
            let Some(batch) = self.mailbox.next_batch() else { break };
            batch.into_iter().for_each(|post| self.take_post(post));
        }
        let starving: Vec<usize> = self.mailbox.take_starving().collect();
        starving.into_iter().filter_map(|worker| self.shared.workers.get(worker)).for_each(|address| address.ring());
    }

    fn take_post(&mut self, post: Post) {
        match post {
            Post::Move(moving) => self.adopt(*moving),
            Post::P2p(p2p) => self.accept_p2p(p2p),
            Post::Fan { message, from, reply_to } => self.accept_fan(&message, from.as_ref(), reply_to),
            Post::Answer { asker, outcome } => self.settle(asker, outcome),
        }
    }

    pub(super) fn take_notices(&mut self) {
        for _ in 0..NOTICES_PER_TURN {
            let Some(notice) = self.mailbox.next_notice() else { break };
            match notice {
                Notice::Arrival(arrival) => self.arrive(*arrival),
                Notice::Device { link, found } => self.finish_login(link, found),
                Notice::Receiver { client, is_registered } => self.finish_lookup(&client, is_registered),
                // Whoever asked may be gone.
                Notice::Holder { client, answer } => _ = answer.send(self.holder_of(&client).map(Into::into)),
                Notice::EndDevice(removal) => self.end_device(removal),
                Notice::QueueSent { asker, result } => self.finish_queue_send(asker, result),
                Notice::EventSent { channel_id } => self.lazy.event_sent(channel_id),
                Notice::FromQueue(from_queue) => self.accept_from_queue(from_queue),
                Notice::Stop(reason) => self.stop(reason),
                Notice::LogFailed => {
                    // What waited for the log is never acknowledged.
                    self.log_failed = true;
                    self.stop(ReasonCode::SERVER_SHUTTING_DOWN);
                }
            }
        }
        // What is left is looked at in the next turn.
        if let Some(address) =
            self.shared.workers.get(self.me).filter(|_| !self.mailbox.is_empty() && !self.is_stalled())
        {
            address.ring();
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let Arrival { socket, tls, websocket, peer, permit } = arrival;
        if self.stopping.is_some() || socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
            return;
        }
        let socket = mio::net::TcpStream::from_std(socket);
        let transport = match websocket {
            Some(read_ahead) => Transport::upgraded(socket, tls, read_ahead),
            None => Transport::new(socket, tls),
        };
        let mqtt = Connection::new(self.shared.connection_config.clone(), self.now);
        let link = Link::new(self.next_generation(), transport, mqtt, peer, permit);
        self.keep(link);
    }

    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    /// Registers the connection; what it holds already is processed before anything is waited for.
    fn keep(&mut self, mut link: Link) -> Option<LinkKey> {
        let entry = self.links.vacant_entry();
        let key = LinkKey { slot: entry.key(), generation: link.generation };
        let (token, interest) = (Token(key.slot + 1), Interest::READABLE | Interest::WRITABLE);
        if let Err(error) = self.poll.registry().register(link.transport.socket_mut(), token, interest) {
            tracing::debug!(%error, "a connection cannot be watched");
            return None;
        }
        entry.insert(link);
        self.arm(key);
        self.mark_ready(key);
        Some(key)
    }

    /// A connection from another worker, whose client is ours.
    fn adopt(&mut self, moving: Moving) {
        let Moving { transport, mqtt, out, wish, peer, permit } = moving;
        if self.stopping.is_some() {
            return;
        }
        let mut link = Link::new(self.next_generation(), transport, mqtt, peer, permit);
        (link.out, link.again) = (out, true);
        if let Some(key) = self.keep(link) {
            self.begin_login(key, wish);
        }
    }

    /// Hands a connection to the owner of its client.
    pub(super) fn move_link(&mut self, key: LinkKey, owner: usize) {
        let Some(link) = self.links.try_remove(key.slot) else { return };
        self.timers.forget(key);
        let Link { mut transport, mqtt, out, stage, peer, permit, .. } = link;
        let Stage::Moving(wish) = stage else { return };
        if let Err(error) = self.poll.registry().deregister(transport.socket_mut()) {
            tracing::debug!(%error, "a connection cannot be handed over");
            return;
        }
        self.post(owner, Post::Move(Box::new(Moving { transport, mqtt, out, wish, peer, permit })));
    }

    pub(super) fn take_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { return };
            if let Some(link) = self.link(key) {
                link.is_ready = false;
                self.serve(key);
            }
        }
    }

    /// Reads and processes until the socket is empty or others are due.
    fn serve(&mut self, key: LinkKey) {
        let Some(mut scratch) = self.scratch.take() else { return };
        for _ in 0..READS_PER_TURN {
            if !self.serve_once(key, &mut scratch) {
                self.scratch = Some(scratch);
                return;
            }
        }
        self.scratch = Some(scratch);
        self.mark_ready(key);
    }

    /// `false`: nothing more for now.
    fn serve_once(&mut self, key: LinkKey, scratch: &mut Scratch) -> bool {
        let out_bytes_max = self.shared.limits.out_bytes_max;
        let Some(link) = self.link(key) else { return false };
        if link.is_closing() {
            return self.drain(key, scratch);
        }
        if link.is_unread() || link.out.len() >= out_bytes_max || !link.mqtt.wants_input() {
            return false;
        }
        if std::mem::take(&mut link.again) {
            self.process(key, &[]);
            return true;
        }
        if link.socket == Socket::Empty {
            return false;
        }
        match link.transport.read(scratch) {
            Ok(input) => {
                link.note_read(input.state);
                let (bytes, has_ended) = (input.bytes, input.state == Readiness::Ended);
                self.process(key, bytes);
                if has_ended {
                    self.end_link(key, None);
                }
                self.mark_dirty(key);
                !has_ended
            }
            Err(error) => {
                self.fail_transport(key, &error);
                false
            }
        }
    }

    fn fail_transport(&mut self, key: LinkKey, error: &TransportError) {
        tracing::debug!(%error, "a connection failed");
        if matches!(error, TransportError::Tls(_) | TransportError::WebSocket(_)) {
            self.shared.counts.protocol_errors.one();
        }
        self.end_link(key, None);
    }

    /// Runs the protocol over `bytes` and over what was held before.
    fn process(&mut self, key: LinkKey, bytes: &[u8]) {
        let Some(link) = self.link(key) else { return };
        let input = link.mqtt.begin(bytes);
        loop {
            let now = self.now;
            let Some(link) = self.link(key).filter(|link| !link.is_closing()) else { break };
            match link.mqtt.next(&input, now, &mut link.out) {
                Ok(Some(request)) => {
                    let is_publish = matches!(request, Request::Publish { .. });
                    self.handle(key, request);
                    if is_publish {
                        self.pace_publisher(key);
                    }
                }
                Ok(None) => break,
                Err(close) => {
                    tracing::debug!(reason = %close.reason, detail = close.detail, "a connection broke a rule");
                    self.shared.counts.protocol_errors.one();
                    self.end_link(key, None);
                    break;
                }
            }
            if self.must_wait(key) {
                break;
            }
        }
        if let Some(link) = self.link(key) {
            link.mqtt.end(input);
        }
        self.mark_dirty(key);
        self.after_connect(key);
    }

    /// An end user that publishes too fast is read again when there is room.
    fn pace_publisher(&mut self, key: LinkKey) {
        let (rate, now_ms) = (self.shared.limits.user_publishes, self.now_ms);
        let Some(link) = self.link(key) else { return };
        let Stage::Live(live) = &mut link.stage else { return };
        if live.identity.is_service() {
            return;
        }
        link.is_slowed = live.pace.spend(rate, now_ms).is_some();
        if link.is_slowed {
            self.arm(key);
        }
    }

    /// A slowed connection whose time is over is read again.
    fn end_slowing(&mut self, key: LinkKey) {
        let (rate, now_ms) = (self.shared.limits.user_publishes, self.now_ms);
        let Some(link) = self.link(key).filter(|link| link.is_slowed) else { return };
        if link.live().is_none_or(|live| live.pace.wait(rate, now_ms).is_none()) {
            link.is_slowed = false;
            self.mark_ready(key);
        }
    }

    /// A mailbox is full, the queue is busy, the client publishes too fast or does not read: the rest stays where it is.
    fn must_wait(&mut self, key: LinkKey) -> bool {
        let is_congested = self.is_congested();
        let out_bytes_max = self.shared.limits.out_bytes_max;
        if is_congested {
            self.paused.push(key);
        }
        let Some(link) = self.link(key) else { return true };
        link.is_paused |= is_congested;
        link.was_unread |= link.is_unread();
        let must_wait = link.is_unread() || link.out.len() >= out_bytes_max;
        link.again |= must_wait;
        must_wait
    }

    pub(super) fn flush_links(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            self.flush_link(key);
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    fn flush_link(&mut self, key: LinkKey) {
        let out_bytes_max = self.shared.limits.out_bytes_max;
        let now = self.now;
        let Some(link) = self.link(key) else { return };
        link.is_dirty = false;
        if let Stage::Closing { is_finished, give_up } = &mut link.stage {
            match link.transport.close_step(&mut link.out) {
                Ok(finished) => *is_finished = finished,
                Err(_) => *give_up = now,
            }
            if *give_up <= now {
                self.remove_link(key);
            }
            return;
        }
        let was_full = link.out.len() >= out_bytes_max;
        if let Err(error) = link.transport.write(&mut link.out) {
            return self.fail_transport(key, &error);
        }
        let has_room = link.out.len() < out_bytes_max;
        if has_room && (was_full || link.again) {
            self.mark_ready(key);
        }
        if has_room && was_full {
            self.refill(key);
        }
    }

    /// Gives further waiting messages to a client that reads again.
    fn refill(&mut self, key: LinkKey) {
        let Some(client) = self.link(key).and_then(|link| link.live()).map(|live| live.client.clone()) else { return };
        let has_waiting = self.seats.get(&client).is_some_and(|seat| seat.inbox.session.waiting_len() > 0);
        if has_waiting {
            self.deliver(&client);
        }
    }

    /// Reads the rest of a closing connection, so that the peer gets our last words instead of a reset.
    fn drain(&mut self, key: LinkKey, scratch: &mut Scratch) -> bool {
        let Some(link) = self.link(key) else { return false };
        if link.socket == Socket::Empty {
            return false;
        }
        match link.transport.read(scratch) {
            Ok(input) if input.state != Readiness::Ended => {
                link.note_read(input.state);
                true
            }
            _ => {
                self.finish_or_remove(key);
                false
            }
        }
    }

    /// The peer sends nothing more: what is still to be written is tried once.
    fn finish_or_remove(&mut self, key: LinkKey) {
        if let Some(link) = self.link(key) {
            // Either all is written, or nobody reads it.
            let _ = link.transport.close_step(&mut link.out);
        }
        self.remove_link(key);
    }

    pub(super) fn remove_link(&mut self, key: LinkKey) {
        if self.link(key).is_none() {
            return;
        }
        let mut link = self.links.remove(key.slot);
        self.timers.forget(key);
        // Closing the socket deregisters it anyway.
        let _ = self.poll.registry().deregister(link.transport.socket_mut());
    }

    /// Ends a connection: nothing of it can act any more. `reason` is said to a 5.0 client; `None`: all is said, or
    /// there is nobody to say it to.
    pub(super) fn end_link(&mut self, key: LinkKey, reason: Option<ReasonCode>) {
        self.end_link_with(key, reason.map(|reason| (reason, None)));
    }

    /// The same with words for the person behind it.
    pub(super) fn end_link_saying(&mut self, key: LinkKey, reason: ReasonCode, words: &str) {
        self.end_link_with(key, Some((reason, Some(words))));
    }

    fn end_link_with(&mut self, key: LinkKey, said: Option<(ReasonCode, Option<&str>)>) {
        let give_up = self.now + CLOSE_TAKES_MAX;
        let Some(link) = self.link(key).filter(|link| !link.is_closing()) else { return };
        if let Some((reason, words)) = said {
            link.mqtt.disconnect(reason, words, &mut link.out);
        }
        link.socket = link.socket.max(Socket::MayHoldBytes);
        let stage = std::mem::replace(&mut link.stage, Stage::Closing { is_finished: false, give_up });
        self.timers.arm(key, give_up);
        self.leave(key, stage);
        self.mark_dirty(key);
        self.mark_ready(key);
    }

    pub(super) fn arm(&mut self, key: LinkKey) {
        let (now, now_ms, rate) = (self.now, self.now_ms, self.shared.limits.user_publishes);
        let recheck = now + super::TICK * 4;
        let Some(link) = self.link(key) else { return };
        let mut due = match link.stage {
            Stage::Closing { give_up, .. } => give_up,
            // In the past: it is not over, because its silence was ours.
            _ => link.mqtt.poll_timeout().filter(|due| *due > now).unwrap_or(recheck),
        };
        if link.is_slowed
            && let Some(wait) = link.live().and_then(|live| live.pace.wait(rate, now_ms))
        {
            due = due.min(now + wait);
        }
        self.timers.arm(key, due);
    }

    pub(super) fn take_timeouts(&mut self) {
        while let Some(key) = self.timers.fire(self.now) {
            let now = self.now;
            self.end_slowing(key);
            let Some(link) = self.link(key) else { continue };
            let is_unread = link.is_unread();
            let was_unread = std::mem::replace(&mut link.was_unread, is_unread);
            if let Stage::Closing { give_up, .. } = link.stage {
                if give_up <= now {
                    self.remove_link(key);
                    continue;
                }
            } else if !was_unread && let Err(close) = link.mqtt.handle_timeout(now, &mut link.out) {
                tracing::debug!(reason = %close.reason, detail = close.detail, "a connection's time is up");
                self.end_link(key, None);
            }
            self.arm(key);
        }
    }

    pub(super) fn flush_posts(&mut self) {
        for worker in 0..self.outgoing.len() {
            self.flush_posts_to(worker);
        }
        if !self.paused.is_empty() && !self.is_congested() {
            for key in std::mem::take(&mut self.paused) {
                if let Some(link) = self.link(key) {
                    link.is_paused = false;
                    self.mark_ready(key);
                }
            }
        }
    }

    fn flush_posts_to(&mut self, worker: usize) {
        let (Some(outgoing), Some(address)) = (self.outgoing.get_mut(worker), self.shared.workers.get(worker)) else {
            return;
        };
        while !outgoing.is_empty() {
            let count = outgoing.len().min(BATCH_MAX);
            let batch: Vec<Post> = outgoing.drain(..count).collect();
            if let Err(batch) = address.try_post(batch, self.me) {
                batch.into_iter().rev().for_each(|post| outgoing.push_front(post));
                return;
            }
        }
    }
}
