//! Joins and channel commands, as they reach a shard.

use super::mailbox::{ChannelCommand, JoinAttempt, JoinRefusal, Reply};
use super::peer::Peer;
use super::state::ShardState;
use crate::channel::{Channel, PeerId};
use signalling::ChannelError;
use signalling::{ChannelId, SlotMap};
use std::sync::Arc;
use std::time::Instant;

impl ShardState {
    pub(super) fn handle_join(&mut self, attempt: JoinAttempt, now: Instant) {
        let JoinAttempt { claims, negotiated, reply } = attempt;
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let plan = negotiated.media.plan.clone();
        let joined = match self.channels.get_mut(&claims.channel) {
            Some(channel) => channel.join(id, &claims, &plan, negotiated.seed, now),
            None => Err(JoinRefusal::ChannelClosed),
        };
        if joined.is_ok() {
            self.routes.register(id, &negotiated.ice.ufrag, &negotiated.ice.pass);
            self.add_peer(id, Peer::new(Arc::new(claims.channel.clone()), negotiated, now));
        }
        self.answer_join(&claims.channel, reply, joined, id, now);
    }

    fn answer_join(
        &mut self,
        channel: &ChannelId,
        reply: tokio::sync::oneshot::Sender<Result<SlotMap, JoinRefusal>>,
        joined: Result<SlotMap, JoinRefusal>,
        id: PeerId,
        now: Instant,
    ) {
        self.apply_effects(channel, now);
        // The request has ended: the peer stays and fails by its join timeout, like one that never connects.
        if reply.send(joined).is_err() {
            tracing::debug!(peer = id.0, "a join was answered after its request had ended");
        }
    }

    pub(super) fn handle_channel_command(&mut self, name: ChannelId, command: ChannelCommand, now: Instant) {
        match command {
            ChannelCommand::Open(reply) => answer(reply, self.open(&name)),
            ChannelCommand::Close(reply) => {
                self.close(&name, now);
                answer(reply, Ok(()));
            }
            ChannelCommand::Describe(reply) => answer(reply, Ok(self.channels.get(&name).map(Channel::describe))),
            ChannelCommand::Admit(who, reply) => self.on_channel(&name, reply, now, |channel| channel.admit(who, now)),
            ChannelCommand::UpdateRights(who, rights, reply) => {
                self.on_channel(&name, reply, now, |channel| channel.update_rights(who, rights, now));
            }
            ChannelCommand::Mute(who, source, muted, reply) => {
                self.on_channel(&name, reply, now, |channel| channel.mute(who, source, muted, now));
            }
            // Idempotent over a close: a participation of no channel counts as removed.
            ChannelCommand::Remove(_, reply) if !self.channels.contains_key(&name) => answer(reply, Ok(())),
            ChannelCommand::Remove(who, reply) => self.on_channel(&name, reply, now, |channel| channel.remove(who)),
        }
    }

    fn open(&mut self, name: &ChannelId) -> Result<(), ChannelError> {
        if self.channels.contains_key(name) {
            return Ok(());
        }
        if self.channels.len() >= self.config.channels_max {
            return Err(ChannelError::Limit(format!("{} channels on one media thread", self.config.channels_max)));
        }
        self.channels.insert(name.clone(), Channel::new(name.clone(), self.config.channel_config));
        self.config.metrics.channels.add(1);
        Ok(())
    }

    fn close(&mut self, name: &ChannelId, now: Instant) {
        let Some(mut channel) = self.channels.remove(name) else { return };
        self.config.metrics.channels.sub(1);
        channel.close();
        for effect in channel.poll_effects() {
            self.apply_effect(effect, now);
        }
    }

    fn on_channel(
        &mut self,
        name: &ChannelId,
        reply: Reply<()>,
        now: Instant,
        act: impl FnOnce(&mut Channel) -> Result<(), ChannelError>,
    ) {
        let result = self.channels.get_mut(name).map_or(Err(ChannelError::UnknownChannel), act);
        self.apply_effects(name, now);
        answer(reply, result);
    }
}

/// A caller that dropped its future needs no answer.
fn answer<T>(reply: Reply<T>, result: Result<T, ChannelError>) {
    if reply.send(result).is_err() {
        tracing::trace!("a channel command was answered after its caller had gone");
    }
}
