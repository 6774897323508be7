//! The task that makes the calls to the RTC server for which the reconciler asks, and reports their results to it.

use crate::machine::Event;
use crate::rtc::reconcile::{Done, Next, Work};
use crate::state::ServiceState;
use signalling::MeetingId;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Runs until it is dropped, or a call has panicked.
pub(crate) async fn run(service: Arc<ServiceState>) {
    let mut runs = JoinSet::new();
    loop {
        for Work { id, rev, desired, pause } in service.reconciler.poll_work() {
            let channels = Arc::clone(service.reconciler.channels());
            runs.spawn(async move {
                tokio::time::sleep(pause).await;
                let result = channels.put(MeetingId(id).into(), rev, desired).await;
                Done { id, rev, result }
            });
        }
        tokio::select! {
            () = service.reconciler.changed.notified() => {}
            Some(done) = runs.join_next() => {
                // A run that panicked: nothing is done on its channel any more.
                let Ok(done) = done else { return };
                let id = done.id;
                match service.reconciler.handle_result(done) {
                    Next::Nothing => {}
                    Next::Ended => ended(&service, id).await,
                    Next::Read => read_again(&service, id).await,
                }
            }
        }
    }
}

async fn ended(service: &ServiceState, id: Uuid) {
    if let Err(error) = service.handle_event(id, Event::ChannelClosed).await {
        tracing::warn!(meeting = %id, %error, "an ended meeting could not be put away; the next start does it");
    }
}

/// Another service has decided since: its document says what the channel is to be. Where it cannot be read, nothing is put: the
/// RTC server has what the other service has put.
async fn read_again(service: &ServiceState, id: Uuid) {
    match service.stored_meeting(id).await {
        Ok(Some(stored)) => service.reconciler.handle_meeting(&stored.meeting),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(meeting = %id, %error, "a meeting that another service has changed cannot be read")
        }
    }
}
