//! Tells members what changed in the roster: straight to the queue, since what is lost by a crash is told whole by the
//! next start.

use crate::clock;
use crate::commit::Shared;
use crate::machine::{Outgoing, Parent};
use crate::rosters::News;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Works until it is dropped, or a run has panicked: its member would never be told anything any more.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut runs = JoinSet::new();
    loop {
        let (news, next) = shared.rosters.due(Instant::now());
        for news in news {
            runs.spawn(tell(Arc::clone(&shared), news));
        }
        tokio::select! {
            () = shared.rosters.changed.notified() => {}
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
async fn tell(shared: Arc<Shared>, news: News) {
    let send = Outgoing {
        to: news.to.clone(),
        parent: Parent::Meeting,
        body: news.body.clone(),
        rev: Some(news.rev),
        ticket: None,
        expires_at_ms: clock::now_ms().saturating_add(shared.config.rules.meeting_kept_ms),
        in_reply_to: None,
        collapse: None,
    };
    let sent = shared.send_straight(send, Some(news.meeting)).await;
    if let Err(error) = &sent {
        tracing::warn!(meeting = %news.meeting, %error, "a member was not told of a changed roster; again");
    }
    shared.rosters.done(&news, sent.is_ok());
}
