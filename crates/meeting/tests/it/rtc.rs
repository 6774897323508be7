//! An RTC server that records what it is asked, and joins without media. The real one is held to the same contract
//! where it is adapted.

use meeting::contract::{Refused, Rig};
use meeting::machine::Ticket;
use meeting::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelEvents, ChannelFuture, Channels,
    DesiredChannel, EventCursor, LeftReason, Participant, Placement,
};
use signalling::{Admission, ChannelId, DesiredParticipation, ParticipationId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A put, as it was made.
pub(crate) type Put = (u64, Option<DesiredChannel>);

/// How long a question for events, and a join that comes too early, wait.
const WAIT: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Channel {
    rev: u64,
    /// `None`: it has ended.
    desired: Option<DesiredChannel>,
    joined: HashMap<ParticipationId, Participant>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    sequence: u64,
    channels: HashMap<ChannelId, Channel>,
    puts: Vec<(ChannelId, Put)>,
    events: Vec<ChannelEvent>,
    /// Events are lost until somebody asks for them.
    deaf: bool,
    /// So many puts fail from now on.
    failing: usize,
    /// Every put panics from now on.
    broken: bool,
    /// Puts of revision 0 are not answered before it says so.
    opens_go_on: Option<watch::Receiver<bool>>,
}

/// Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl State {
    fn report(&mut self, channel: &ChannelId, participation: ParticipationId, kind: ChannelEventKind) {
        self.sequence += 1;
        let known = self.channels.get(channel);
        let (rev, sequence) = (known.map_or(0, |known| known.rev), self.sequence);
        let joined = known.and_then(|known| known.joined.get(&participation));
        let connection = joined.map_or(sequence, |participant| participant.connection);
        let event = ChannelEvent { sequence, channel: channel.clone(), rev, participation, connection, kind };
        if !self.deaf {
            self.events.push(event);
        }
    }

    fn leave(&mut self, channel: &ChannelId, who: ParticipationId, reason: LeftReason) {
        let is_in = self.channels.get(channel).is_some_and(|known| known.joined.contains_key(&who));
        if is_in {
            self.report(channel, who, ChannelEventKind::Left { reason });
            self.channels.get_mut(channel).unwrap().joined.remove(&who);
        }
    }

    fn put(&mut self, id: &ChannelId, rev: u64, desired: Option<DesiredChannel>) -> Result<(), ChannelError> {
        if let Some(known) = self.channels.get(id) {
            let present = known.rev;
            if rev == present && desired == known.desired {
                return Ok(());
            }
            if rev <= present {
                return Err(ChannelError::Stale { present });
            }
        }
        let known = self.channels.entry(id.clone()).or_default();
        (known.rev, known.desired) = (rev, desired.clone());
        let wished = |who: &ParticipationId| desired.as_ref()?.participations.get(who);
        let out: Vec<ParticipationId> = known.joined.keys().filter(|who| wished(who).is_none()).copied().collect();
        for (who, participant) in &mut known.joined {
            participant.waiting = wished(who).is_some_and(|wish| wish.admission == Admission::Waiting);
        }
        let reason = if desired.is_some() { LeftReason::Removed } else { LeftReason::Closed };
        out.into_iter().for_each(|who| self.leave(id, who, reason));
        Ok(())
    }

    fn describe(&self, id: &ChannelId) -> Option<ChannelDescription> {
        let known = self.channels.get(id).filter(|known| known.desired.is_some())?;
        let participants = known.joined.values().cloned().collect();
        Some(ChannelDescription { channel: id.clone(), rev: known.rev, participants })
    }

    fn list(&self) -> Vec<ChannelDescription> {
        self.channels.keys().filter_map(|id| self.describe(id)).collect()
    }

    /// `None`: nothing has happened.
    fn read(&mut self, after: Option<EventCursor>) -> Option<ChannelEvents> {
        let cursor = EventCursor { epoch: self.epoch, sequence: self.sequence };
        let is_gap = std::mem::take(&mut self.deaf);
        let known = after.filter(|after| after.epoch == self.epoch && after.sequence <= self.sequence && !is_gap);
        let Some(after) = known else {
            return Some(ChannelEvents { cursor, snapshot: Some(self.list()), events: Vec::new() });
        };
        let events: Vec<_> = self.events.iter().filter(|event| event.sequence > after.sequence).cloned().collect();
        (!events.is_empty()).then_some(ChannelEvents { cursor, snapshot: None, events })
    }

    fn admission(&self, ticket: &Ticket) -> Result<DesiredParticipation, Refused> {
        let known = self.channels.get(&ticket.meeting.into()).ok_or(Refused::Retry)?;
        let wish = known.desired.as_ref().and_then(|desired| desired.participations.get(&ticket.participation));
        match wish {
            Some(wish) if wish.user == ticket.user => Ok(wish.clone()),
            None if ticket.rev > known.rev => Err(Refused::Retry),
            _ => Err(Refused::Gone),
        }
    }

    fn join(&mut self, ticket: &Ticket) -> Result<(ChannelId, ParticipationId), Refused> {
        let wish = self.admission(ticket)?;
        let (channel, who) = (ChannelId::from(ticket.meeting), ticket.participation);
        let known = self.channels.get_mut(&channel).unwrap();
        let wishes = known.desired.as_ref().unwrap();
        let same = |older: &&ParticipationId| {
            **older != who && wishes.participations.get(*older).is_some_and(|older| older.client == wish.client)
        };
        let older = known.joined.keys().find(same).copied();
        self.sequence += 1;
        let participant = Participant {
            participation: who,
            connection: self.sequence,
            user: ticket.user.clone(),
            waiting: wish.admission == Admission::Waiting,
            connected: true,
            publishing: Vec::new(),
            cipher: Some("none".to_owned()),
            traffic: Vec::new(),
        };
        known.joined.insert(who, participant);
        older.into_iter().for_each(|older| self.leave(&channel, older, LeftReason::Replaced));
        self.report(&channel, who, ChannelEventKind::Joined { cipher: "none".to_owned() });
        Ok((channel, who))
    }
}

impl Recorder {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = act(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
        done
    }

    /// Everything that was put of the channel and not refused, in order.
    pub(crate) fn puts(&self, channel: &ChannelId) -> Vec<Put> {
        let state = self.state.lock().unwrap();
        state.puts.iter().filter(|(of, _)| of == channel).map(|(_, put)| put.clone()).collect()
    }

    /// What is wished of a participation now.
    pub(crate) fn wish(&self, channel: &ChannelId, who: ParticipationId) -> Option<DesiredParticipation> {
        let state = self.state.lock().unwrap();
        state.channels.get(channel)?.desired.as_ref()?.participations.get(&who).cloned()
    }

    pub(crate) fn fail(&self, calls: usize) {
        self.state.lock().unwrap().failing = calls;
    }

    pub(crate) fn break_down(&self) {
        self.state.lock().unwrap().broken = true;
    }

    /// First puts take effect, and are answered when the sender says so.
    pub(crate) fn hold_opens(&self) -> watch::Sender<bool> {
        let (go_on, held) = watch::channel(false);
        self.state.lock().unwrap().opens_go_on = Some(held);
        go_on
    }

    /// As after a restart: no channel, no connection, no report of it.
    pub(crate) fn lose_everything(&self) {
        self.with(|state| *state = State { epoch: state.epoch + 1, ..State::default() });
    }

    /// Nothing is heard of it any more; its connection stands for now.
    pub(crate) fn lose(&self, channel: &ChannelId, who: ParticipationId) {
        self.with(|state| {
            if let Some(participant) = state.channels.get_mut(channel).and_then(|known| known.joined.get_mut(&who)) {
                participant.connected = false;
            }
            state.report(channel, who, ChannelEventKind::Lost);
        });
    }

    /// Its connection ends, and nothing is reported of it.
    pub(crate) fn hang_up_unheard(&self, channel: &ChannelId, who: ParticipationId) {
        let mut state = self.state.lock().unwrap();
        state.channels.get_mut(channel).unwrap().joined.remove(&who);
    }

    /// What happens until somebody asks is forgotten.
    pub(crate) fn forget_events(&self) {
        self.state.lock().unwrap().deaf = true;
    }

    pub(crate) fn is_open(&self, channel: &ChannelId) -> bool {
        self.state.lock().unwrap().describe(channel).is_some()
    }

    pub(crate) fn report(&self, channel: &ChannelId, participation: ParticipationId, kind: ChannelEventKind) {
        self.with(|state| state.report(channel, participation, kind));
    }

    async fn wait(&self) {
        drop(tokio::time::timeout(Duration::from_millis(20), self.changed.notified()).await);
    }
}

impl Channels for Recorder {
    fn put(&self, channel: ChannelId, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement> {
        let (done, held, epoch) = self.with(|state| {
            if state.broken {
                return (None, None, 0);
            }
            let done = if state.failing > 0 {
                state.failing -= 1;
                Err(ChannelError::Unavailable("a test".to_owned()))
            } else {
                state.put(&channel, rev, desired.clone())
            };
            if done.is_ok() {
                state.puts.push((channel.clone(), (rev, desired)));
            }
            (Some(done), state.opens_go_on.clone().filter(|_| rev == 0), state.epoch)
        });
        Box::pin(async move {
            if let Some(mut held) = held {
                held.wait_for(|go_on| *go_on).await.unwrap();
            }
            let done = done.unwrap_or_else(|| panic!("a defect of the RTC server"));
            done.map(|()| Placement { node: "recorder".to_owned(), endpoints: Vec::new(), epoch })
        })
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        let described = self.state.lock().unwrap().describe(&channel);
        Box::pin(std::future::ready(Ok(described)))
    }

    fn list(&self) -> ChannelFuture<Vec<ChannelDescription>> {
        let all = self.state.lock().unwrap().list();
        Box::pin(std::future::ready(Ok(all)))
    }

    fn events(&self, after: Option<EventCursor>) -> ChannelFuture<ChannelEvents> {
        let server = self.clone();
        Box::pin(async move {
            let until = tokio::time::Instant::now() + WAIT;
            loop {
                let deaf = server.state.lock().unwrap().deaf;
                let read = if deaf { None } else { server.state.lock().unwrap().read(after) };
                if let Some(read) = read {
                    return Ok(read);
                }
                if tokio::time::Instant::now() >= until {
                    let mut state = server.state.lock().unwrap();
                    let cursor = EventCursor { epoch: state.epoch, sequence: after.unwrap().sequence };
                    let nothing = ChannelEvents { cursor, snapshot: None, events: Vec::new() };
                    return Ok(if deaf { state.read(after).unwrap_or(nothing) } else { nothing });
                }
                server.wait().await;
            }
        })
    }
}

impl Rig for Recorder {
    type Connection = (ChannelId, ParticipationId);

    fn channels(&self) -> &dyn Channels {
        self
    }

    async fn join(&self, ticket: Ticket) -> Result<Self::Connection, Refused> {
        let until = tokio::time::Instant::now() + WAIT;
        loop {
            match self.with(|state| state.join(&ticket)) {
                Err(Refused::Retry) if tokio::time::Instant::now() < until => self.wait().await,
                done => return done,
            }
        }
    }

    async fn close(&self, (channel, who): Self::Connection) {
        self.with(|state| state.leave(&channel, who, LeftReason::Gone));
    }

    async fn restart(&self) {
        self.lose_everything();
    }

    async fn outlive_lease(&self) {
        self.with(|state| state.channels.retain(|_, known| !known.joined.is_empty() || known.desired.is_none()));
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[tokio::test]
async fn the_recording_server_keeps_the_contract_of_channels() {
    let rig = Recorder::default();
    for case in meeting::contract::cases::<Recorder>() {
        case.run(&rig).await;
    }
}
