//! The list of meetings, and what the log tells of them.

use super::{Store, change, commit, id};
use crate::{
    Actor, ActorLost, Audit, AuditEntry, AuditPage, By, Catalog, CommitError, Engagement, EngagementKind, Kind,
    MeetingChange, MeetingCommit, MeetingPlace, MeetingState, Meetings, MeetingsPage, PastCallRow,
};
use serde_json::json;
use uuid::Uuid;

fn created(meeting: u128, created_at_ms: u64) -> MeetingChange {
    MeetingChange { created_at_ms, ..change(meeting, None) }
}

fn place(created_at_ms: u64, meeting: u128) -> Option<MeetingPlace> {
    Some(MeetingPlace { created_at_ms, id: id(meeting) })
}

async fn listed(catalog: &impl Catalog, page: MeetingsPage) -> Vec<Uuid> {
    catalog.meetings(page).await.unwrap().into_iter().map(|head| head.id).collect()
}

pub async fn meetings_are_listed_those_that_were_created_last_first(store: &impl Store) {
    let catalog = store.open().await;
    for (meeting, at_ms) in [(1, 50), (2, 70), (3, 50), (4, 60)] {
        catalog.commit(commit(created(meeting, at_ms))).await.unwrap();
    }
    // Over for those who were in it, while its channel is being closed.
    let over = MeetingChange { ended_at_ms: Some(90), ..change(2, Some(1)) };
    catalog.commit(commit(over)).await.unwrap();
    let page = |state, before| MeetingsPage { state, before, limit: 3, ..MeetingsPage::default() };
    assert_eq!(listed(&catalog, page(None, None)).await, [2, 4, 3].map(id));
    assert_eq!(listed(&catalog, page(None, place(50, 3))).await, [id(1)]);
    assert_eq!(listed(&catalog, page(Some(MeetingState::Live), None)).await, [4, 3, 1].map(id));
    assert_eq!(listed(&catalog, page(Some(MeetingState::Live), place(60, 4))).await, [3, 1].map(id));
    assert_eq!(listed(&catalog, page(Some(MeetingState::Ended), None)).await, [id(2)]);
    let head = catalog.meetings(page(Some(MeetingState::Ended), None)).await.unwrap().remove(0);
    assert_eq!((head.revision, head.created_at_ms, head.ended_at_ms), (2, 70, Some(90)));
    assert_eq!((head.document.as_str(), head.inside, head.rung), ("{\"after\":1}", 0, 0));
    catalog.set_meeting_aside(id(4), "broken").await.unwrap();
    assert_eq!(listed(&catalog, page(None, None)).await, [2, 3, 1].map(id));
}

pub async fn a_list_has_the_meetings_of_one_user_and_says_how_many_are_in(store: &impl Store) {
    let catalog = store.open().await;
    let engaged = |meeting: u128, user: &str, kind| Engagement { user: user.to_owned(), meeting: id(meeting), kind };
    let kinds = [EngagementKind::In, EngagementKind::Rung, EngagementKind::Left];
    let users = ["ann", "bob", "cleo"].into_iter().zip(kinds).map(|(user, kind)| engaged(1, user, kind));
    catalog.commit(commit(MeetingChange { engaged: users.collect(), ..created(1, 10) })).await.unwrap();
    let past_call = PastCallRow {
        user: "bob".to_owned(),
        meeting: id(2),
        started_at_ms: 20,
        duration_ms: None,
        document: "{}".to_owned(),
    };
    let over = MeetingChange { ended: true, ended_at_ms: Some(21), ..created(2, 20) };
    catalog.commit(MeetingCommit { past_calls: vec![past_call], ..commit(over) }).await.unwrap();
    let of = |user: &str| MeetingsPage { user: Some(user.to_owned()), limit: 9, ..MeetingsPage::default() };
    assert_eq!(listed(&catalog, of("bob")).await, [2, 1].map(id));
    assert_eq!(listed(&catalog, of("cleo")).await, [id(1)]);
    assert!(listed(&catalog, of("dan")).await.is_empty());
    let live = MeetingsPage { state: Some(MeetingState::Live), ..of("bob") };
    let head = catalog.meetings(live).await.unwrap().remove(0);
    assert_eq!((head.id, head.inside, head.rung), (id(1), 1, 1));
}

pub async fn a_decision_is_in_the_log_with_the_change_that_it_made_or_not_at_all(store: &impl Store) {
    let catalog = store.open().await;
    catalog.commit(commit(created(1, 10))).await.unwrap();
    let numbers = catalog.change_number();
    let by = By { actor: Actor::Owner, address: Some("192.0.2.7".to_owned()), at_ms: 30, right_as_of: None };
    let entry = AuditEntry {
        by,
        action: "kick".to_owned(),
        kind: Kind::Meeting,
        subject: id(1).to_string(),
        before: Some(json!({ "user": "ann" })),
        after: None,
    };
    let kick = |expected| MeetingCommit { audit: Some(entry.clone()), ..commit(change(1, Some(expected))) };
    let by = By { actor: Actor::Key("nobody's".to_owned()), ..entry.by.clone() };
    let lost = MeetingCommit { audit: Some(AuditEntry { by, ..entry.clone() }), ..kick(1) };
    assert_eq!(catalog.commit(lost).await, Err(CommitError::Actor(ActorLost::Gone)));
    assert_eq!(catalog.commit(kick(7)).await, Err(CommitError::Conflict));
    let log = async || catalog.audit(AuditPage { limit: 9, ..AuditPage::default() }).await.unwrap();
    assert!(log().await.is_empty());
    catalog.commit(kick(1)).await.unwrap();
    let rows = log().await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.number, row.at_ms, row.actor.as_str()), (1, 30, "owner"));
    assert_eq!((row.action.as_str(), row.kind, &row.subject), ("kick", Kind::Meeting, &entry.subject));
    assert_eq!((&row.before, &row.after, row.address.as_deref()), (&entry.before, &None, Some("192.0.2.7")));
    assert_eq!(*numbers.borrow(), 1);
    let feed = catalog.changes(0, 9).await.unwrap();
    assert!(feed.len() == 1 && feed[0].subject == entry.subject && feed[0].cuts.is_empty(), "{feed:?}");
}
