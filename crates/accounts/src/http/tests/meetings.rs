//! Meetings over HTTP: what is asked of the meeting service, and what is said when it refuses.

use super::*;
use crate::meetings::{
    MeetingAct, MeetingDetails, MeetingError, MeetingFuture, MeetingKind, MeetingStateName, MeetingSummary, Meetings,
    TrackName,
};
use catalog::{By, MeetingPlace, MeetingState, MeetingsPage};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;
use uuid::Uuid;

/// One meeting, of the revision 7, which notes what is asked of it.
#[derive(Default)]
pub(super) struct OneMeeting {
    pages: Mutex<Vec<MeetingsPage>>,
    acts: Mutex<Vec<(MeetingAct, String)>>,
    refuses: Mutex<Option<MeetingError>>,
    /// Acts are not finished.
    is_stuck: AtomicBool,
    stuck: AtomicUsize,
}

const ID: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

fn summary() -> MeetingSummary {
    MeetingSummary {
        meeting: ID.to_string(),
        state: MeetingStateName::Live,
        kind: MeetingKind::Call,
        media: "audio".to_owned(),
        title: None,
        host: "ann".to_owned(),
        creator: "ann".to_owned(),
        created_at_ms: 5,
        ended_at_ms: None,
        reason: None,
        members: 2,
        ringing: 0,
    }
}

fn details() -> MeetingDetails {
    MeetingDetails {
        summary: summary(),
        roster: Vec::new(),
        rings: Vec::new(),
        left: Vec::new(),
        blocks: Vec::new(),
        bans: Vec::new(),
    }
}

impl OneMeeting {
    fn of(&self, id: Uuid) -> Result<(u64, MeetingDetails), MeetingError> {
        if id == ID { Ok((7, details())) } else { Err(MeetingError::Unknown) }
    }
}

impl Meetings for OneMeeting {
    fn list(&self, page: MeetingsPage) -> MeetingFuture<'_, Vec<(MeetingPlace, Option<MeetingSummary>)>> {
        let place = MeetingPlace { created_at_ms: 5, id: ID };
        let rows = [(place, Some(summary())), (place, None), (place, Some(summary()))];
        let rows = rows.into_iter().take(page.limit as usize).collect();
        self.pages.lock().unwrap().push(page);
        Box::pin(async { Ok(rows) })
    }

    fn find(&self, id: Uuid) -> MeetingFuture<'_, (u64, MeetingDetails)> {
        Box::pin(async move { self.of(id) })
    }

    fn act(
        &self,
        id: Uuid,
        act: MeetingAct,
        by: By,
        expected: Option<u64>,
    ) -> MeetingFuture<'_, (u64, MeetingDetails)> {
        Box::pin(async move {
            if self.is_stuck.load(Ordering::Relaxed) {
                self.stuck.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            if let Some(refused) = self.refuses.lock().unwrap().take() {
                return Err(refused);
            }
            if expected.is_some_and(|seen| seen != 7) {
                return Err(MeetingError::Stale { present: 7 });
            }
            self.acts.lock().unwrap().push((act, by.actor.to_string()));
            self.of(id)
        })
    }
}

fn at(verb: &str) -> String {
    format!("/api/v1/meetings/{ID}{verb}")
}

#[tokio::test]
async fn each_act_is_handed_on_with_the_key_of_who_asks() {
    let world = World::new().await;
    let key = json!({ "key": "desk", "kind": "api", "scopes": ["meetings"] });
    let secret = world.post("/api/v1/keys", Some(KEY), key).await.text("secret").to_owned();
    let (user, track) = ("ann".to_owned(), TrackName::Video);
    let table = [
        ("/invite", json!({ "users": ["ann"] }), MeetingAct::Invite { users: vec![user.clone()] }),
        ("/mute", json!({ "user": "ann" }), MeetingAct::Mute { user: user.clone(), track: TrackName::Audio }),
        ("/unmute", json!({ "user": "ann", "track": "video" }), MeetingAct::AskUnmute { user: user.clone(), track }),
        (
            "/block",
            json!({ "user": "ann", "track": "video" }),
            MeetingAct::Block { user: user.clone(), track, blocked: true },
        ),
        (
            "/unblock",
            json!({ "user": "ann", "track": "video" }),
            MeetingAct::Block { user: user.clone(), track, blocked: false },
        ),
        ("/kick", json!({ "user": "ann", "ban_s": 60 }), MeetingAct::Kick { user: user.clone(), ban_s: 60 }),
        ("/unban", json!({ "user": "ann" }), MeetingAct::Unban { user }),
        ("/end", Value::Null, MeetingAct::End),
    ];
    for (verb, body, act) in table {
        let answer = world.post(&at(verb), Some(&secret), body).await;
        assert_eq!((answer.status, answer.headers[header::ETAG].as_bytes()), (StatusCode::OK, &b"\"7\""[..]), "{verb}");
        assert_eq!(answer.text("meeting"), ID.to_string());
        assert_eq!(world.meetings.acts.lock().unwrap().pop(), Some((act, "key:desk".to_owned())));
    }
}

#[tokio::test]
async fn a_key_that_acts_too_often_waits_and_another_does_not() {
    let world = World::new().await;
    let other = world.key("desk", "api", &["meetings"]).await;
    let unmute = async |key: &str| world.post(&at("/unmute"), Some(key), json!({ "user": "ann" })).await;
    let mut done = 0;
    let refused = loop {
        let answer = unmute(KEY).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        done += 1;
    };
    assert_eq!(refused.refused(), (429, "too_many_requests"));
    assert!(refused.headers.contains_key(header::RETRY_AFTER) && done >= 50, "{done} were done");
    assert_eq!(unmute(&other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn acts_that_are_under_way_are_bounded_though_nobody_waits_for_them() {
    let world = World::new().await;
    world.meetings.is_stuck.store(true, Ordering::Relaxed);
    let stuck = || world.meetings.stuck.load(Ordering::Relaxed);
    for _ in 0..2 {
        let mut asked = JoinSet::new();
        for _ in 0..20 {
            let answer = world.router.clone().oneshot(request("POST", &at("/end"), Some(KEY), Value::Null));
            asked.spawn(async move { drop(answer.await) });
        }
        devices::until("acts are under way", || stuck() == ACTS_AT_ONCE).await;
        for _ in 0..20 {
            world.ask("GET", "/api/v1/groups", Value::Null).await;
        }
        assert_eq!(stuck(), ACTS_AT_ONCE);
        drop(asked);
    }
}

#[tokio::test]
async fn what_cannot_be_done_in_a_meeting_is_refused_with_a_code() {
    let world = World::new().await;
    let words = || "why".to_owned();
    let table = [
        (MeetingError::UnknownUser("ann".to_owned()), (404, "unknown_user")),
        (MeetingError::Over, (409, "meeting_over")),
        (MeetingError::NotAllowed(words()), (409, "not_allowed")),
        (MeetingError::Limit(words()), (409, "limit")),
        (MeetingError::Unavailable(words()), (503, "unavailable")),
    ];
    for (error, expected) in table {
        *world.meetings.refuses.lock().unwrap() = Some(error);
        assert_eq!(world.post(&at("/kick"), Some(KEY), json!({ "user": "ann" })).await.refused(), expected);
    }
    let kick = |tag: &str| {
        let mut request = request("POST", &at("/kick"), Some(KEY), json!({ "user": "ann" }));
        request.headers_mut().insert(header::IF_MATCH, tag.parse().unwrap());
        request
    };
    assert_eq!(world.call(kick("\"6\"")).await.refused(), (412, "stale"));
    assert_eq!(world.call(kick("\"7\"")).await.status, StatusCode::OK);
    for unknown in ["/api/v1/meetings/none", "/api/v1/meetings/0199ffff-0000-7000-8000-000000000001"] {
        assert_eq!(world.call(request("GET", unknown, Some(KEY), Value::Null)).await.refused(), (404, "not_found"));
        let ended = world.post(&format!("{unknown}/end"), Some(KEY), Value::Null).await;
        assert_eq!(ended.refused(), (404, "not_found"));
    }
    let wrong = world.post(&at("/mute"), Some(KEY), json!({ "user": "ann", "track": "smell" })).await;
    assert_eq!(wrong.refused(), (400, "invalid_body"));
}

#[tokio::test]
async fn a_list_of_meetings_comes_in_parts() {
    let world = World::new().await;
    let list = async |query: &str| {
        world.call(request("GET", &format!("/api/v1/meetings{query}"), Some(KEY), Value::Null)).await
    };
    let first = list("?state=live&user=ann&limit=2").await;
    assert_eq!(first.body["items"].as_array().unwrap().len(), 1, "one cannot be read");
    let next = first.text("next").to_owned();
    let last = list(&format!("?limit=3&after={next}")).await;
    assert_eq!((last.body["items"].as_array().unwrap().len(), last.body.get("next")), (2, None));
    let before = Some(MeetingPlace { created_at_ms: 5, id: ID });
    let pages = [
        MeetingsPage { state: Some(MeetingState::Live), user: Some("ann".to_owned()), before: None, limit: 3 },
        MeetingsPage { before, limit: 4, ..MeetingsPage::default() },
    ];
    assert_eq!(*world.meetings.pages.lock().unwrap(), pages);
    for wrong in ["?state=dead", "?after=x", "?after=5.x", "?limit=0", "?page=1"] {
        assert_eq!(list(wrong).await.refused(), (400, "invalid_query"), "{wrong}");
    }
}
