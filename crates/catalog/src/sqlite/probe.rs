//! A test write, which finds out whether the file takes writes.

use super::fault::Fault;
use sqlx::{SqliteConnection, query};

/// No request has this id.
const ROW: &str = "probe";

/// Inserts and deletes a row in one transaction: the commit writes its pages to the write-ahead log all the same.
pub(super) async fn write(conn: &mut SqliteConnection) -> Result<(), Fault> {
    query("INSERT INTO handled (signal, keep_until_ms) VALUES ($1, 0)").bind(ROW).execute(&mut *conn).await?;
    query("DELETE FROM handled WHERE signal = $1").bind(ROW).execute(conn).await?;
    Ok(())
}
