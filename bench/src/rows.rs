//! Payload of the rows that a server writes to its catalog, counted by triggers that this program puts into it.
//!
//! Counted is the whole row at each INSERT and each UPDATE: text and blobs by their bytes, a number as 8. Indexes,
//! deletes and SQLite's own pages are not.

use anyhow::{Context, Result};
use demo::Stage;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, query_as};
use std::time::Duration;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A catalog whose rows are counted from now on.
pub(crate) struct Rows {
    connection: SqliteConnection,
}

impl Rows {
    /// The triggers cost the server a little: what a run with them says of time and disk is not to be used.
    pub(crate) async fn count(stage: &Stage) -> Result<Self> {
        let options =
            SqliteConnectOptions::new().filename(stage.data().join("catalog.sqlite")).busy_timeout(BUSY_TIMEOUT);
        let mut connection = SqliteConnection::connect_with(&options).await.context("cannot open the catalog")?;
        let tables = tables(&mut connection).await?;
        let mut sql =
            "BEGIN IMMEDIATE; CREATE TABLE bench_rows (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL);".to_owned();
        for table in tables {
            let size = row_size(&mut connection, &table).await?;
            sql.push_str(&format!("INSERT INTO bench_rows (name, bytes) VALUES ('{table}', 0);"));
            for event in ["INSERT", "UPDATE"] {
                sql.push_str(&format!(
                    "CREATE TRIGGER bench_{event}_{table} AFTER {event} ON {table} BEGIN \
                     UPDATE bench_rows SET bytes = bytes + {size} WHERE name = '{table}'; END;"
                ));
            }
        }
        sql.push_str("COMMIT;");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.context("cannot count the catalog's rows")?;
        Ok(Self { connection })
    }

    /// Bytes by table, the largest first.
    pub(crate) async fn bytes(&mut self) -> Result<Vec<(String, u64)>> {
        let rows = query_as("SELECT name, bytes FROM bench_rows WHERE bytes > 0 ORDER BY bytes DESC");
        let rows: Vec<(String, i64)> = rows.fetch_all(&mut self.connection).await?;
        Ok(rows.into_iter().map(|(table, bytes)| (table, bytes.unsigned_abs())).collect())
    }
}

async fn tables(connection: &mut SqliteConnection) -> Result<Vec<String>> {
    let rows: Vec<(String,)> =
        query_as("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// An expression for the bytes of the new row.
async fn row_size(connection: &mut SqliteConnection, table: &str) -> Result<String> {
    let columns = query_as("SELECT name FROM pragma_table_info($1)").bind(table).fetch_all(connection).await?;
    let sizes = columns.into_iter().map(|(name,): (String,)| {
        format!(
            "CASE typeof(NEW.{name}) WHEN 'null' THEN 0 WHEN 'text' THEN length(CAST(NEW.{name} AS BLOB)) \
             WHEN 'blob' THEN length(NEW.{name}) ELSE 8 END"
        )
    });
    Ok(sizes.collect::<Vec<_>>().join(" + "))
}
