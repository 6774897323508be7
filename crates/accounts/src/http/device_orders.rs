//! What an owner orders of a device without removing it: its connection ends, what waits goes, its credential is void.
//!
//! The log of changes has each order before it is carried out. So nothing is done that the log does not say; what it says
//! may have failed, which the caller was told.

use super::Api;
use super::credentials::{asked, new_credential, no_answer};
use super::devices::find;
use super::once::{Nothing, Once, OnceHeader, RefusedOnce};
use super::owner::{Devices, Expected, Holder, IfMatch, Named, Refusals, Refused, RefusedAbsent, RefusedOne};
use crate::clients::{Answer, Clients, Purged, Turn};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{By, Change, Kind, Note};
use problem::Problem;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// What the person behind a device reads.
const KICKED: &str = "the owner of this server has ended the connection";

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Kicked {
    /// There was a connection, and it has ended.
    was_connected: bool,
}

impl Api {
    /// Notes the order and carries it out, also if the caller hangs up.
    async fn carry_out<T: Send + 'static>(
        self: &Arc<Self>,
        by: By,
        action: &'static str,
        client_id: String,
        turns: Arc<Semaphore>,
        order: impl FnOnce(&dyn Clients, &str, Turn) -> Answer<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = Arc::clone(self);
        let task = tokio::spawn(async move {
            let note = Note { action, kind: Kind::Device, subject: client_id.clone(), after: None };
            let noted = api.apply(by, Change::Note(note), None).await;
            noted.map_err(|error| Refusals::of("device", &client_id).refuse(error))?;
            asked(&api, &turns, |clients, turn| order(clients, &client_id, turn)).await
        });
        task.await.unwrap_or_else(|_| Err(no_answer()))
    }
}

/// Ends the connection of a device or service: it is told why (0x98 on MQTT 5), and may come back to its session at once. A
/// service's takes the scope `topics` too.
#[utoipa::path(
    post, path = "/api/v1/devices/{client_id}/kick", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path)), responses((status = 200, body = Kicked), Refused, RefusedAbsent)
)]
pub(super) async fn kick_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
) -> Result<Json<Kicked>, Problem> {
    find(&api, &holder, &client_id).await?;
    let kick = |clients: &dyn Clients, client_id: &str, turn| clients.kick(client_id, KICKED, turn);
    let was_connected = api.carry_out(holder.by(), "kick", client_id, Arc::clone(&api.questions), kick).await?;
    Ok(Json(Kicked { was_connected }))
}

/// Drops what waits for a device or service, for good. What a connected one has been sent is still its to acknowledge. A
/// service's takes the scope `topics` too. A disk that is full cannot keep that it was dropped: 503, and nothing is.
#[utoipa::path(
    post, path = "/api/v1/devices/{client_id}/purge", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path)), responses((status = 200, body = Purged), Refused, RefusedAbsent)
)]
pub(super) async fn purge_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
) -> Result<Json<Purged>, Problem> {
    find(&api, &holder, &client_id).await?;
    let purge = |clients: &dyn Clients, client_id: &str, turn| clients.purge(client_id, turn);
    Ok(Json(api.carry_out(holder.by(), "purge", client_id, Arc::clone(&api.purges), purge).await?))
}

/// Makes the login of a device void, and ends its connection. It stays registered, and finds its session and what waits
/// when it has a new login.
#[utoipa::path(
    post, path = "/api/v1/devices/{client_id}/revoke", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path), OnceHeader, IfMatch), responses((status = 204), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn revoke_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
    Expected(expected): Expected,
    Once { ticket, .. }: Once<Nothing>,
) -> Result<StatusCode, Problem> {
    let refusals = Refusals::of("device", &client_id);
    let (key_id, secret) = new_credential()?;
    let revoke = Change::RevokeDevice { client_id: client_id.clone(), key_id, secret };
    let sealed = ticket.seal(api.now_ms(), None::<&()>)?;
    api.apply_once(holder.by(), revoke, expected, sealed).await.map_err(|error| refusals.refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}
