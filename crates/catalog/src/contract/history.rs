//! Calls that are over, as each user finds them.

use super::{Store, id};
use crate::limits::PAST_CALL_KEEP_MS;
use crate::{Catalog, MeetingCommit, Meetings, PastCallPlace, PastCallRow};

fn past(user: &str, meeting: u128, started_at_ms: u64, duration_ms: Option<u64>, document: &str) -> PastCallRow {
    PastCallRow {
        user: user.to_owned(),
        meeting: id(meeting),
        started_at_ms,
        duration_ms,
        document: document.to_owned(),
    }
}

async fn put_past(catalog: &impl Catalog, past_calls: Vec<PastCallRow>) {
    catalog.commit(MeetingCommit { past_calls, ..Default::default() }).await.unwrap();
}

pub async fn past_calls_are_read_page_by_page_those_that_started_last_first(store: &impl Store) {
    let catalog = store.open().await;
    let started = [(1, 10), (2, 30), (3, 20), (4, 30)];
    let calls: Vec<PastCallRow> = started.iter().map(|(n, at)| past("ann", *n, *at, None, "{}")).collect();
    put_past(&catalog, calls).await;
    put_past(&catalog, vec![past("bob", 1, 10, Some(5), "of bob")]).await;
    let page = async |before: Option<&PastCallRow>, limit| {
        let place = before.map(|row| PastCallPlace { started_at_ms: row.started_at_ms, meeting: row.meeting });
        catalog.past_calls("ann", place, limit).await.unwrap()
    };
    let first = page(None, 2).await;
    assert_eq!(first.iter().map(|row| row.meeting).collect::<Vec<_>>(), [id(4), id(2)]);
    put_past(&catalog, vec![past("ann", 5, 40, None, "{}")]).await;
    let second = page(first.last(), 5).await;
    assert_eq!(second.iter().map(|row| row.meeting).collect::<Vec<_>>(), [id(3), id(1)], "newer ones move nothing");
    assert_eq!(page(second.last(), 5).await, []);
    assert_eq!(catalog.past_calls("bob", None, 9).await.unwrap(), [past("bob", 1, 10, Some(5), "of bob")]);
}

pub async fn entries_of_one_user_and_meeting_are_one_past_call(store: &impl Store) {
    let catalog = store.open().await;
    let entries = [
        (past("ann", 1, 10, None, "missed"), past("ann", 1, 10, None, "missed")),
        (past("ann", 1, 20, None, "declined"), past("ann", 1, 10, None, "declined")),
        (past("ann", 1, 30, Some(7), "answered"), past("ann", 1, 10, Some(7), "answered")),
        (past("ann", 1, 40, None, "missed"), past("ann", 1, 10, Some(7), "answered")),
        (past("ann", 1, 50, Some(0), "back"), past("ann", 1, 10, Some(7), "back")),
        (past("ann", 1, 60, Some(5), "again"), past("ann", 1, 10, Some(12), "again")),
    ];
    for (entry, expected) in entries {
        put_past(&catalog, vec![entry]).await;
        assert_eq!(catalog.past_calls("ann", None, 9).await.unwrap(), [expected]);
    }
}

pub async fn past_calls_are_forgotten_after_their_time(store: &impl Store) {
    let catalog = store.open().await;
    let calls = (0..1_100_u128).map(|n| past("ann", n, 10, None, "{}")).chain([past("ann", 2_000, 11, None, "{}")]);
    put_past(&catalog, calls.collect()).await;
    assert_eq!(catalog.prune(10 + PAST_CALL_KEEP_MS).await.unwrap(), 0);
    assert_eq!(catalog.prune(11 + PAST_CALL_KEEP_MS).await.unwrap(), 1_100);
    assert_eq!(catalog.past_calls("ann", None, 9).await.unwrap().len(), 1);
}
