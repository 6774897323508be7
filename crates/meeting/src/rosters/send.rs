//! The task that sends members the changes of the roster: to the queue without the outbox, since after a crash the next
//! start sends the whole roster.

use crate::machine::OutgoingSignal;
use crate::rosters::RosterUpdate;
use crate::state::ServiceState;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A queue that takes nothing keeps rosters no longer than this from going beside it.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(2);

/// Runs until it is dropped, or a send has panicked: its member would never be sent anything any more.
pub(crate) async fn run(service: Arc<ServiceState>) {
    // A roster that overtakes an older decision lets its terminal take that for old, and tell the person nothing of it.
    let _ = timeout(CAUGHT_UP_WITHIN, service.caught_up.notified()).await;
    let mut runs = JoinSet::new();
    loop {
        let (updates, next) = service.rosters.poll_updates(Instant::now());
        for update in updates {
            runs.spawn(send(Arc::clone(&service), update));
        }
        tokio::select! {
            () = service.rosters.changed.notified() => {}
            () = until(next) => {}
            Some(done) = runs.join_next() => if done.is_err() {
                return;
            },
        }
        while let Some(done) = runs.try_join_next() {
            if done.is_err() {
                return;
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Tries until the signal expires; then its changes are sent with the next update.
async fn send(service: Arc<ServiceState>, update: RosterUpdate) {
    let rev = Some(update.rev);
    let send = OutgoingSignal { rev, ..service.to_client(&update.to, update.body.clone()) };
    let sent = service.send_directly(send, Some(update.meeting)).await;
    if let Err(error) = &sent {
        tracing::warn!(meeting = %update.meeting, %error, "a member was not told of a changed roster; again");
    }
    service.rosters.handle_sent(&update, sent.is_ok());
}
