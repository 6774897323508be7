//! The SQLite file: its permissions, files that are refused, damage, migrations.

use crate::Place;
use catalog::contract::Store;
use catalog::limits::CONNECTIONS_REMEMBERED_MAX;
use catalog::{
    Accounts, Catalog, CatalogError, Claim, CommitError, Engagement, EngagementKind, Group, Health, MeetingChange,
    MeetingCommit, Meetings, NewOutboxRow, OnlineEvent, OnlineKind, Presence, SCHEMA_VERSION, SqliteCatalog, Topics,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, query, query_scalar, raw_sql};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;
use uuid::Uuid;

async fn raw(place: &Place) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(place.file())).await.unwrap()
}

async fn refusal(place: &Place) -> String {
    SqliteCatalog::open(place.file()).await.unwrap_err().to_string()
}

fn group(name: &str) -> Group {
    Group { group: name.to_owned() }
}

#[tokio::test]
async fn only_the_owner_may_read_the_file_and_its_side_files() {
    let place = Place::new();
    let catalog = place.open().await;
    catalog.put_group(group("GID_test")).await.unwrap();
    let files: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.len() >= 2, "the file and its write-ahead log");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn the_writer_keeps_a_write_ahead_log_and_syncs_each_commit() {
    let place = Place::new();
    let catalog = place.open().await;
    let [journal, synchronous] = catalog.durability().await.unwrap();
    assert_eq!((journal.as_str(), synchronous.as_str()), ("wal", "2"));
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused_and_left_alone() {
    let place = Place::new();
    place.open().await.close().await;
    let mut raw = raw(&place).await;
    query("INSERT INTO catalog_schema (version) VALUES ($1)").bind(SCHEMA_VERSION + 1).execute(&mut raw).await.unwrap();
    let words = refusal(&place).await;
    let expected = format!("version {}, this program knows up to {SCHEMA_VERSION}", SCHEMA_VERSION + 1);
    assert!(words.contains(&expected) && words.contains("catalog.db"), "{words}");
    let versions: u32 = query_scalar("SELECT COUNT(*) FROM catalog_schema").fetch_one(&mut raw).await.unwrap();
    assert_eq!(versions, SCHEMA_VERSION + 1);
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused_by_name() {
    let place = Place::new();
    fs::write(place.file(), "not a database, but long enough to look at: ".repeat(50)).unwrap();
    let words = refusal(&place).await;
    assert!(words.contains("catalog.db") && words.contains("no SQLite file"), "{words}");
}

#[tokio::test]
async fn a_missing_folder_is_named_with_its_remedy() {
    let place = Place::new();
    let error = SqliteCatalog::open(place.folder.path().join("nowhere/catalog.db")).await.unwrap_err();
    let words = error.to_string();
    assert!(words.contains("nowhere/catalog.db") && words.contains("make the folder"), "{words}");
}

#[tokio::test]
async fn after_damage_every_call_fails_and_the_program_is_told() {
    let place = Place::new();
    let catalog = place.open().await;
    catalog.put_group(group("GID_test")).await.unwrap();
    catalog.close().await;
    let catalog = place.open().await;
    let health = catalog.health();
    overwrite_all_but_the_first_page(&place);
    assert_eq!(*health.borrow(), Health::Serves);
    assert!(matches!(catalog.put_group(group("GID_more")).await, Err(CatalogError::Unavailable(_))));
    let words = health.borrow().failure().unwrap().to_owned();
    assert!(words.contains("malformed") && words.contains("restore it from a backup"), "{words}");
    assert!(matches!(catalog.access().await, Err(CatalogError::Unavailable(_))));
    assert!(matches!(catalog.user("ann").await, Err(CatalogError::Unavailable(_))));
    assert!(matches!(catalog.prune(1).await, Err(CatalogError::Unavailable(_))));
}

#[tokio::test]
async fn a_damaged_file_is_refused_at_the_start_with_its_remedy() {
    let place = Place::new();
    place.open().await.close().await;
    overwrite_all_but_the_first_page(&place);
    let words = refusal(&place).await;
    let expected = ["catalog.db", "it is damaged", "malformed", "restore it from a backup"];
    assert!(expected.iter().all(|part| words.contains(part)), "{words}");
}

fn overwrite_all_but_the_first_page(place: &Place) {
    let file = OpenOptions::new().write(true).open(place.file()).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 8192);
    file.write_all_at(&vec![0xA5; (length - 4096) as usize], 4096).unwrap();
}

#[tokio::test]
async fn a_broken_rule_does_not_end_the_use_of_the_file() {
    let place = Place::new();
    let catalog = place.open().await;
    let stray = catalog::Grant::to_publish("GID_none", "none");
    assert!(catalog.put_grant(stray).await.is_err());
    assert_eq!(*catalog.health().borrow(), Health::Serves);
    catalog.put_group(group("GID_test")).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_half_way_leaves_the_writer_usable() {
    let place = Place::new();
    let catalog = place.open().await;
    for _ in 0..50 {
        tokio::select! {
            biased;
            _ = catalog.put_group(group("GID_dropped")) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    catalog.put_group(group("GID_test")).await.unwrap();
    assert!(catalog.access().await.unwrap().groups.contains(&group("GID_test")));
    assert_eq!(*catalog.health().borrow(), Health::Serves);
}

#[tokio::test]
async fn what_is_remembered_of_one_clients_connections_is_bounded() {
    let place = Place::new();
    let catalog = place.open().await;
    for n in 0..u64::from(CONNECTIONS_REMEMBERED_MAX) + 5 {
        let kind = if n % 2 == 0 { OnlineKind::TcpClean } else { OnlineKind::Connect };
        let event = OnlineEvent { client_id: "GID_test@@@a".to_owned(), channel_id: n.to_string(), kind, at_ms: n };
        catalog.online_events(&[event]).await.unwrap();
    }
    let kept: u32 = query_scalar("SELECT COUNT(*) FROM connections").fetch_one(&mut raw(&place).await).await.unwrap();
    assert_eq!(kept, CONNECTIONS_REMEMBERED_MAX);
}

#[tokio::test]
async fn what_the_first_schema_kept_is_there_after_the_migration() {
    let place = Place::new();
    let options = SqliteConnectOptions::new().filename(place.file()).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let first = include_str!("../../migrations/sqlite/0001_access_online_meetings.sql");
    let rows = format!(
        "CREATE TABLE catalog_schema (version INTEGER PRIMARY KEY) STRICT; INSERT INTO catalog_schema VALUES (1); {first}
         INSERT INTO meetings (id, revision, document, ended) VALUES ('{0}', 7, '{{\"whole\":1}}', 0);
         INSERT INTO timers VALUES ('{0}', 'ring', 5);
         INSERT INTO engagements VALUES ('{0}', 'ann', 1), ('{0}', 'bob', 0);",
        id(1)
    );
    raw_sql(AssertSqlSafe(rows)).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let catalog = place.open().await;
    let row = catalog.meeting(id(1)).await.unwrap().unwrap();
    assert_eq!((row.revision, row.document.as_str(), row.parts.len(), row.ended), (7, "{\"whole\":1}", 0, false));
    assert_eq!(catalog.next_timer(Uuid::nil(), 0..0).await.unwrap(), Some(5));
    let engagements = catalog.engagements_of(&["ann".to_owned(), "bob".to_owned()]).await.unwrap();
    assert_eq!(
        engagements.iter().map(|engagement| engagement.kind).collect::<Vec<_>>(),
        [EngagementKind::In, EngagementKind::Rung]
    );
    let engaged = vec![Engagement { user: "ann".to_owned(), meeting: id(2), kind: EngagementKind::In }];
    let rival = MeetingChange { id: id(2), engaged, ..MeetingChange::default() };
    let refused = catalog.commit(MeetingCommit { meeting: Some(rival), ..MeetingCommit::default() }).await;
    assert!(matches!(refused, Err(CommitError::Engaged { meeting, .. }) if meeting == id(1)), "{refused:?}");
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[tokio::test]
async fn a_message_whose_row_cannot_be_read_says_so_and_hides_no_other() {
    let place = Place::new();
    let catalog = place.open().await;
    let message = NewOutboxRow { lane: String::new(), topic: "t".to_owned(), properties: Vec::new(), body: Vec::new() };
    let outbox = vec![message.clone(), message.clone()];
    catalog.commit(MeetingCommit { outbox, ..MeetingCommit::default() }).await.unwrap();
    query("UPDATE outbox SET properties = 'none' WHERE id = 1").execute(&mut raw(&place).await).await.unwrap();
    let claim = Claim { by: Uuid::nil(), lasts: Duration::from_secs(9) };
    let rows = catalog.claim_outbox(claim, 10).await.unwrap();
    assert!(rows[0].message.is_err() && rows[1].message == Ok(message));
}
