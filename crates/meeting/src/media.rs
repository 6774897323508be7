//! What the RTC server reports, told to the meetings.

use crate::deciding::Shared;
use signalling::meeting::{Event, MediaChange};
use signalling::{ChannelEvent, ChannelEventKind, LeftReason};
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Works until the events end or it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, mut events: mpsc::Receiver<ChannelEvent>) {
    while let Some(event) = events.recv().await {
        take(&shared, event).await;
    }
    tracing::warn!("the RTC server reports no more events");
    std::future::pending().await
}

async fn take(shared: &Shared, event: ChannelEvent) {
    let Some(change) = change(&event.kind) else { return };
    let Ok(meeting) = Uuid::try_parse(event.channel.as_str()) else { return };
    tracing::debug!(channel = %event.channel, participation = %event.participation, ?change, "media");
    if change == MediaChange::Joined {
        shared.reconciler.joined(meeting, event.participation);
    }
    let media = Event::Media { participation: event.participation, change };
    if let Err(error) = shared.happen(meeting, media).await {
        tracing::warn!(%meeting, %error, "a report of the RTC server was lost");
    }
}

/// `None`: of no concern to the life of a meeting.
fn change(kind: &ChannelEventKind) -> Option<MediaChange> {
    match kind {
        ChannelEventKind::Joined { .. } => Some(MediaChange::Joined),
        ChannelEventKind::Lost => Some(MediaChange::Lost),
        ChannelEventKind::Back => Some(MediaChange::Back),
        ChannelEventKind::Left(LeftReason::Replaced) => Some(MediaChange::Replaced),
        ChannelEventKind::Left(_) => Some(MediaChange::Left),
        ChannelEventKind::Quality { .. } | ChannelEventKind::Speaker { .. } => None,
    }
}
