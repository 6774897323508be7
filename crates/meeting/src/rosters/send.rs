//! Tells members what changed in the roster: straight to the queue, since what is lost by a crash is told whole by the
//! next start.

use crate::clock;
use crate::machine::{Outgoing, ParentTopic};
use crate::rosters::RosterUpdate;
use crate::state::ServiceState;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Works until it is dropped, or a run has panicked: its member would never be told anything any more.
pub(crate) async fn run(service: Arc<ServiceState>) {
    let mut runs = JoinSet::new();
    loop {
        let (news, next) = service.rosters.due(Instant::now());
        for news in news {
            runs.spawn(tell(Arc::clone(&service), news));
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

/// The queue is asked as long as the signal is good; what is not sent then is told anew.
async fn tell(service: Arc<ServiceState>, news: RosterUpdate) {
    let send = Outgoing {
        to: news.to.clone(),
        parent: ParentTopic::Meeting,
        body: news.body.clone(),
        rev: Some(news.rev),
        ticket: None,
        expires_at_ms: clock::now_ms().saturating_add(service.config.rules.meeting_kept_ms),
        in_reply_to: None,
        collapse: None,
    };
    let sent = service.send_directly(send, Some(news.meeting)).await;
    if let Err(error) = &sent {
        tracing::warn!(meeting = %news.meeting, %error, "a member was not told of a changed roster; again");
    }
    service.rosters.done(&news, sent.is_ok());
}
