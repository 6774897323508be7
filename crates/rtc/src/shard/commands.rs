//! Wishes for channels and joins, as they reach a shard.

use super::mailbox::{AdmissionRequest, Command, JoinAttempt, JoinRefusal, Reply};
use super::peer::Peer;
use super::state::ShardState;
use crate::channel::{Channel, PeerId, Put};
use crate::owner::ChannelKey;
use signalling::{ChannelError, DesiredChannel, SlotMap};
use std::sync::Arc;
use std::time::Instant;

/// Joins of one shard that wait for their channel or their place in it; more are told at once to come again.
const WAITING_MAX: usize = 1_024;

impl ShardState {
    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Put { key, rev, desired, reply } => {
                let done = self.put(&key, rev, desired, now);
                answer(reply, done);
            }
            Command::Describe(key, reply) => answer(reply, Ok(self.book.get(&key).map(Channel::describe))),
            Command::List(owner, reply) => answer(reply, Ok(self.book.list(&owner))),
            Command::Admission(request) => self.judge_admission(*request),
            Command::Join(attempt) => self.handle_join(*attempt, now),
        }
    }

    fn put(
        &mut self,
        key: &ChannelKey,
        rev: u64,
        desired: Option<DesiredChannel>,
        now: Instant,
    ) -> Result<(), ChannelError> {
        match self.book.put(key, rev, desired, now)? {
            Put::Same => return Ok(()),
            Put::Applied => self.apply_effects(key, now),
            Put::Opened => self.config.metrics.channels.add(1),
            Put::Ended(channel) => {
                if let Some(mut channel) = channel {
                    self.config.metrics.channels.sub(1);
                    channel.poll_effects().into_iter().for_each(|effect| self.apply_effect(key, effect, now));
                }
            }
        }
        self.judge_waiting(key);
        Ok(())
    }

    // Joins.

    /// Answers it, or lets it wait for the next put. Of one participation one waits.
    fn judge_admission(&mut self, request: AdmissionRequest) {
        match self.book.admission(&request.key, &request.claims) {
            Err(JoinRefusal::NotYet) => self.wait(request),
            decided => admit(request, decided),
        }
    }

    fn wait(&mut self, request: AdmissionRequest) {
        let same = |other: &AdmissionRequest| {
            other.key == request.key && other.claims.participation == request.claims.participation
        };
        let is_over = |other: &mut AdmissionRequest| other.reply.is_closed() || same(other);
        let over: Vec<AdmissionRequest> = self.waiting.extract_if(.., is_over).collect();
        self.config.metrics.joins_waiting.sub(over.len() as u64);
        over.into_iter().for_each(|other| admit(other, Err(JoinRefusal::NotYet)));
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(request);
            self.config.metrics.joins_waiting.add(1);
        } else {
            admit(request, Err(JoinRefusal::NotYet));
        }
    }

    fn judge_waiting(&mut self, key: &ChannelKey) {
        let of_channel: Vec<AdmissionRequest> = self.waiting.extract_if(.., |request| request.key == *key).collect();
        self.config.metrics.joins_waiting.sub(of_channel.len() as u64);
        of_channel.into_iter().for_each(|request| self.judge_admission(request));
    }

    pub(super) fn forget_given_up(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain(|request| !request.reply.is_closed());
        self.config.metrics.joins_waiting.sub((before - self.waiting.len()) as u64);
    }

    fn handle_join(&mut self, attempt: JoinAttempt, now: Instant) {
        let JoinAttempt { key, claims, negotiated, reply } = attempt;
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let plan = negotiated.media.plan.clone();
        let joined = self.book.admission(&key, &claims).and_then(|()| match self.book.get_mut(&key) {
            Some(channel) => channel.join(id, &claims, &plan, negotiated.seed, now),
            None => Err(JoinRefusal::NotYet),
        });
        if joined.is_ok() {
            self.routes.register(id, &negotiated.ice.ufrag, &negotiated.ice.pass);
            self.add_peer(id, Peer::new(Arc::new(key.clone()), negotiated, now));
        }
        self.answer_join(&key, reply, joined, id, now);
    }

    fn answer_join(
        &mut self,
        key: &ChannelKey,
        reply: tokio::sync::oneshot::Sender<Result<SlotMap, JoinRefusal>>,
        joined: Result<SlotMap, JoinRefusal>,
        id: PeerId,
        now: Instant,
    ) {
        self.apply_effects(key, now);
        // The request has ended: the peer stays and fails by its join timeout, like one that never connects.
        if reply.send(joined).is_err() {
            tracing::debug!(peer = id.0, "a join was answered after its request had ended");
        }
    }
}

/// A terminal that has given up needs no answer.
fn admit(request: AdmissionRequest, decided: Result<(), JoinRefusal>) {
    if request.reply.send(decided).is_err() {
        tracing::trace!("a join was judged after its request had ended");
    }
}

/// A caller that dropped its future needs no answer.
fn answer<T>(reply: Reply<T>, result: Result<T, ChannelError>) {
    if reply.send(result).is_err() {
        tracing::trace!("a channel call was answered after its caller had gone");
    }
}
