//! What those who run the server do in meetings, and what the log says of it.

use crate::world::{World, new_meeting, until};
use catalog::{
    Accounts, Actor, ActorLost, Audit, AuditPage, By, Change, Key, KeyKind, KeySecret, KeyUpdate, MeetingState,
    MeetingsPage, Order, Scope,
};
use meeting::machine::Former;
use meeting::operator::{Act, ActError, Found};
use serde_json::{Value, json};
use signalling::{DownBody, EndReason, MeetingId, RefusalCode, Track, UpBody, UserName};

pub(crate) fn by() -> By {
    By { actor: Actor::Owner, address: None, at_ms: crate::world::now_ms(), right_as_of: None }
}

impl World {
    async fn act(&self, meeting: MeetingId, act: Act) -> Result<Found, ActError> {
        self.operator().act(meeting.0, act, by(), None).await
    }

    /// Action, before and after of each row, the oldest first.
    async fn log(&self) -> Vec<(String, Value, Value)> {
        let page = AuditPage { kind: Some(catalog::Kind::Meeting), limit: 50, ..AuditPage::default() };
        let rows = self.catalog.audit(page).await.unwrap();
        let told = rows
            .into_iter()
            .rev()
            .map(|row| (row.action, row.before.unwrap_or_default(), row.after.unwrap_or_default()));
        told.collect()
    }

    async fn listed(&self, state: MeetingState) -> Vec<(MeetingId, u32, Option<EndReason>)> {
        let page = MeetingsPage { state: Some(state), limit: 10, ..MeetingsPage::default() };
        let found = self.operator().list(page).await.unwrap().into_iter().map(|(_, listed)| listed.unwrap());
        found.map(|l| (l.meeting.id, l.inside, l.meeting.end.map(|end| end.reason))).collect()
    }
}

#[tokio::test]
async fn acts_are_told_to_terminals_and_logged_each_once() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    assert_eq!(world.listed(MeetingState::Live).await, [(meeting, 2, None)]);
    let mute = Act::Mute { user: "bob".into(), track: Track::Audio };
    let seen = world.act(meeting, mute.clone()).await.unwrap();
    let DownBody::Muted { by, .. } = world.find("bob.phone", "muted").await.body else { panic!() };
    assert_eq!(by, UserName::operator());
    assert!(seen.meeting.member(&"bob".into()).unwrap().muted.audio);
    let again = world.act(meeting, mute).await.unwrap();
    assert_eq!(again.meeting.rev, seen.meeting.rev, "it is so already");
    world.act(meeting, Act::AskUnmute { user: "bob".into(), track: Track::Audio }).await.unwrap();
    world.find("bob.phone", "unmute_asked").await;
    world.act(meeting, Act::Invite { users: vec!["carol".into()] }).await.unwrap();
    world.find("carol.phone", "invitation").await;
    world.act(meeting, Act::Kick { user: "carol".into(), ban_s: 0 }).await.unwrap();
    let DownBody::Ended { reason, .. } = world.find("carol.phone", "ended").await.body else { panic!() };
    assert_eq!(reason, EndReason::Kicked);
    world.act(meeting, Act::End).await.unwrap();
    let DownBody::Ended { reason, by, .. } = world.find("bob.phone", "ended").await.body else { panic!() };
    assert_eq!((reason, by), (EndReason::Destroyed, Some(UserName::operator())));
    world.act(meeting, Act::End).await.unwrap();
    let audio = |muted: bool| json!({ "user": "bob", "track": "audio", "muted": muted });
    let expected = [
        ("mute", audio(false), audio(true)),
        ("ask_unmute", Value::Null, json!({ "user": "bob", "track": "audio" })),
        ("invite", Value::Null, json!({ "users": ["carol"] })),
        ("kick", json!({ "user": "carol", "was": "ringing" }), Value::Null),
        ("end", json!({ "members": 2, "rings": 0 }), json!({ "reason": "destroyed" })),
    ];
    assert_eq!(world.log().await, expected.map(|(action, before, after)| (action.to_owned(), before, after)));
    world.crash().await;
    world.start().await;
    assert_eq!(world.listed(MeetingState::Live).await, []);
    assert_eq!(world.listed(MeetingState::Ended).await, [(meeting, 0, Some(EndReason::Destroyed))]);
}

#[tokio::test]
async fn the_log_names_whom_an_invite_has_rung_and_no_others() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let invite = |users: &[&str]| Act::Invite { users: users.iter().map(|user| UserName::from(*user)).collect() };
    world.act(meeting, invite(&["bob", "carol"])).await.unwrap();
    world.find("carol.phone", "invitation").await;
    world.act(meeting, invite(&["bob", "carol"])).await.unwrap();
    world.act(meeting, Act::AskUnmute { user: "bob".into(), track: Track::Audio }).await.unwrap();
    let ban = Act::Kick { user: "carol".into(), ban_s: 60 };
    let banned = world.act(meeting, ban).await.unwrap();
    let until_ms = banned.meeting.bans[0].until_ms;
    assert!(!world.operator().is_over(until_ms) && world.operator().is_over(1));
    for _ in 0..2 {
        world.act(meeting, Act::Unban { user: "carol".into() }).await.unwrap();
    }
    let expected = [
        ("invite", Value::Null, json!({ "users": ["carol"] })),
        ("kick", json!({ "user": "carol", "was": "ringing" }), json!({ "user": "carol", "ban_s": 60 })),
        ("unban", json!({ "user": "carol", "until_ms": until_ms }), Value::Null),
    ];
    assert_eq!(world.log().await, expected.map(|(action, before, after)| (action.to_owned(), before, after)));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_not_logged() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let kick = |user: &str| Act::Kick { user: user.into(), ban_s: 0 };
    let invite = |users: &[&str]| Act::Invite { users: users.iter().map(|user| UserName::from(*user)).collect() };
    let refused =
        |code| move |error: &ActError| matches!(error, ActError::Refused { code: found, .. } if *found == code);
    assert_eq!(world.act(new_meeting(), Act::End).await.unwrap_err(), ActError::Unknown);
    assert!(refused(RefusalCode::NotAllowed)(&world.act(meeting, kick("carol")).await.unwrap_err()));
    assert!(refused(RefusalCode::Limit)(&world.act(meeting, invite(&[])).await.unwrap_err()));
    for nobody in ["dora", "no one"] {
        let error = world.act(meeting, invite(&[nobody])).await.unwrap_err();
        assert_eq!(error, ActError::UnknownUser(nobody.into()));
    }
    let found = world.operator().find(meeting.0).await.unwrap().unwrap();
    let stale = world.operator().act(meeting.0, kick("bob"), by(), Some(found.revision - 1)).await.unwrap_err();
    assert_eq!(stale, ActError::Stale { present: found.revision });
    assert_eq!(world.log().await, []);
    world.operator().act(meeting.0, kick("bob"), by(), Some(found.revision)).await.unwrap();
    world.find("alice.phone", "ended").await;
    for act in [kick("alice"), invite(&["carol"]), invite(&["dora"])] {
        assert_eq!(world.act(meeting, act.clone()).await.unwrap_err(), ActError::Over, "{act:?}");
    }
    let found = world.operator().find(meeting.0).await.unwrap().unwrap().meeting;
    let users = |gone: &[Former]| gone.iter().map(|gone| gone.user.0.clone()).collect::<Vec<_>>();
    assert_eq!((users(&found.former), users(&found.kicked)), (vec!["alice".to_owned()], vec!["bob".to_owned()]));
    assert_eq!(world.log().await.len(), 1, "the first");
}

#[tokio::test]
async fn an_act_and_the_requests_of_terminals_at_once_are_all_decided() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let operator = world.operator();
    let acts = (0..20).map(|n| {
        let act = Act::Block { user: "bob".into(), track: Track::Video, blocked: n % 2 == 0 };
        let operator = operator.clone();
        tokio::spawn(async move { operator.act(meeting.0, act, by(), None).await })
    });
    let acts: Vec<_> = acts.collect();
    for n in 0..10 {
        let body = if n % 2 == 0 {
            UpBody::Mute { user: None, track: Track::Audio }
        } else {
            UpBody::Unmute { track: Track::Audio }
        };
        world.ask("alice.phone", meeting, body).await;
    }
    for act in acts {
        act.await.unwrap().unwrap();
    }
    world.until_handled().await;
    let log = world.log().await;
    // Each row goes on where the one before has ended.
    assert!(!log.is_empty() && log.windows(2).all(|rows| rows[0].2 == rows[1].1), "{log:?}");
    until("the meeting stands", async || world.listed(MeetingState::Live).await.len() == 1).await;
}

#[tokio::test]
async fn an_act_whose_caller_has_lost_its_right_meanwhile_is_not_done() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let catalog = std::sync::Arc::clone(&world.catalog);
    let change = async |change| {
        let order = Order { change, by: by(), expected: None };
        catalog.apply(order).await.unwrap();
        catalog.key("ops").await.unwrap().unwrap().changed
    };
    let seen = change(Change::CreateKey(Key {
        key_id: "ops".to_owned(),
        kind: KeyKind::Api,
        instance: String::new(),
        scopes: [Scope::Meetings].into_iter().collect(),
        note: String::new(),
        created_at_ms: 1,
        expires_at_ms: None,
        disabled: false,
        is_narrowed: false,
        consumer_groups: None,
        secrets: vec![KeySecret { generation: 1, secret: "secret".to_owned(), valid_until_ms: None }],
    }))
    .await;
    let mute = Act::Mute { user: "bob".into(), track: Track::Audio };
    let act = async |act, right_as_of| {
        let by = By { actor: Actor::Key("ops".to_owned()), right_as_of, ..by() };
        world.operator().act(meeting.0, act, by, None).await.map(|found| found.meeting.is_over())
    };
    assert_eq!(act(mute, Some(seen)).await, Ok(false));
    change(Change::UpdateKey {
        key_id: "ops".to_owned(),
        update: KeyUpdate { scopes: Some([Scope::Devices].into_iter().collect()), ..KeyUpdate::default() },
    })
    .await;
    assert_eq!(act(Act::End, Some(seen)).await, Err(ActError::Actor(ActorLost::Changed)));
    change(Change::UpdateKey {
        key_id: "ops".to_owned(),
        update: KeyUpdate { disabled: Some(true), ..KeyUpdate::default() },
    })
    .await;
    assert_eq!(act(Act::End, None).await, Err(ActError::Actor(ActorLost::Gone)));
    assert!(world.listed(MeetingState::Ended).await.is_empty());
    assert_eq!(world.log().await.len(), 1);
}
