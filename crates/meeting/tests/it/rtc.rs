//! An RTC server that records what it is asked, and joins without media. The real one is held to the same contract
//! where it is adapted.

use meeting::contract::Rig;
use meeting::machine::Ticket;
use meeting::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelFuture, Channels, LeftReason, Participant,
};
use signalling::{ChannelId, ClientId, ParticipationId, Rights, Source};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Open,
    Close,
    Admit(ParticipationId),
    Rights(ParticipationId, Rights),
    Mute(ParticipationId, Source, bool),
    Remove(ParticipationId),
}

#[derive(Default)]
struct Channel {
    joined: HashMap<ParticipationId, (Participant, ClientId)>,
    admitted: HashSet<ParticipationId>,
    removed: HashSet<ParticipationId>,
}

#[derive(Default)]
struct State {
    channels: HashMap<ChannelId, Channel>,
    asked: Vec<(ChannelId, Asked)>,
    events: Option<mpsc::Sender<ChannelEvent>>,
    /// So many calls fail from now on.
    failing: usize,
    /// Every call panics from now on.
    broken: bool,
    /// Opens are not answered before it says so.
    opens_go_on: Option<watch::Receiver<bool>>,
}

/// Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    state: Arc<Mutex<State>>,
}

impl State {
    fn report(&mut self, channel: &ChannelId, participation: ParticipationId, kind: ChannelEventKind) {
        if let Some(events) = &self.events {
            let _ = events.try_send(ChannelEvent { channel: channel.clone(), participation, kind });
        }
    }

    fn leave(&mut self, channel: &ChannelId, who: ParticipationId, reason: LeftReason) {
        let joined = self.channels.get_mut(channel).and_then(|known| known.joined.remove(&who));
        if joined.is_some() {
            self.report(channel, who, ChannelEventKind::Left(reason));
        }
    }

    fn perform(&mut self, id: &ChannelId, asked: &Asked) -> Result<(), ChannelError> {
        if *asked == Asked::Open {
            self.channels.entry(id.clone()).or_default();
            return Ok(());
        }
        let Some(channel) = self.channels.get_mut(id) else {
            let gone = matches!(asked, Asked::Close | Asked::Remove(_));
            return if gone { Ok(()) } else { Err(ChannelError::UnknownChannel) };
        };
        match asked {
            Asked::Close => {
                let all: Vec<_> = channel.joined.keys().copied().collect();
                all.into_iter().for_each(|who| self.leave(id, who, LeftReason::Closed));
                self.channels.remove(id);
            }
            Asked::Admit(who) => {
                channel.admitted.insert(*who);
                channel.joined.get_mut(who).into_iter().for_each(|(joined, _)| joined.waiting = false);
            }
            Asked::Remove(who) => {
                channel.removed.insert(*who);
                self.leave(id, *who, LeftReason::Removed);
            }
            Asked::Open | Asked::Rights(..) | Asked::Mute(..) => {}
        }
        Ok(())
    }
}

impl Recorder {
    fn ask(&self, channel: ChannelId, asked: Asked) -> ChannelFuture<()> {
        let mut state = self.state.lock().unwrap();
        if state.broken {
            return Box::pin(async { panic!("a defect of the RTC server") });
        }
        let result = if state.failing > 0 {
            state.failing -= 1;
            Err(ChannelError::Unavailable("a test".to_owned()))
        } else {
            state.asked.push((channel.clone(), asked.clone()));
            state.perform(&channel, &asked)
        };
        Box::pin(std::future::ready(result))
    }

    /// Everything that was asked of the channel, in order.
    pub(crate) fn asked(&self, channel: &ChannelId) -> Vec<Asked> {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|(of, _)| of == channel).map(|(_, asked)| asked.clone()).collect()
    }

    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().asked.clear();
    }

    pub(crate) fn fail(&self, calls: usize) {
        self.state.lock().unwrap().failing = calls;
    }

    pub(crate) fn break_down(&self) {
        self.state.lock().unwrap().broken = true;
    }

    /// Opens take effect, and are answered when the sender says so.
    pub(crate) fn hold_opens(&self) -> watch::Sender<bool> {
        let (go_on, held) = watch::channel(false);
        self.state.lock().unwrap().opens_go_on = Some(held);
        go_on
    }

    /// As after a restart: no channel, no connection, no report of it.
    pub(crate) fn lose_everything(&self) {
        *self.state.lock().unwrap() = State::default();
    }

    /// Nothing is heard of it any more; its connection stands for now.
    pub(crate) fn lose(&self, channel: &ChannelId, who: ParticipationId) {
        let mut state = self.state.lock().unwrap();
        if let Some((participant, _)) = state.channels.get_mut(channel).and_then(|known| known.joined.get_mut(&who)) {
            participant.connected = false;
        }
        state.report(channel, who, ChannelEventKind::Lost);
    }

    /// Its connection ends, and the report of it is lost.
    pub(crate) fn hang_up_unheard(&self, channel: &ChannelId, who: ParticipationId) {
        let mut state = self.state.lock().unwrap();
        let events = state.events.take();
        state.leave(channel, who, LeftReason::TimedOut);
        state.events = events;
    }

    /// The receiver of the events ends; what is reported until there is another is lost.
    pub(crate) fn lose_receiver(&self) {
        self.state.lock().unwrap().events = None;
    }

    pub(crate) fn is_open(&self, channel: &ChannelId) -> bool {
        self.state.lock().unwrap().channels.contains_key(channel)
    }

    pub(crate) fn report(&self, channel: &ChannelId, participation: ParticipationId, kind: ChannelEventKind) {
        self.state.lock().unwrap().report(channel, participation, kind);
    }
}

impl Channels for Recorder {
    fn open(&self, channel: ChannelId) -> ChannelFuture<()> {
        let answer = self.ask(channel, Asked::Open);
        let held = self.state.lock().unwrap().opens_go_on.clone();
        Box::pin(async move {
            if let Some(mut held) = held {
                held.wait_for(|go_on| *go_on).await.unwrap();
            }
            answer.await
        })
    }

    fn close(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.ask(channel, Asked::Close)
    }

    fn admit(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.ask(channel, Asked::Admit(participation))
    }

    fn update_rights(&self, channel: ChannelId, participation: ParticipationId, rights: Rights) -> ChannelFuture<()> {
        self.ask(channel, Asked::Rights(participation, rights))
    }

    fn mute(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        source: Source,
        muted: bool,
    ) -> ChannelFuture<()> {
        self.ask(channel, Asked::Mute(participation, source, muted))
    }

    fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.ask(channel, Asked::Remove(participation))
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        let state = self.state.lock().unwrap();
        let described = state.channels.get(&channel).map(|known| ChannelDescription {
            participants: known.joined.values().map(|(participant, _)| participant.clone()).collect(),
        });
        Box::pin(std::future::ready(Ok(described)))
    }

    fn events(&self) -> mpsc::Receiver<ChannelEvent> {
        let (to_service, events) = mpsc::channel(1024);
        self.state.lock().unwrap().events = Some(to_service);
        events
    }
}

impl Rig for Recorder {
    type Connection = (ChannelId, ParticipationId);

    fn channels(&self) -> &dyn Channels {
        self
    }

    async fn join(&self, ticket: Ticket) -> Option<Self::Connection> {
        let (channel, who) = (ChannelId::from(ticket.meeting), ticket.participation);
        let mut state = self.state.lock().unwrap();
        let known = state.channels.get_mut(&channel).filter(|known| !known.removed.contains(&who))?;
        let same = |(older, (_, client)): (&ParticipationId, &(Participant, ClientId))| {
            (*client == ticket.client && *older != who).then_some(*older)
        };
        let older = known.joined.iter().find_map(same);
        let participant = Participant {
            participation: who,
            user: ticket.user,
            waiting: ticket.waiting && !known.admitted.contains(&who),
            connected: true,
            publishing: Vec::new(),
            cipher: Some("none".to_owned()),
            traffic: Vec::new(),
        };
        known.joined.insert(who, (participant, ticket.client));
        if let Some(older) = older {
            state.leave(&channel, older, LeftReason::Replaced);
        }
        state.report(&channel, who, ChannelEventKind::Joined { cipher: "none".to_owned() });
        Some((channel, who))
    }

    async fn close(&self, (channel, who): Self::Connection) {
        self.state.lock().unwrap().leave(&channel, who, LeftReason::Gone);
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
