//! The schema and its versions: embedded scripts, each applied in one transaction together with its number.

use super::open::{OpenCause, OpenError};
use sqlx::{Connection, SqliteConnection, query, query_scalar, raw_sql};

/// In order; the version of a schema is how many were applied. A script that was released never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_access_online_meetings.sql"),
    include_str!("../../migrations/sqlite/0002_kinds_of_engagement.sql"),
    include_str!("../../migrations/sqlite/0003_parts_of_meetings.sql"),
    include_str!("../../migrations/sqlite/0004_set_aside_and_presence_changes.sql"),
    include_str!("../../migrations/sqlite/0005_removed_devices.sql"),
    include_str!("../../migrations/sqlite/0006_past_calls.sql"),
    include_str!("../../migrations/sqlite/0007_owners_changes.sql"),
    include_str!("../../migrations/sqlite/0008_indices_of_lists.sql"),
    include_str!("../../migrations/sqlite/0009_seeds.sql"),
    include_str!("../../migrations/sqlite/0010_list_of_meetings.sql"),
    include_str!("../../migrations/sqlite/0011_revoked_tokens.sql"),
    include_str!("../../migrations/sqlite/0012_seeds_of_owners.sql"),
    include_str!("../../migrations/sqlite/0013_meetings_of_old_keys.sql"),
    include_str!("../../migrations/sqlite/0014_kept_answers.sql"),
    include_str!("../../migrations/sqlite/0015_grants_of_users_and_keys.sql"),
    include_str!("../../migrations/sqlite/0016_kept_of_topics.sql"),
    include_str!("../../migrations/sqlite/0017_lanes_of_the_outbox.sql"),
    include_str!("../../migrations/sqlite/0018_consumer_groups_of_keys.sql"),
];

/// The schema that this program reads and writes.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS catalog_schema (version INTEGER PRIMARY KEY) STRICT";

pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), OpenError> {
    raw_sql(VERSIONS).execute(&mut *conn).await?;
    let found = version(conn).await?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::from(OpenCause::Newer { found }));
    }
    for (number, script) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        apply(conn, number, script).await?;
    }
    Ok(())
}

async fn version(conn: &mut SqliteConnection) -> Result<u32, OpenError> {
    Ok(query_scalar("SELECT COALESCE(MAX(version), 0) FROM catalog_schema").fetch_one(conn).await?)
}

async fn apply(conn: &mut SqliteConnection, number: u32, script: &'static str) -> Result<(), OpenError> {
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    if version(&mut tx).await? >= number {
        return Ok(());
    }
    raw_sql(script).execute(&mut *tx).await?;
    query("INSERT INTO catalog_schema (version) VALUES ($1)").bind(number).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
