//! The transaction of the meeting service and what it reads.

use super::{Store, change, commit, device, id, names, with_people};
use crate::limits::{CREATES_KEEP_MS, ENDED_MEETING_KEEP_MS, OUTCOMES_PER_USER_MAX};
use crate::{
    Accounts, Catalog, Claim, CommitError, DueTimers, Engagement, EngagementKind, Handled, MeetingChange,
    MeetingCommit, MeetingPart, MeetingPartName, MeetingRead, MeetingRow, Meetings, NewOutboxRow, OutboxRow,
    OutcomeRow, Presence, SetAside, TimerRow,
};
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// After all times of these tests.
const LATE: u64 = 1 << 50;

fn due_at(now_ms: u64, latest_ms: u64) -> DueTimers {
    DueTimers { now_ms, latest_ms, held_ms: 0..0 }
}

fn timer(meeting: u128, key: &str, due_ms: u64) -> TimerRow {
    TimerRow { meeting: id(meeting), key: key.to_owned(), due_ms }
}

fn engagement(user: &str, meeting: u128, kind: EngagementKind) -> Engagement {
    Engagement { user: user.to_owned(), meeting: id(meeting), kind }
}

fn message(topic: &str) -> NewOutboxRow {
    let properties = vec![("key".to_owned(), "\"quoted\" 李".to_owned()), ("key".to_owned(), String::new())];
    NewOutboxRow { lane: "ann".to_owned(), topic: topic.to_owned(), properties, body: vec![0, 255, 10] }
}

fn outcome(user: &str, invitation: u128, at_ms: u64, document: &str) -> OutcomeRow {
    OutcomeRow { user: user.to_owned(), invitation: id(invitation), at_ms, document: document.to_owned() }
}

fn handled(signal: u128, keep_until_ms: u64) -> Option<Handled> {
    Some(Handled { signal: id(signal), keep_until_ms })
}

/// A change with users whom the meeting engages exclusively.
fn engaging(meeting: u128, expected: Option<u64>, users: &[&str]) -> MeetingChange {
    let engaged = users.iter().map(|user| engagement(user, meeting, EngagementKind::In)).collect();
    MeetingChange { engaged, ..change(meeting, expected) }
}

fn ended(meeting: u128, expected: u64) -> MeetingChange {
    MeetingChange { ended: true, ..change(meeting, Some(expected)) }
}

const SERVICE: u128 = 1;
const OTHER: u128 = 2;

/// A claim that outlasts its test.
fn claim_of(service: u128) -> Claim {
    Claim { by: id(service), lasts: Duration::from_hours(1) }
}

/// Claims of this service, which had none before.
async fn claimed(catalog: &impl Catalog, limit: u32) -> Vec<OutboxRow> {
    catalog.claim_outbox(claim_of(SERVICE), limit).await.unwrap()
}

async fn topics(catalog: &impl Catalog, service: u128, limit: u32) -> Vec<String> {
    let rows = catalog.claim_outbox(claim_of(service), limit).await.unwrap();
    rows.into_iter().map(|row| row.message.unwrap().topic).collect()
}

async fn due_timers(catalog: &impl Catalog, due: DueTimers, limit: u32) -> Vec<TimerRow> {
    catalog.claim_timers(claim_of(SERVICE), due, limit).await.unwrap()
}

pub async fn a_new_meeting_has_revision_1_and_rises_by_1(store: &impl Store) {
    let catalog = store.open().await;
    assert_eq!(catalog.meeting(id(1)).await.unwrap(), None);
    catalog.commit(commit(MeetingChange { created_at_ms: 5, ..change(1, None) })).await.unwrap();
    let row = |revision, document: &str| MeetingRow {
        id: id(1),
        revision,
        document: document.to_owned(),
        parts: Vec::new(),
        ended: false,
        created_at_ms: 5,
    };
    assert_eq!(catalog.meeting(id(1)).await.unwrap(), Some(row(1, "{\"after\":0}")));
    assert_eq!(catalog.meeting_revision(id(1)).await.unwrap(), Some(1));
    assert_eq!(catalog.meeting_revision(id(2)).await.unwrap(), None);
    catalog.commit(commit(change(1, Some(1)))).await.unwrap();
    assert_eq!(catalog.meeting(id(1)).await.unwrap(), Some(row(2, "{\"after\":1}")));
    assert_eq!(catalog.live_meetings().await.unwrap(), [id(1)]);
}

pub async fn a_meeting_that_exists_cannot_be_made_again(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(change(1, None))).await.unwrap();
    assert_eq!(catalog.commit(commit(change(1, None))).await, Err(CommitError::Conflict));
    catalog.commit(commit(ended(1, 1))).await.unwrap();
    assert_eq!(catalog.commit(commit(change(1, None))).await, Err(CommitError::Conflict));
    assert_eq!(catalog.commit(commit(change(2, Some(1)))).await, Err(CommitError::Conflict));
    assert!(catalog.live_meetings().await.unwrap().is_empty());
}

pub async fn of_many_commits_on_one_revision_one_wins_and_the_others_conflict(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(change(1, None))).await.unwrap();
    let rivals = (0..8).map(|n| MeetingCommit { outbox: vec![message(&n.to_string())], ..commit(change(1, Some(1))) });
    let results = at_once(rivals.map(|rival| catalog.commit(rival)).collect()).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    let lost = results.iter().filter(|result| **result == Err(CommitError::Conflict)).count();
    assert_eq!((won, lost), (1, 7), "{results:?}");
    assert_eq!(catalog.meeting(id(1)).await.unwrap().unwrap().revision, 2);
    assert_eq!(catalog.outbox_len().await.unwrap(), 1);
}

/// All of them, begun before any is awaited to its end.
async fn at_once<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *result = Some(value);
            }
        }
        if results.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(results.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

pub async fn parts_are_put_and_dropped_by_their_names(store: &impl Store) {
    let catalog = store.open().await;
    let name = |kind: &str, place| MeetingPartName { kind: kind.to_owned(), place };
    let part =
        |kind: &str, place, document: &str| MeetingPart { name: name(kind, place), document: document.to_owned() };
    let first = vec![part("ring", 2, "r2"), part("member", 10, "m10"), part("member", 9, "m9"), part("ring", 1, "r1")];
    catalog.commit(commit(MeetingChange { parts: first, ..change(1, None) })).await.unwrap();
    catalog.commit(commit(MeetingChange { parts: vec![part("member", 9, "other")], ..change(2, None) })).await.unwrap();
    let parts = async |meeting| catalog.meeting(id(meeting)).await.unwrap().unwrap().parts;
    let expected = [part("member", 9, "m9"), part("member", 10, "m10"), part("ring", 1, "r1"), part("ring", 2, "r2")];
    assert_eq!(parts(1).await, expected, "in the order of their places");
    let changed = MeetingChange {
        parts: vec![part("ring", 3, "r3"), part("member", 9, "new")],
        parts_gone: vec![name("member", 10), name("ring", 1), name("ring", 99)],
        ..change(1, Some(1))
    };
    catalog.commit(commit(changed.clone())).await.unwrap();
    assert_eq!(catalog.commit(commit(changed)).await, Err(CommitError::Conflict));
    assert_eq!(parts(1).await, [part("member", 9, "new"), part("ring", 2, "r2"), part("ring", 3, "r3")]);
    assert_eq!(parts(2).await, [part("member", 9, "other")]);
    catalog.commit(commit(ended(1, 2))).await.unwrap();
    assert_eq!(parts(1).await.len(), 3, "what came late is answered from them");
}

pub async fn a_commit_that_only_read_a_meeting_conflicts_with_a_newer_revision(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(change(1, None))).await.unwrap();
    let read = |meeting, revision| MeetingCommit {
        read: Some(MeetingRead { id: id(meeting), revision }),
        handled: handled(70, 1_000),
        outbox: vec![message("answer")],
        ..MeetingCommit::default()
    };
    catalog.commit(commit(change(1, Some(1)))).await.unwrap();
    for stale in [read(1, 1), read(1, 3), read(2, 1)] {
        assert_eq!(catalog.commit(stale).await, Err(CommitError::Conflict));
    }
    assert!(catalog.outbox_len().await.unwrap() == 0 && !catalog.handled(id(70)).await.unwrap());
    catalog.commit(read(1, 2)).await.unwrap();
    assert_eq!(catalog.meeting(id(1)).await.unwrap().unwrap().revision, 2);
    assert_eq!(catalog.commit(read(1, 1)).await, Err(CommitError::AlreadyHandled), "a repetition wins over a conflict");
    assert_eq!(topics(&catalog, 0, 10).await, ["answer"]);
}

pub async fn a_request_is_handled_once(store: &impl Store) {
    let catalog = store.open().await;
    let request = MeetingCommit { handled: handled(70, 1_000), outbox: vec![message("answer")], ..Default::default() };
    assert!(!catalog.handled(id(70)).await.unwrap());
    catalog.commit(request.clone()).await.unwrap();
    assert!(catalog.handled(id(70)).await.unwrap());
    assert_eq!(catalog.commit(request.clone()).await, Err(CommitError::AlreadyHandled));
    let stale = MeetingCommit { meeting: Some(change(1, Some(9))), ..request };
    assert_eq!(catalog.commit(stale).await, Err(CommitError::AlreadyHandled), "a repetition wins over a conflict");
    assert_eq!(topics(&catalog, 0, 10).await, ["answer"]);
}

pub async fn a_refused_commit_leaves_nothing_behind(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(engaging(1, None, &["ann"]))).await.unwrap();
    let loaded = |meeting| MeetingCommit {
        meeting: Some(meeting),
        handled: handled(70, 1_000),
        outbox: vec![message("never")],
        outcomes: vec![outcome("ann", 5, 1, "{}")],
        created_by: Some(("ann".to_owned(), 1)),
        ..MeetingCommit::default()
    };
    let conflict = MeetingChange { timers: vec![timer(1, "ring", 5)], ..change(1, Some(7)) };
    assert_eq!(catalog.commit(loaded(conflict)).await, Err(CommitError::Conflict));
    let engaged = MeetingChange { timers: vec![timer(2, "ring", 5)], ..engaging(2, None, &["ann"]) };
    assert!(matches!(catalog.commit(loaded(engaged)).await, Err(CommitError::Engaged { .. })));
    assert!(!catalog.handled(id(70)).await.unwrap());
    assert_eq!(catalog.meeting(id(2)).await.unwrap(), None);
    assert_eq!(catalog.next_timer(id(SERVICE), 0..0).await.unwrap(), None);
    assert_eq!(catalog.creates_since("ann", 0, LATE).await.unwrap(), 0);
    assert!(catalog.outcomes("ann", 10).await.unwrap().is_empty());
    assert_eq!(catalog.outbox_len().await.unwrap(), 0);
    assert_eq!(catalog.engagements_of(&names(&["ann"])).await.unwrap(), [engagement("ann", 1, EngagementKind::In)]);
}

pub async fn timers_are_put_and_dropped_by_their_keys_and_come_earliest_first(store: &impl Store) {
    let catalog = store.open().await;
    assert_eq!(catalog.next_timer(id(SERVICE), 0..0).await.unwrap(), None);
    let first = vec![timer(1, "ring", 30), timer(1, "reach", 10), timer(1, "gone", 40)];
    catalog.commit(commit(MeetingChange { timers: first, ..change(1, None) })).await.unwrap();
    catalog.commit(commit(MeetingChange { timers: vec![timer(2, "ring", 20)], ..change(2, None) })).await.unwrap();
    assert_eq!(catalog.next_timer(id(SERVICE), 0..0).await.unwrap(), Some(10));
    let due = due_timers(&catalog, due_at(30, LATE), 10).await;
    assert_eq!(due, [timer(1, "reach", 10), timer(2, "ring", 20), timer(1, "ring", 30)]);
    assert_eq!(due_timers(&catalog, due_at(30, LATE), 1).await, [timer(1, "reach", 10)]);
    assert_eq!(due_timers(&catalog, due_at(9, 10), 1).await, [timer(2, "ring", 20)], "later than one can be");
    assert!(due_timers(&catalog, due_at(9, LATE), 10).await.is_empty());
    let held = DueTimers { held_ms: 10..30, ..due_at(30, 35) };
    assert_eq!([10, 20, 30, 35, 40].map(|due_ms| held.contains(due_ms)), [false, false, true, false, true]);
    assert_eq!(due_timers(&catalog, held, 10).await, [timer(1, "ring", 30), timer(1, "gone", 40)]);
    assert_eq!(catalog.next_timer(id(SERVICE), 10..30).await.unwrap(), Some(30));
    let timers_gone = vec!["gone".to_owned(), "never".to_owned()];
    let moved = MeetingChange { timers: vec![timer(1, "ring", 50)], timers_gone, ..change(1, Some(1)) };
    catalog.commit(commit(moved)).await.unwrap();
    let left = [timer(1, "reach", 10), timer(2, "ring", 20), timer(1, "ring", 50)];
    assert_eq!(due_timers(&catalog, due_at(100, LATE), 10).await, left);
    catalog.commit(commit(ended(1, 2))).await.unwrap();
    assert_eq!(due_timers(&catalog, due_at(100, LATE), 10).await, [timer(2, "ring", 20)]);
}

pub async fn engagements_are_put_and_dropped_by_their_users(store: &impl Store) {
    let catalog = store.open().await;
    let engagements = vec![engagement("ann", 1, EngagementKind::In), engagement("bob", 1, EngagementKind::Rung)];
    catalog.commit(commit(MeetingChange { engaged: engagements, ..change(1, None) })).await.unwrap();
    let both = names(&["ann", "bob"]);
    assert_eq!(
        catalog.engagements_of(&both).await.unwrap(),
        [engagement("ann", 1, EngagementKind::In), engagement("bob", 1, EngagementKind::Rung)]
    );
    let freed = vec!["ann".to_owned(), "carol".to_owned()];
    catalog.commit(commit(MeetingChange { freed, ..engaging(1, Some(1), &["bob"]) })).await.unwrap();
    assert_eq!(catalog.engagements_of(&both).await.unwrap(), [engagement("bob", 1, EngagementKind::In)]);
    catalog.commit(commit(change(1, Some(2)))).await.unwrap();
    assert_eq!(
        catalog.engagements_of(&both).await.unwrap(),
        [engagement("bob", 1, EngagementKind::In)],
        "who is not named keeps the engagement"
    );
    assert!(catalog.engagements_of(&[]).await.unwrap().is_empty());
}

pub async fn a_user_may_be_rung_and_have_left_while_in_another_meeting(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(engaging(1, None, &["ann"]))).await.unwrap();
    for (meeting, kind) in [(2, EngagementKind::Rung), (3, EngagementKind::Left), (4, EngagementKind::Left)] {
        let engaged = vec![engagement("ann", meeting, kind)];
        catalog.commit(commit(MeetingChange { engaged, ..change(meeting, None) })).await.unwrap();
    }
    let found = catalog.engagements_of(&names(&["ann"])).await.unwrap();
    let kinds: Vec<EngagementKind> = found.iter().map(|engagement| engagement.kind).collect();
    assert_eq!(kinds, [EngagementKind::In, EngagementKind::Rung, EngagementKind::Left, EngagementKind::Left]);
    let back = catalog.commit(commit(engaging(3, Some(1), &["ann"]))).await;
    assert!(matches!(back, Err(CommitError::Engaged { meeting, .. }) if meeting == id(1)), "{back:?}");
}

pub async fn a_user_has_one_exclusive_engagement_over_live_meetings(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(engaging(1, None, &["ann"]))).await.unwrap();
    let refused = catalog.commit(commit(engaging(2, None, &["bob", "ann"]))).await;
    assert_eq!(refused, Err(CommitError::Engaged { user: "ann".to_owned(), meeting: id(1) }));
    let rung = MeetingChange {
        engaged: vec![engagement("ann", 2, EngagementKind::Rung), engagement("bob", 2, EngagementKind::In)],
        ..change(2, None)
    };
    catalog.commit(commit(rung)).await.unwrap();
    let mut found = catalog.engagements_of(&names(&["ann"])).await.unwrap();
    found.sort_by_key(|engagement| engagement.meeting);
    assert_eq!(found, [engagement("ann", 1, EngagementKind::In), engagement("ann", 2, EngagementKind::Rung)]);
    catalog.commit(commit(engaging(1, Some(1), &["ann"]))).await.unwrap();
}

pub async fn of_two_meetings_that_want_a_user_at_once_one_gets_it(store: &impl Store) {
    let catalog = store.open().await;
    let wishes = [engaging(1, None, &["ann"]), engaging(2, None, &["ann"])];
    let results = at_once(wishes.map(|wish| catalog.commit(commit(wish))).into()).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().any(|result| matches!(result, Err(CommitError::Engaged { user, .. }) if user == "ann")));
    assert_eq!(catalog.live_meetings().await.unwrap().len(), 1);
}

pub async fn the_end_of_a_meeting_frees_its_people(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(engaging(1, None, &["ann"]))).await.unwrap();
    let end = MeetingChange { ended: true, ..engaging(1, Some(1), &["ann"]) };
    catalog.commit(commit(end)).await.unwrap();
    assert!(catalog.engagements_of(&names(&["ann"])).await.unwrap().is_empty());
    assert!(catalog.meeting(id(1)).await.unwrap().unwrap().ended);
    catalog.commit(commit(engaging(2, None, &["ann"]))).await.unwrap();
}

pub async fn rows_of_another_meeting_are_refused(store: &impl Store) {
    let catalog = store.open().await;
    let stray_timer = MeetingChange { timers: vec![timer(2, "ring", 1)], ..change(1, None) };
    let stray_engagement = MeetingChange { engaged: vec![engagement("ann", 2, EngagementKind::In)], ..change(1, None) };
    for stray in [stray_timer, stray_engagement] {
        assert!(matches!(catalog.commit(commit(stray)).await, Err(CommitError::Catalog(_))));
    }
    assert_eq!(catalog.meeting(id(1)).await.unwrap(), None);
}

pub async fn the_outbox_keeps_the_order_of_making(store: &impl Store) {
    let catalog = store.open().await;
    for (meeting, sent) in [(1, ["a", "b"]), (2, ["c", "d"])] {
        let outbox = sent.map(message).into();
        catalog.commit(MeetingCommit { outbox, ..commit(change(meeting, None)) }).await.unwrap();
    }
    let rows = claimed(&catalog, 3).await;
    assert!(rows.is_sorted_by(|one, next| one.id < next.id));
    assert_eq!((rows[0].message.clone(), rows[0].lane.as_str()), (Ok(message("a")), "ann"));
    assert_eq!(rows.iter().map(|row| row.message.clone().unwrap().topic).collect::<Vec<_>>(), ["a", "b", "c"]);
    catalog.outbox_sent(&[rows[0].id, rows[2].id]).await.unwrap();
    catalog.outbox_sent(&[]).await.unwrap();
    assert_eq!(topics(&catalog, SERVICE, 10).await, ["d"], "each is given once");
    assert_eq!(catalog.outbox_len().await.unwrap(), 2);
    catalog.release_claims(id(SERVICE)).await.unwrap();
    assert_eq!(topics(&catalog, SERVICE, 10).await, ["b", "d"]);
}

pub async fn the_number_of_a_sent_message_is_never_given_again(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(MeetingCommit { outbox: vec![message("a")], ..Default::default() }).await.unwrap();
    let last = claimed(&catalog, 1).await[0].id;
    catalog.outbox_sent(&[last]).await.unwrap();
    drop(catalog);
    let catalog = store.open().await;
    catalog.commit(MeetingCommit { outbox: vec![message("b")], ..Default::default() }).await.unwrap();
    assert!(claimed(&catalog, 1).await[0].id > last);
}

pub async fn two_services_share_the_outbox_by_lanes(store: &impl Store) {
    let catalog = store.open().await;
    let send = async |lane: &str, topic: &str| {
        let row = NewOutboxRow { lane: lane.to_owned(), ..message(topic) };
        catalog.commit(MeetingCommit { outbox: vec![row], ..Default::default() }).await.unwrap();
    };
    send("ann", "1").await;
    let first = claimed(&catalog, 10).await;
    for (lane, topic) in [("ann", "2"), ("bob", "3"), ("ann", "4"), ("bob", "5")] {
        send(lane, topic).await;
    }
    assert_eq!(topics(&catalog, OTHER, 1).await, ["3"], "the lane of ann is another's");
    assert_eq!(topics(&catalog, SERVICE, 1).await, ["2"], "who has a lane gets its later messages");
    assert_eq!(topics(&catalog, OTHER, 10).await, ["5"]);
    assert_eq!(topics(&catalog, SERVICE, 10).await, ["4"]);
    send("eve", "6").await;
    let mut rivals = at_once([SERVICE, OTHER].map(|one| catalog.claim_outbox(claim_of(one), 10)).into()).await;
    rivals.sort_by_key(|given| given.as_ref().map_or(0, Vec::len));
    assert_eq!(rivals.into_iter().map(|given| given.unwrap().len()).collect::<Vec<_>>(), [0, 1]);
    catalog.outbox_sent(&[first[0].id]).await.unwrap();
    send("ann", "7").await;
    assert_eq!(topics(&catalog, OTHER, 10).await, [""; 0], "of ann some is not sent yet");
    catalog.release_claims(id(SERVICE)).await.unwrap();
    let left = topics(&catalog, OTHER, 10).await;
    assert_eq!(left.iter().filter(|topic| *topic != "6").collect::<Vec<_>>(), ["2", "4", "7"]);
}

pub async fn a_lane_is_free_when_all_of_it_is_sent_or_set_aside(store: &impl Store) {
    let catalog = store.open().await;
    let send = async |topic| {
        catalog.commit(MeetingCommit { outbox: vec![message(topic)], ..Default::default() }).await.unwrap();
    };
    for topic in ["1", "2"] {
        send(topic).await;
    }
    let rows = claimed(&catalog, 10).await;
    send("3").await;
    catalog.outbox_sent(&[rows[0].id]).await.unwrap();
    assert_eq!(topics(&catalog, OTHER, 10).await, [""; 0]);
    catalog.set_message_aside(rows[1].id, "a test").await.unwrap();
    assert_eq!(topics(&catalog, OTHER, 10).await, ["3"]);
    assert_eq!(topics(&catalog, SERVICE, 10).await, [""; 0]);
}

pub async fn a_claim_that_is_not_renewed_ends(store: &impl Store) {
    let catalog = store.open().await;
    let first = MeetingChange { timers: vec![timer(1, "ring", 5)], ..change(1, None) };
    catalog.commit(MeetingCommit { outbox: vec![message("a")], ..commit(first) }).await.unwrap();
    let brief = Claim { lasts: Duration::ZERO, ..claim_of(SERVICE) };
    assert_eq!(catalog.claim_outbox(brief, 10).await.unwrap().len(), 1);
    assert_eq!(catalog.claim_timers(brief, due_at(9, LATE), 10).await.unwrap().len(), 1);
    assert_eq!(topics(&catalog, SERVICE, 10).await, [""; 0], "who renews it has its messages");
    assert_eq!(topics(&catalog, OTHER, 10).await, [""; 0], "it is renewed");
    catalog.claim_outbox(brief, 0).await.unwrap();
    assert_eq!(topics(&catalog, OTHER, 10).await, ["a"]);
    assert_eq!(catalog.claim_timers(claim_of(OTHER), due_at(9, LATE), 10).await.unwrap(), [timer(1, "ring", 5)]);
    assert_eq!(topics(&catalog, SERVICE, 10).await, [""; 0]);
    assert_eq!(due_timers(&catalog, due_at(9, LATE), 10).await, []);
}

pub async fn two_services_share_due_timers_by_meetings(store: &impl Store) {
    let catalog = store.open().await;
    let put = async |meeting, due_ms| {
        let timers = vec![timer(meeting, "ring", due_ms), timer(meeting, "reach", 9)];
        catalog.commit(commit(MeetingChange { timers, ..change(meeting, None) })).await.unwrap();
    };
    put(1, 5).await;
    put(2, 6).await;
    let others = async |limit| catalog.claim_timers(claim_of(OTHER), due_at(7, LATE), limit).await.unwrap();
    assert_eq!(due_timers(&catalog, due_at(7, LATE), 1).await, [timer(1, "ring", 5)]);
    assert_eq!(others(10).await, [timer(2, "ring", 6)]);
    assert_eq!(due_timers(&catalog, due_at(7, LATE), 10).await, [timer(1, "ring", 5)], "as long as it stands");
    assert_eq!(catalog.next_timer(id(SERVICE), 0..0).await.unwrap(), Some(5));
    assert_eq!(catalog.next_timer(id(OTHER), 0..0).await.unwrap(), Some(6));
    assert_eq!(catalog.next_timer(id(3), 0..0).await.unwrap(), None, "for a third there is none");
    catalog.release_claims(id(SERVICE)).await.unwrap();
    assert_eq!(others(10).await, [timer(1, "ring", 5), timer(2, "ring", 6)]);
}

pub async fn outcomes_stay_until_they_are_seen(store: &impl Store) {
    let catalog = store.open().await;
    let missed = |outcomes| MeetingCommit { outcomes, ..Default::default() };
    let first = vec![outcome("ann", 1, 10, "old"), outcome("ann", 2, 20, "{}"), outcome("bob", 1, 30, "{}")];
    catalog.commit(missed(first)).await.unwrap();
    catalog.commit(missed(vec![outcome("ann", 1, 40, "new")])).await.unwrap();
    let of_ann = catalog.outcomes("ann", 10).await.unwrap();
    assert_eq!(of_ann, [outcome("ann", 1, 40, "new"), outcome("ann", 2, 20, "{}")]);
    assert_eq!(catalog.outcomes("ann", 1).await.unwrap().len(), 1);
    let seen = vec![("ann".to_owned(), id(1)), ("ann".to_owned(), id(99))];
    catalog.commit(MeetingCommit { seen, ..Default::default() }).await.unwrap();
    assert_eq!(catalog.outcomes("ann", 10).await.unwrap(), [outcome("ann", 2, 20, "{}")]);
    assert_eq!(catalog.outcomes("bob", 10).await.unwrap().len(), 1);
}

pub async fn outcomes_of_one_user_are_bounded(store: &impl Store) {
    let catalog = store.open().await;
    let kept = u64::from(OUTCOMES_PER_USER_MAX);
    let outcomes = (1..=kept + 3).map(|n| outcome("ann", n.into(), n, "{}")).collect();
    catalog.commit(MeetingCommit { outcomes, ..Default::default() }).await.unwrap();
    let left = catalog.outcomes("ann", u32::MAX).await.unwrap();
    assert_eq!(left.len() as u64, kept);
    assert_eq!((left[0].at_ms, left[left.len() - 1].at_ms), (kept + 3, 4));
}

pub async fn a_meeting_that_is_set_aside_is_found_no_more_and_kept(store: &impl Store) {
    let catalog = store.open().await;
    let first = MeetingChange { timers: vec![timer(1, "ring", 5)], ..engaging(1, None, &["ann"]) };
    catalog.commit(commit(first)).await.unwrap();
    catalog.commit(commit(engaging(2, None, &["bob"]))).await.unwrap();
    catalog.set_meeting_aside(id(1), "a test").await.unwrap();
    assert_eq!(catalog.live_meetings().await.unwrap(), [id(2)]);
    assert_eq!((catalog.meeting(id(1)).await.unwrap(), catalog.meeting_revision(id(1)).await.unwrap()), (None, None));
    assert_eq!(catalog.next_timer(id(SERVICE), 0..0).await.unwrap(), None);
    catalog.commit(commit(engaging(3, None, &["ann"]))).await.unwrap();
    assert_eq!(catalog.commit(commit(change(1, None))).await, Err(CommitError::Conflict), "its id stays taken");
    let late = MeetingChange { timers: vec![timer(1, "ring", 5)], ..engaging(1, Some(1), &["bea"]) };
    assert_eq!(catalog.commit(commit(late)).await, Err(CommitError::Conflict), "it binds nobody anew");
    let answer = MeetingCommit { read: Some(MeetingRead { id: id(1), revision: 1 }), ..Default::default() };
    assert_eq!(catalog.commit(answer).await, Err(CommitError::Conflict));
    assert_eq!(catalog.next_timer(id(SERVICE), 0..0).await.unwrap(), None);
    catalog.prune(u64::MAX / 4).await.unwrap();
    assert_eq!(catalog.set_aside().await.unwrap(), SetAside { meetings: 1, messages: 0 });
}

pub async fn a_message_that_is_set_aside_is_sent_no_more_and_kept(store: &impl Store) {
    let catalog = store.open().await;
    let outbox = ["a", "b"].map(message).into();
    catalog.commit(MeetingCommit { outbox, ..Default::default() }).await.unwrap();
    let first = claimed(&catalog, 1).await[0].id;
    for _ in 0..2 {
        catalog.set_message_aside(first, "a test").await.unwrap();
    }
    assert_eq!(topics(&catalog, SERVICE, 10).await, ["b"]);
    assert_eq!(catalog.set_aside().await.unwrap(), SetAside { meetings: 0, messages: 1 });
}

pub async fn who_enters_or_leaves_a_call_changes_presence_and_who_is_rung_does_not(store: &impl Store) {
    let catalog = store.open().await;
    let mut after = catalog.presence_changes(0, 10).await.unwrap().last;
    let mut changed = async || {
        let changes = catalog.presence_changes(after, 10).await.unwrap();
        after = changes.last;
        changes.users
    };
    let engagements = vec![engagement("ann", 1, EngagementKind::In), engagement("bob", 1, EngagementKind::Rung)];
    catalog.commit(commit(MeetingChange { engaged: engagements, ..change(1, None) })).await.unwrap();
    assert_eq!(changed().await, ["ann"]);
    catalog.commit(commit(engaging(1, Some(1), &["bob"]))).await.unwrap();
    assert_eq!(changed().await, ["bob"]);
    catalog.commit(commit(MeetingChange { freed: names(&["ann"]), ..change(1, Some(2)) })).await.unwrap();
    assert_eq!(changed().await, ["ann"]);
    catalog.commit(commit(ended(1, 3))).await.unwrap();
    assert_eq!(changed().await, ["bob"]);
    catalog.commit(commit(engaging(2, None, &["ann"]))).await.unwrap();
    changed().await;
    catalog.set_meeting_aside(id(2), "a test").await.unwrap();
    assert_eq!(changed().await, ["ann"]);
    assert_eq!(changed().await, [""; 0]);
}

pub async fn what_stands_for_a_user_is_read_together(store: &impl Store) {
    let catalog = with_people(store).await;
    assert_eq!(catalog.user_state("nobody", 10).await.unwrap(), None);
    catalog.put_device(device("GID_test@@@phone", "ann", "DC.1")).await.unwrap();
    let missed = (1..=3).map(|n| outcome("ann", n, n as u64, "{}")).collect();
    let change = MeetingCommit { outcomes: missed, ..commit(engaging(1, None, &["ann", "bob"])) };
    catalog.commit(change).await.unwrap();
    let state = catalog.user_state("ann", 2).await.unwrap().unwrap();
    assert_eq!(state.user, catalog.user("ann").await.unwrap().unwrap());
    assert_eq!(state.devices, catalog.devices_of(&names(&["ann"])).await.unwrap());
    assert_eq!(state.engagements, [engagement("ann", 1, EngagementKind::In)]);
    assert_eq!(state.outcomes, catalog.outcomes("ann", 2).await.unwrap());
    assert_eq!(state.outcomes.len(), 2);
}

pub async fn created_meetings_are_counted_in_a_window(store: &impl Store) {
    let catalog = store.open().await;
    for (user, at_ms) in [("ann", 10), ("ann", 20), ("ann", 20), ("bob", 30)] {
        let created_by = Some((user.to_owned(), at_ms));
        catalog.commit(MeetingCommit { created_by, ..Default::default() }).await.unwrap();
    }
    assert_eq!(catalog.creates_since("ann", 0, LATE).await.unwrap(), 3);
    assert_eq!(catalog.creates_since("ann", 20, LATE).await.unwrap(), 2);
    assert_eq!(catalog.creates_since("ann", 21, LATE).await.unwrap(), 0);
    assert_eq!(catalog.creates_since("ann", 0, 19).await.unwrap(), 1, "the others are of a clock that was ahead");
    catalog.prune(21 + CREATES_KEEP_MS).await.unwrap();
    assert_eq!(catalog.creates_since("ann", 0, LATE).await.unwrap(), 0);
    assert_eq!(catalog.creates_since("bob", 0, LATE).await.unwrap(), 1);
}

pub async fn pruning_forgets_what_is_over_and_nothing_else(store: &impl Store) {
    let catalog = store.open().await;
    let request = |signal, until, meeting| MeetingCommit { handled: handled(signal, until), ..commit(meeting) };
    catalog.commit(request(70, 100, change(1, None))).await.unwrap();
    catalog.commit(request(71, 101, change(2, None))).await.unwrap();
    catalog.commit(commit(ended(2, 1))).await.unwrap();
    assert_eq!(catalog.prune(101).await.unwrap(), 1);
    assert!(!catalog.handled(id(70)).await.unwrap());
    assert!(catalog.handled(id(71)).await.unwrap());
    let forgotten = 101 + ENDED_MEETING_KEEP_MS;
    catalog.prune(forgotten - 1).await.unwrap();
    assert!(catalog.meeting(id(2)).await.unwrap().is_some());
    assert_eq!(catalog.prune(forgotten).await.unwrap(), 1);
    assert_eq!(catalog.meeting(id(2)).await.unwrap(), None);
    assert_eq!(catalog.live_meetings().await.unwrap(), [id(1)]);
}

pub async fn what_lies_ahead_because_a_clock_was_is_of_now_when_that_is_corrected(store: &impl Store) {
    const AHEAD_MS: u64 = 40 * 86_400_000;
    let catalog = store.open().await;
    let outcomes = vec![outcome("ann", 1, AHEAD_MS, "{}"), outcome("ann", 2, 7, "{}")];
    let created_by = Some(("ann".to_owned(), AHEAD_MS));
    catalog.commit(MeetingCommit { outcomes, created_by, ..commit(change(1, None)) }).await.unwrap();
    catalog.commit(commit(ended(1, 1))).await.unwrap();
    catalog.prune(AHEAD_MS).await.unwrap();
    assert_eq!(catalog.pull_in(9).await.unwrap(), 3);
    let times: Vec<u64> = catalog.outcomes("ann", 9).await.unwrap().iter().map(|outcome| outcome.at_ms).collect();
    assert_eq!(times, [9, 7]);
    assert_eq!(catalog.creates_since("ann", 0, LATE).await.unwrap(), 0, "it counts at no time");
    catalog.prune(8 + ENDED_MEETING_KEEP_MS).await.unwrap();
    assert!(catalog.meeting(id(1)).await.unwrap().is_some());
    catalog.prune(9 + ENDED_MEETING_KEEP_MS).await.unwrap();
    assert_eq!(catalog.meeting(id(1)).await.unwrap(), None);
    assert_eq!(catalog.pull_in(9).await.unwrap(), 0);
}

pub async fn pruning_forgets_any_number_of_rows(store: &impl Store) {
    let catalog = store.open().await;
    for signal in 0..1_100_u32 {
        let created_by = Some(("ann".to_owned(), 1));
        catalog
            .commit(MeetingCommit { handled: handled(signal.into(), 5), created_by, ..Default::default() })
            .await
            .unwrap();
    }
    assert_eq!(catalog.prune(6).await.unwrap(), 1_100);
    assert!(!catalog.handled(id(1_099)).await.unwrap());
    assert_eq!(catalog.creates_since("ann", 0, LATE).await.unwrap(), 1_100);
    assert_eq!(catalog.prune(2 + CREATES_KEEP_MS).await.unwrap(), 1_100);
}

pub async fn all_of_a_commit_survives_a_crash(store: &impl Store) {
    let catalog = store.open().await;
    let meeting = MeetingChange { timers: vec![timer(1, "ring", 9)], ..engaging(1, None, &["ann"]) };
    let all = MeetingCommit {
        meeting: Some(meeting),
        handled: handled(70, 1_000),
        outbox: vec![message("a"), message("b")],
        outcomes: vec![outcome("bob", 5, 1, "{}")],
        created_by: Some(("ann".to_owned(), 3)),
        ..MeetingCommit::default()
    };
    catalog.commit(all.clone()).await.unwrap();
    drop(catalog);
    let catalog = store.open().await;
    assert_eq!(catalog.meeting(id(1)).await.unwrap().unwrap().revision, 1);
    assert_eq!(due_timers(&catalog, due_at(9, LATE), 9).await, [timer(1, "ring", 9)]);
    assert_eq!(catalog.engagements_of(&names(&["ann"])).await.unwrap(), [engagement("ann", 1, EngagementKind::In)]);
    assert_eq!(topics(&catalog, 0, 9).await, ["a", "b"]);
    assert_eq!(catalog.outcomes("bob", 9).await.unwrap(), [outcome("bob", 5, 1, "{}")]);
    assert_eq!(catalog.creates_since("ann", 0, LATE).await.unwrap(), 1);
    assert_eq!(catalog.commit(all).await, Err(CommitError::AlreadyHandled));
}
