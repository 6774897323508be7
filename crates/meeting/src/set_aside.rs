//! Meetings and messages that cannot be read or sent: set aside so that they stop nothing else, that is, kept for an
//! operator, logged with their ids, and counted.

use crate::state::ServiceState;
use catalog::CatalogError;
use std::time::Duration;
use uuid::Uuid;

const RETRY: Duration = Duration::from_secs(1);

/// Its users are free for other calls, and its channel is closed: the `state` of its members says that the call is
/// over.
pub(crate) async fn meeting(service: &ServiceState, id: Uuid, reason: &str) -> Result<(), CatalogError> {
    let revision = service.catalog.set_meeting_aside(id, reason).await?;
    tracing::error!(meeting = %id, reason, "a meeting cannot be read: it is set aside for an operator");
    revision.into_iter().for_each(|revision| service.reconciler.end(id, revision));
    count(service).await;
    Ok(())
}

/// Tries until the catalog has done it.
pub(crate) async fn message(service: &ServiceState, row: i64, reason: &str) {
    while let Err(error) = service.catalog.set_message_aside(row, reason).await {
        tracing::warn!(row, %error, "a message that cannot be sent cannot be set aside; again");
        tokio::time::sleep(RETRY).await;
    }
    tracing::error!(row, reason, "a message cannot be sent: it is set aside for an operator");
    count(service).await;
}

pub(crate) async fn count(service: &ServiceState) {
    match service.catalog.set_aside().await {
        Ok(count) => drop(service.set_aside.send_replace(count)),
        Err(error) => tracing::warn!(%error, "what is set aside cannot be counted"),
    }
}
