//! The RTC role of this process as the meeting service's [`Channels`]: the same calls, other types.

use meeting::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelFuture, Channels, LeftReason, Participant,
};
use signalling::{ChannelId, ParticipationId, Rights, Source};
use tokio::sync::mpsc;

/// Events that wait while the meeting service is busy; then the RTC role drops and counts them.
const EVENTS_MAX: usize = 1_024;

pub struct InProcess {
    api: rtc::ChannelApi,
    events: Box<dyn Fn() -> mpsc::Receiver<rtc::ChannelEvent> + Send + Sync>,
}

impl InProcess {
    pub fn new(
        api: rtc::ChannelApi,
        events: impl Fn() -> mpsc::Receiver<rtc::ChannelEvent> + Send + Sync + 'static,
    ) -> Self {
        Self { api, events: Box::new(events) }
    }
}

impl Channels for InProcess {
    fn open(&self, channel: ChannelId) -> ChannelFuture<()> {
        adapt(self.api.open(channel))
    }

    fn close(&self, channel: ChannelId) -> ChannelFuture<()> {
        adapt(self.api.close(channel))
    }

    fn admit(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        adapt(self.api.admit(channel, participation))
    }

    fn update_rights(&self, channel: ChannelId, participation: ParticipationId, rights: Rights) -> ChannelFuture<()> {
        adapt(self.api.update_rights(channel, participation, rights))
    }

    fn mute(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        source: Source,
        muted: bool,
    ) -> ChannelFuture<()> {
        adapt(self.api.mute(channel, participation, source, muted))
    }

    fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        adapt(self.api.remove(channel, participation))
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        let answer = adapt(self.api.describe(channel));
        Box::pin(async move { Ok(answer.await?.map(description)) })
    }

    fn events(&self) -> mpsc::Receiver<ChannelEvent> {
        let mut theirs = (self.events)();
        let (ours, receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move {
            while let Some(event) = theirs.recv().await {
                if ours.send(adapt_event(event)).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

fn adapt<T: Send + 'static>(call: rtc::ChannelFuture<T>) -> ChannelFuture<T> {
    Box::pin(async move {
        call.await.map_err(|error| match error {
            rtc::ChannelError::UnknownChannel => ChannelError::UnknownChannel,
            rtc::ChannelError::Unavailable(cause) => ChannelError::Unavailable(cause),
            rtc::ChannelError::Limit(cause) => ChannelError::Limit(cause),
        })
    })
}

fn description(description: rtc::ChannelDescription) -> ChannelDescription {
    let participant = |p: rtc::Participant| Participant {
        participation: p.participation,
        user: p.user,
        waiting: p.waiting,
        connected: p.connected,
        publishing: p.publishing,
    };
    ChannelDescription { participants: description.participants.into_iter().map(participant).collect() }
}

fn adapt_event(event: rtc::ChannelEvent) -> ChannelEvent {
    let kind = match event.kind {
        rtc::ChannelEventKind::Joined { cipher } => ChannelEventKind::Joined { cipher },
        rtc::ChannelEventKind::Lost => ChannelEventKind::Lost,
        rtc::ChannelEventKind::Back => ChannelEventKind::Back,
        rtc::ChannelEventKind::Left(reason) => ChannelEventKind::Left(adapt_reason(reason)),
        rtc::ChannelEventKind::Quality { loss_permille, rtt_ms } => ChannelEventKind::Quality { loss_permille, rtt_ms },
        rtc::ChannelEventKind::Speaker { speaking } => ChannelEventKind::Speaker { speaking },
    };
    ChannelEvent { channel: event.channel, participation: event.participation, kind }
}

fn adapt_reason(reason: rtc::LeftReason) -> LeftReason {
    match reason {
        rtc::LeftReason::Gone => LeftReason::Gone,
        rtc::LeftReason::TimedOut => LeftReason::TimedOut,
        rtc::LeftReason::Removed => LeftReason::Removed,
        rtc::LeftReason::Closed => LeftReason::Closed,
        rtc::LeftReason::Replaced => LeftReason::Replaced,
        rtc::LeftReason::Failed => LeftReason::Failed,
    }
}
