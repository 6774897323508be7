//! Answers that are kept with the changes that they tell of.

use super::SqliteCatalog;
use super::audit;
use super::fault::Fault;
use super::rows::{to_i64, to_u64};
use crate::limits::{ANSWER_KEEP_MS, ANSWERS_PER_CALLER_MAX};
use crate::{Answer, AnswerKey, Answers, Applied, ApplyError, CatalogError, CatalogFuture, Order};
use sqlx::{SqliteConnection, query, query_as, query_scalar};

impl Answers for SqliteCatalog {
    fn apply_and_keep(&self, order: Order, answer: Answer) -> CatalogFuture<'_, Applied, ApplyError> {
        Box::pin(self.change(order, Some(answer)))
    }

    fn answer(&self, to: &AnswerKey, now_ms: u64) -> CatalogFuture<'_, Option<Answer>> {
        let to = to.clone();
        read!(self, conn => async move { Ok::<_, Fault>(find(conn, to).await?.filter(|answer| answer.is_kept_at(now_ms))) })
    }
}

async fn find(conn: &mut SqliteConnection, to: AnswerKey) -> Result<Option<Answer>, Fault> {
    let sql = "SELECT request, status, sealed, created_at_ms FROM answers WHERE caller = $1 AND idempotency_key = $2";
    let row: Option<(Vec<u8>, i64, Vec<u8>, i64)> =
        query_as(sql).bind(&to.caller).bind(&to.idempotency_key).fetch_optional(conn).await?;
    let Some((request, status, sealed, created_at)) = row else { return Ok(None) };
    let status = u16::try_from(status).map_err(|_| CatalogError::Damaged(format!("{status} is no status of HTTP")))?;
    Ok(Some(Answer { to, request, status, sealed, created_at_ms: to_u64(created_at)? }))
}

/// Before the change: if there is an answer, nothing is done.
pub(super) async fn keep(conn: &mut SqliteConnection, answer: &Answer) -> Result<(), Fault<ApplyError>> {
    let Answer { to: AnswerKey { caller, idempotency_key }, request, status, sealed, created_at_ms } = answer;
    query("DELETE FROM answers WHERE caller = $1 AND idempotency_key = $2 AND created_at_ms < $3")
        .bind(caller)
        .bind(idempotency_key)
        .bind(to_i64(created_at_ms.saturating_sub(ANSWER_KEEP_MS))?)
        .execute(&mut *conn)
        .await?;
    let place: i64 = query_scalar("SELECT COALESCE(MAX(place), 0) + 1 FROM answers WHERE caller = $1")
        .bind(caller)
        .fetch_one(&mut *conn)
        .await?;
    let kept = query(
        "INSERT INTO answers (caller, idempotency_key, place, request, status, sealed, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (caller, idempotency_key) DO NOTHING",
    )
    .bind(caller)
    .bind(idempotency_key)
    .bind(place)
    .bind(request)
    .bind(i64::from(*status))
    .bind(sealed)
    .bind(to_i64(*created_at_ms)?)
    .execute(&mut *conn)
    .await?;
    if kept.rows_affected() == 0 {
        return Err(Fault::Rule(ApplyError::Answered));
    }
    query("DELETE FROM answers WHERE caller = $1 AND place <= $2")
        .bind(caller)
        .bind(place - i64::from(ANSWERS_PER_CALLER_MAX))
        .execute(conn)
        .await?;
    Ok(())
}

/// A later key of the same name is another caller.
pub(super) async fn forget(conn: &mut SqliteConnection, caller: &str) -> Result<(), Fault<ApplyError>> {
    query("DELETE FROM answers WHERE caller = $1").bind(caller).execute(conn).await?;
    Ok(())
}

impl SqliteCatalog {
    /// Makes the change, with the answer to it if there is one to keep, and tells of it.
    pub(super) async fn change(&self, order: Order, answer: Option<Answer>) -> Result<Applied, ApplyError> {
        let mut tx = self.begin().await?;
        let done = async {
            if let Some(answer) = &answer {
                keep(&mut tx, answer).await?;
            }
            audit::apply(&mut tx, &order).await
        };
        let done = done.await;
        let finished = self.finish(tx, done).await;
        match &finished {
            Ok(applied) => {
                self.publish(applied.access_revision);
                applied.number.into_iter().for_each(|number| super::raise(&self.changes, number));
            }
            // A commit that was not answered may stand.
            Err(ApplyError::Catalog(_)) => _ = self.publish_changes().await,
            Err(_) => {}
        }
        finished
    }
}
