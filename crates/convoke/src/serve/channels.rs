//! The RTC role of this process as the meeting service's [`Channels`].

use meeting::Channels;
use signalling::{ChannelDescription, ChannelEvents, ChannelFuture, ChannelId, DesiredChannel, EventCursor, Placement};

/// The name of the meeting service as an owner of channels. No API key's app is called so.
pub(super) const MEETINGS: &str = ":meetings";

pub struct InProcessChannels {
    api: rtc::ChannelApi,
    #[cfg(feature = "faults")]
    dies_before_blocks: bool,
}

impl InProcessChannels {
    pub fn new(api: rtc::ChannelApi) -> Self {
        Self {
            api,
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

    #[cfg(feature = "faults")]
    fn die_before_a_block(&self, desired: Option<&DesiredChannel>) {
        let blocks = |desired: &DesiredChannel| {
            desired.participations.values().any(|wish| wish.rights.send != signalling::Sources::ALL)
        };
        if self.dies_before_blocks && desired.is_some_and(blocks) {
            tracing::error!("killed before the RTC server is told of a block, as this test wishes");
            std::process::abort();
        }
    }
}

impl Channels for InProcessChannels {
    fn put(&self, channel: ChannelId, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement> {
        #[cfg(feature = "faults")]
        self.die_before_a_block(desired.as_ref());
        self.api.put(channel, rev, desired)
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        self.api.describe(channel)
    }

    fn list(&self) -> ChannelFuture<Vec<ChannelDescription>> {
        self.api.list()
    }

    fn events(&self, after: Option<EventCursor>) -> ChannelFuture<ChannelEvents> {
        self.api.events(after)
    }
}
