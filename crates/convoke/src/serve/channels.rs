//! The RTC role of this process as the meeting service's [`Channels`].

use meeting::Channels;
use signalling::{ChannelDescription, ChannelEvent, ChannelFuture, ChannelId, ParticipationId, Rights, Source};
use tokio::sync::mpsc;

pub struct InProcessChannels {
    api: rtc::ChannelApi,
    events: Box<dyn Fn() -> mpsc::Receiver<ChannelEvent> + Send + Sync>,
    #[cfg(feature = "faults")]
    dies_before_blocks: bool,
}

impl InProcessChannels {
    pub fn new(
        api: rtc::ChannelApi,
        events: impl Fn() -> mpsc::Receiver<ChannelEvent> + Send + Sync + 'static,
    ) -> Self {
        Self {
            api,
            events: Box::new(events),
            #[cfg(feature = "faults")]
            dies_before_blocks: false,
        }
    }

    /// The process ends between the commit of a block and the moment at which the RTC server is told of it.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn dying_before_blocks(self, dies_before_blocks: bool) -> Self {
        Self { dies_before_blocks, ..self }
    }
}

impl Channels for InProcessChannels {
    fn open(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.api.open(channel)
    }

    fn close(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.api.close(channel)
    }

    fn admit(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.api.admit(channel, participation)
    }

    fn update_rights(&self, channel: ChannelId, participation: ParticipationId, rights: Rights) -> ChannelFuture<()> {
        #[cfg(feature = "faults")]
        if self.dies_before_blocks && !(rights.publish_audio && rights.publish_video) {
            tracing::error!("killed before the RTC server is told of a block, as this test wishes");
            std::process::abort();
        }
        self.api.update_rights(channel, participation, rights)
    }

    fn mute(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        source: Source,
        muted: bool,
    ) -> ChannelFuture<()> {
        self.api.mute(channel, participation, source, muted)
    }

    fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.api.remove(channel, participation)
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        self.api.describe(channel)
    }

    fn events(&self) -> mpsc::Receiver<ChannelEvent> {
        (self.events)()
    }
}
