//! Files that older versions left behind: migrated, they have the tables of a new file and all their rows.

use crate::Place;
use catalog::contract::Store;
use catalog::{Accounts, Catalog, Claim, EngagementKind, Kind, Meetings, Origin, SCHEMA_VERSION, Seeds, SqliteCatalog};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection, query, query_as, query_scalar, raw_sql};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use uuid::Uuid;

const ARCHIVES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data-directories");

fn archives() -> Vec<PathBuf> {
    let files = fs::read_dir(ARCHIVES).unwrap().map(|entry| entry.unwrap().path());
    let archives: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "gz")).collect();
    assert!(archives.len() >= 2, "{ARCHIVES} lacks archives");
    archives
}

/// The catalog of the archive, with its write-ahead log.
fn unpacked(archive: &Path, place: &Place) -> PathBuf {
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(place.folder.path()).args(["--wildcards", "server/catalog.sqlite*"]);
    assert!(tar.status().unwrap().success());
    place.folder.path().join("server/catalog.sqlite")
}

async fn raw(file: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
}

/// What makes the tables and indices, by name.
async fn schema(file: &Path) -> Vec<(String, Option<String>)> {
    let sql = "SELECT name, sql FROM sqlite_master ORDER BY name";
    query_as(sql).fetch_all(&mut raw(file).await).await.unwrap()
}

#[tokio::test]
async fn an_old_file_gets_the_tables_of_a_new_one_and_keeps_its_rows() {
    let new = Place::new();
    new.open().await.close().await;
    let mut versions = Vec::new();
    for archive in archives() {
        let place = Place::new();
        let file = unpacked(&archive, &place);
        let version: u32 =
            query_scalar("SELECT MAX(version) FROM catalog_schema").fetch_one(&mut raw(&file).await).await.unwrap();
        versions.push(version);
        let catalog = SqliteCatalog::open(&file).await.unwrap();
        let users: Vec<String> = catalog
            .users(None, 10)
            .await
            .unwrap()
            .into_iter()
            .map(|user| format!("{} {}", user.user, user.name))
            .collect();
        assert_eq!(users, ["alice Alice", "bob Bob", "carol Carol", "dora Dora"], "{archive:?}");
        let engagements = catalog.engagements_of(&["alice".to_owned(), "carol".to_owned()]).await.unwrap();
        let mut kinds: Vec<_> = engagements.into_iter().map(|engagement| (engagement.user, engagement.kind)).collect();
        kinds.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(
            kinds,
            [("alice".to_owned(), EngagementKind::In), ("carol".to_owned(), EngagementKind::Rung)],
            "{archive:?}"
        );
        catalog.close().await;
        assert_eq!(schema(&file).await, schema(&new.file()).await, "{archive:?}");
    }
    assert!(versions.contains(&1) && versions.iter().all(|version| *version <= SCHEMA_VERSION), "{versions:?}");
}

const BEFORE_TIMES_OF_MEETINGS: [&str; 9] = [
    include_str!("../../migrations/sqlite/0001_access_online_meetings.sql"),
    include_str!("../../migrations/sqlite/0002_kinds_of_engagement.sql"),
    include_str!("../../migrations/sqlite/0003_parts_of_meetings.sql"),
    include_str!("../../migrations/sqlite/0004_set_aside_and_presence_changes.sql"),
    include_str!("../../migrations/sqlite/0005_removed_devices.sql"),
    include_str!("../../migrations/sqlite/0006_past_calls.sql"),
    include_str!("../../migrations/sqlite/0007_owners_changes.sql"),
    include_str!("../../migrations/sqlite/0008_indices_of_lists.sql"),
    include_str!("../../migrations/sqlite/0009_seeds.sql"),
];

/// A file as the version of these scripts has left it, with what this adds.
async fn file_of(scripts: &[&'static str], rows: &'static str, place: &Place) -> PathBuf {
    let file = place.file();
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    raw_sql("CREATE TABLE catalog_schema (version INTEGER PRIMARY KEY) STRICT").execute(&mut conn).await.unwrap();
    for (number, script) in (1_u32..).zip(scripts) {
        raw_sql(*script).execute(&mut conn).await.unwrap();
        query("INSERT INTO catalog_schema (version) VALUES ($1)").bind(number).execute(&mut conn).await.unwrap();
    }
    raw_sql(rows).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    file
}

/// The first 48 bits of the id are milliseconds since 1970 (RFC 9562 section 5.7).
#[tokio::test]
async fn meetings_of_older_versions_have_the_times_of_their_ids_and_documents() {
    const ROWS: &str = r#"INSERT INTO meetings (id, revision, document, ended) VALUES
        ('01890a5d-ac96-774b-bcce-b302099a8057', 1, '{"end":null}', 0),
        ('ffffffff-ffff-7000-8000-000000000000', 2, '{"end":{"reason":"left","at_ms":1688000000123}}', 1),
        ('00000000-0001-7000-8000-000000000000', 3, '{"end":{"reason":"left","at_ms":7}}', 0),
        ('00000000-000f-7000-8000-000000000000', 4, 'no document', 1)"#;
    let place = Place::new();
    let file = file_of(&BEFORE_TIMES_OF_MEETINGS, ROWS, &place).await;
    SqliteCatalog::open(&file).await.unwrap().close().await;
    let sql = "SELECT revision, created_at_ms, ended_at_ms FROM meetings ORDER BY revision";
    let rows: Vec<(i64, i64, Option<i64>)> = query_as(sql).fetch_all(&mut raw(&file).await).await.unwrap();
    let expected = [
        (1, 0x0189_0a5d_ac96, None),
        (2, 0xffff_ffff_ffff, Some(1_688_000_000_123)),
        (3, 1, Some(7)),
        (4, 15, Some(15)),
    ];
    assert_eq!(rows, expected);
}

/// The log of changes tells which of the names that were seeded an owner has given again.
#[tokio::test]
async fn what_an_owner_had_made_anew_before_that_was_remembered_is_the_owners() {
    const ROWS: &str =
        "INSERT INTO seeds (kind, subject, origin) VALUES ('user', 'alice', 'dev'), ('user', 'bob', 'dev');
        INSERT INTO users (user_id, name) VALUES ('alice', 'Alice'), ('bob', 'Bob');
        INSERT INTO audit (number, at_ms, actor, action, kind, subject)
        VALUES (1, 1, 'owner', 'remove', 'user', 'alice'), (2, 2, 'owner', 'create', 'user', 'alice'),
               (3, 3, 'owner', 'update', 'user', 'bob')";
    let place = Place::new();
    let catalog = SqliteCatalog::open(file_of(&BEFORE_TIMES_OF_MEETINGS, ROWS, &place).await).await.unwrap();
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), [(Kind::User, "bob".to_owned())]);
}

#[tokio::test]
async fn a_key_from_before_there_were_acts_in_meetings_opens_none_unless_an_owner_has_said_so() {
    const OLD: &str = "INSERT INTO access_keys (key_id, secret, instance) VALUES ('old', 'secret', 'convoke')";
    const NEW: &str = "INSERT INTO keys (key_id, kind, instance, scopes, note, created_at_ms, disabled, changed) VALUES
        ('old', 'access', 'convoke', 'topics groups devices meetings channels stamps', '', 0, 0, 0),
        ('changed', 'access', 'convoke', 'topics groups devices meetings channels stamps', '', 0, 0, 5),
        ('new', 'access', 'convoke', 'topics groups devices meetings channels stamps', '', 9, 0, 0),
        ('owner', 'api', '', 'admin', '', 0, 0, 0)";
    let without = "topics groups devices channels stamps";
    let with = "topics groups devices meetings channels stamps";
    for (scripts, rows, expected) in [
        (&BEFORE_TIMES_OF_MEETINGS[..6], OLD, vec![("old", without)]),
        (
            &BEFORE_TIMES_OF_MEETINGS[..],
            NEW,
            vec![("changed", with), ("new", with), ("old", without), ("owner", "admin")],
        ),
    ] {
        let place = Place::new();
        let file = file_of(scripts, rows, &place).await;
        SqliteCatalog::open(&file).await.unwrap().close().await;
        let sql = "SELECT key_id, scopes FROM keys ORDER BY key_id";
        let found: Vec<(String, String)> = query_as(sql).fetch_all(&mut raw(&file).await).await.unwrap();
        assert_eq!(
            found,
            expected.iter().map(|(key, scopes)| ((*key).to_owned(), (*scopes).to_owned())).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn messages_that_wait_in_an_old_outbox_are_in_the_lane_of_their_receiver_and_topic() {
    const ROWS: &str = r#"INSERT INTO outbox (topic, properties, body) VALUES
        ('down', '[["__qos","1"],["receiver","GID@@@\"a\""],["expiresAtMs","9"]]', x'07'),
        ('down', '[]', x''), ('down', 'none', x'')"#;
    let place = Place::new();
    let catalog = SqliteCatalog::open(file_of(&BEFORE_TIMES_OF_MEETINGS, ROWS, &place).await).await.unwrap();
    let claim = Claim { by: Uuid::nil(), lasts: Duration::from_secs(9) };
    let rows = catalog.claim_outbox(claim, 10).await.unwrap();
    let lanes: Vec<_> = rows.iter().map(|row| (row.lane.as_str(), row.message.is_ok())).collect();
    assert_eq!(lanes, [("down GID@@@\"a\"", true), ("", true), ("", false)]);
}
