//! The task that makes the calls to the RTC server for which the reconciler asks, and reports their results to it.

use crate::machine::Event;
use crate::machine::desired::{Channel, ChannelCommand};
use crate::rtc::channels::Channels;
use crate::rtc::reconcile::{Done, Work};
use crate::state::ServiceState;
use signalling::{ChannelError, ChannelId, MeetingId};
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Runs until it is dropped, or a run of calls has panicked.
pub(crate) async fn run(service: Arc<ServiceState>) {
    let mut runs = JoinSet::new();
    loop {
        for Work { id, wanted, applied, pause } in service.reconciler.poll_work() {
            let channels = Arc::clone(service.reconciler.channels());
            runs.spawn(async move {
                tokio::time::sleep(pause).await;
                let result = apply(&*channels, id, &wanted, applied.as_ref()).await;
                Done { id, wanted, result }
            });
        }
        tokio::select! {
            () = service.reconciler.changed.notified() => {}
            Some(done) = runs.join_next() => {
                // A run that panicked: nothing is done on its channel any more.
                let Ok(run) = done else { return };
                if service.reconciler.handle_result(&run) {
                    closed(&service, run.id).await;
                }
            }
        }
    }
}

async fn closed(service: &ServiceState, id: Uuid) {
    if let Err(error) = service.handle_event(id, Event::ChannelClosed).await {
        tracing::warn!(meeting = %id, %error, "an ended meeting could not be put away; the next start does it");
    }
}

async fn apply(
    channels: &dyn Channels,
    id: Uuid,
    wanted: &Channel,
    applied: Option<&Channel>,
) -> Result<(), ChannelError> {
    for command in wanted.commands_from(applied) {
        perform(channels, MeetingId(id).into(), command).await?;
    }
    Ok(())
}

async fn perform(channels: &dyn Channels, channel: ChannelId, command: ChannelCommand) -> Result<(), ChannelError> {
    match command {
        ChannelCommand::Open => channels.open(channel).await,
        ChannelCommand::Close => channels.close(channel).await,
        ChannelCommand::Admit(who) => channels.admit(channel, who).await,
        ChannelCommand::Remove(who) => channels.remove(channel, who).await,
        ChannelCommand::UpdateRights(who, rights) => channels.update_rights(channel, who, rights).await,
        ChannelCommand::Mute(who, source, muted) => channels.mute(channel, who, source, muted).await,
    }
}
