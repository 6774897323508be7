//! Files that older versions left behind: migrated, they have the tables of a new file and all their rows.

use crate::Place;
use catalog::contract::Store;
use catalog::{Accounts, EngagementKind, Meetings, SCHEMA_VERSION, SqliteCatalog};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection, query_as, query_scalar};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
