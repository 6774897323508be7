//! What a client asks for, from the socket on, one request at a time.

use accounts::access::Identity;
use commitlog::Need;
use mqtt::codec::{Disconnect, Publish};
use mqtt::server::Request;
use mqtt::{AckToken, ReasonCode};

use super::Worker;
use super::action::AfterDurable;
use super::clients::Answer;
use super::connections::{Connected, Line, Read};
use super::known_topic::Receiver;
use super::post::{ConnectionKey, FanOut, FanOutOrder, Notice, Outcome, P2p, Post, ReplyTarget, ReplyTo};
use super::publish::{self, Authorized};
use super::tokens;
use super::turn_budget::{TurnBudget, Work};
use super::writes::{LogWrite, ToQueue};
use crate::reason;
use crate::transport::Scratch;

/// Reads of one connection in one turn, which may bring a byte each.
const READS_PER_TURN: usize = 4;
/// So many filters of a SUBSCRIBE or an UNSUBSCRIBE are as much work as a packet.
const FILTERS_PER_PACKET: usize = 16;
/// The same of those filters that are refused without being looked at.
const REFUSED_FILTERS_PER_PACKET: usize = 32;

impl Worker {
    pub(super) fn serve_ready(&mut self) {
        let [ready, behind] = [Line::Ready, Line::Behind].map(|line| self.connections.len_of(line));
        let mut budget = TurnBudget::among(ready + behind);
        self.serve_line(Line::Ready, ready, &mut budget);
        budget.leave_some();
        self.serve_line(Line::Behind, behind, &mut budget);
    }

    /// Those that stand in this line now.
    fn serve_line(&mut self, line: Line, count: usize, budget: &mut TurnBudget) {
        for _ in 0..count {
            let Some(share) = budget.next_share() else { return };
            let Some(key) = self.connections.next_of(line) else { return };
            let Some(mut scratch) = self.scratch.take() else { return };
            budget.spend(self.serve(key, &mut scratch, share));
            self.scratch = Some(scratch);
        }
    }

    /// Serves one connection, which pays what it owes before. Returns how much it has spent.
    pub(super) fn serve(&mut self, key: ConnectionKey, scratch: &mut Scratch, share: Work) -> Work {
        if self.is_congested() && self.connections.pause(key) {
            return Work::default();
        }
        let share = Work { packets: self.connections.pay(key, share.packets), ..share };
        if share.packets == 0 {
            self.connections.read_later(key);
            return Work::default();
        }
        let spent = self.read_and_process(key, scratch, share);
        self.connections.owe(key, spent.packets.saturating_sub(share.packets));
        spent
    }

    /// Reads and processes until the socket is empty or the share is spent. What is left of the bytes stays where it is, and
    /// the connection goes behind the others.
    fn read_and_process(&mut self, key: ConnectionKey, scratch: &mut Scratch, share: Work) -> Work {
        let mut spent = Work::default();
        for _ in 0..READS_PER_TURN {
            let left = share.without(spent);
            if left.is_spent() {
                break;
            }
            match self.connections.read(key, scratch, left.bytes) {
                Read::Nothing => return spent,
                // A visit drains once.
                Read::Drained => break,
                Read::Failed => {
                    self.close(key, None);
                    return spent;
                }
                Read::Input { bytes, controls, has_ended } => {
                    spent.bytes += bytes.len();
                    spent.packets += controls;
                    // Before an end all of it is processed, which is one buffer at most.
                    let packets = if has_ended { usize::MAX } else { left.packets.saturating_sub(controls) };
                    spent.packets += self.process(key, bytes, packets);
                    if has_ended {
                        self.close(key, None);
                        return spent;
                    }
                }
            }
        }
        self.connections.read_later(key);
        spent
    }

    /// Runs the protocol over `bytes` and over what was held before, one request at a time, and over so many packets at
    /// most. Returns how many were spent; the last one may have been more work than was left.
    pub(super) fn process(&mut self, key: ConnectionKey, bytes: &[u8], packets: usize) -> usize {
        let Some(input) = self.connections.begin_input(key, bytes) else { return 0 };
        let input = input.limited_to(packets);
        loop {
            match self.connections.next_request(key, &input, self.now.instant) {
                Ok(Some(request)) => {
                    input.charge(self.weight_of_filters(&request));
                    self.handle(key, request);
                }
                Ok(None) => break,
                Err(()) => {
                    self.close(key, None);
                    break;
                }
            }
            self.dispatch();
            if self.connections.must_wait(key, self.is_congested()) {
                break;
            }
        }
        let spent = input.packets_spent();
        self.connections.end_input(key, input);
        self.after_connect(key);
        self.dispatch();
        spent
    }

    /// Their work, in packets.
    fn weight_of_filters(&self, request: &Request<'_>) -> usize {
        let count = match request {
            Request::Subscribe(subscribe) => subscribe.filters.count(),
            Request::Unsubscribe(unsubscribe) => unsubscribe.filters.count(),
            _ => return 0,
        };
        let looked_at = count.min(self.clients.filters_max());
        looked_at / FILTERS_PER_PACKET + (count - looked_at) / REFUSED_FILTERS_PER_PACKET
    }

    fn handle(&mut self, key: ConnectionKey, request: Request<'_>) {
        match request {
            // When all that came with it is read, its owner goes on.
            Request::Connect(_) => {}
            Request::Publish { message, token } => self.publish(key, &message, token),
            Request::Ack { packet_id, .. } => {
                if let Some(Connected { client, .. }) = self.connections.connected(key) {
                    self.clients.ack(*client, key, packet_id, &mut self.actions);
                }
            }
            Request::Subscribe(subscribe) => {
                let Some(Connected { client, identity, .. }) = self.connections.connected(key) else { return };
                let access = self.shared.access.load();
                let by_grant = matches!(identity, Identity::Device { .. });
                let answer = self.clients.subscribe(*client, &subscribe, by_grant, |filter| {
                    access.may_subscribe(identity, filter.as_str()).map_err(reason::of_subscribe)
                });
                match answer {
                    Answer::Now(codes) => self.connections.suback(key, subscribe.packet_id, &codes),
                    Answer::WhenDurable(end, codes) => self
                        .durability
                        .wait(end, AfterDurable::Suback { connection: key, packet_id: subscribe.packet_id, codes }),
                    Answer::NotLogged => self.close(key, Some(ReasonCode::QUOTA_EXCEEDED)),
                }
            }
            Request::Unsubscribe(unsubscribe) => {
                let has_refused = unsubscribe.filters.count() > self.clients.filters_max();
                if has_refused && !self.connections.has_reason_codes(key) {
                    return self.close(key, None);
                }
                let Some(Connected { client, .. }) = self.connections.connected(key) else { return };
                match self.clients.unsubscribe(*client, &unsubscribe) {
                    Answer::Now(codes) => self.connections.unsuback(key, unsubscribe.packet_id, &codes),
                    Answer::WhenDurable(end, codes) => self
                        .durability
                        .wait(end, AfterDurable::Unsuback { connection: key, packet_id: unsubscribe.packet_id, codes }),
                    Answer::NotLogged => self.close(key, Some(ReasonCode::QUOTA_EXCEEDED)),
                }
            }
            Request::Disconnect(disconnect) => self.handle_disconnect(key, &disconnect),
        }
    }

    /// A message of a client, to all places that it goes to, with one reply for all of them.
    fn publish(&mut self, key: ConnectionKey, publish: &Publish<'_>, token: Option<AckToken>) {
        self.shared.counts.received.one();
        if token.is_some_and(|token| self.connections.discards(key, token)) {
            return self.shared.counts.refused_by_log.one();
        }
        let Some(connected) = self.connections.connected_mut(key) else { return };
        let target = token.map_or(ReplyTarget::Nobody, |token| ReplyTarget::Publish { connection: key, token });
        if publish.topic == tokens::UPLOAD && matches!(connected.identity, Identity::Tokens(_)) {
            return self.take_upload(key, publish, target);
        }
        if self.is_short_of_memory {
            self.shared.counts.refused_for_memory.one();
            return self.settle(target, Outcome::NoRoom);
        }
        let meter = self.shared.memory.meter(self.me);
        let authorized = match publish::authorize(&self.shared, meter, publish, connected, self.now.ms) {
            Ok(authorized) => authorized,
            Err(reason) => {
                self.shared.counts.refused_publishes.one();
                return self.settle(target, Outcome::Forbidden(reason));
            }
        };
        let Authorized { message, keep, routes } = authorized;
        let mut replies = match routes.len() {
            0 => return self.settle(target, Outcome::Done(ReasonCode::NO_MATCHING_SUBSCRIBERS)),
            1 => Replies::One(Some(target)),
            places => Replies::Merged(self.durability.open_reply(target, places)),
        };
        if let Some((topic, message)) = routes.queue {
            self.send_to_queue(key, topic, message, replies.next());
        }
        if let Some(Receiver { client: to, owner }) = routes.p2p {
            let reply_to = ReplyTo { worker: self.me, target: replies.next() };
            self.send_p2p(owner, P2p { to, message: message.clone(), keep, reply_to });
        }
        for worker in routes.subscribers.iter() {
            let reply_to = ReplyTo { worker: self.me, target: replies.next() };
            let (message, from) = (message.clone(), routes.from.clone());
            self.fan_out_to(
                worker,
                FanOut { message, from, keep, need: Need::Normal, order: FanOutOrder::LiveFirst, reply_to },
            );
        }
    }

    fn send_p2p(&mut self, owner: usize, p2p: P2p) {
        if owner == self.me {
            self.clients.take_p2p(p2p, self.now, &mut self.actions);
        } else {
            self.worker_posts.post(owner, Post::P2p(p2p));
        }
    }

    pub(super) fn fan_out_to(&mut self, worker: usize, fan_out: FanOut) {
        if worker == self.me {
            self.clients.take_fan_out(fan_out, self.now, &mut self.actions);
        } else {
            self.worker_posts.post(worker, Post::FanOut(fan_out));
        }
    }

    fn send_to_queue(
        &mut self,
        from: ConnectionKey,
        topic: queue::TopicName,
        message: queue::Message,
        target: ReplyTarget,
    ) {
        let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
        self.shared.counts.to_queue.one();
        let done = move |result: Result<queue::MessageId, queue::SendError>| {
            if let Ok(queue_message) = &result {
                tracing::trace!(%queue_message, "a PUBLISH is durable in the queue");
            }
            address.notify(Notice::QueueSent { target, result: result.map(drop) });
        };
        self.write(LogWrite::ToQueue(ToQueue { from, topic, message, done: Box::new(done) }));
    }

    fn handle_disconnect(&mut self, key: ConnectionKey, disconnect: &Disconnect<'_>) {
        if let Some(expiry_s) = disconnect.properties.session_expiry_interval()
            && let Some(Connected { client, .. }) = self.connections.connected(key)
        {
            self.clients.change_expiry(*client, expiry_s);
        }
        self.connections.note_disconnect(key);
        self.close(key, None);
    }
}

/// Who is told what became of a message: its sender, or the one reply that several places make.
enum Replies {
    One(Option<ReplyTarget>),
    Merged(u64),
}

impl Replies {
    fn next(&mut self) -> ReplyTarget {
        match self {
            Self::One(target) => target.take().unwrap_or(ReplyTarget::Nobody),
            Self::Merged(number) => ReplyTarget::Merged(*number),
        }
    }
}
