//! Routes by which an owner sees the server, and a page its HTTPS port.
//!
//! A page over plain HTTP gets neither camera nor microphone, except on this machine. So it gets the port of HTTPS before a
//! login and keeps its own host: no redirect, which would loop behind a proxy that ends TLS itself.

use super::Api;
use super::owner::{Admin, Holder, Items, Refused};
use crate::clients::Turn;
use crate::server::{ServerState, Setting};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use problem::{Code, Problem};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// So long a look waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// What everybody may know, and what an owner sees besides.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ServerAnswer {
    /// On the host of this request.
    https_port: u16,
    /// With a key.
    #[serde(flatten)]
    state: Option<ServerState>,
}

/// With a key the request is an owner's, who must be allowed; without one it is anybody's.
pub(super) struct MayBeOwner(Option<Holder<Admin>>);

impl FromRequestParts<Arc<Api>> for MayBeOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        Ok(Self(Some(Holder::from_request_parts(parts, api).await?)))
    }
}

/// The server: version, health, disk, listeners, certificates, limits with what is used of them, queue topics with what
/// waits. Without a key, from any origin: its HTTPS port alone.
#[utoipa::path(
    get, path = "/api/v1/server", tag = "server", security(("api_key" = ["admin"]), ()),
    responses((status = 200, body = ServerAnswer), Refused)
)]
pub(super) async fn show_server(
    State(api): State<Arc<Api>>,
    MayBeOwner(owner): MayBeOwner,
) -> Result<Response, Problem> {
    let server = &api.state.server;
    let state = match &owner {
        Some(holder) => Some(server.state(turn(&api, holder).await?).await),
        None => None,
    };
    let mut response = Json(ServerAnswer { https_port: server.https_port(), state }).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if owner.is_none() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok(response)
}

/// The caller may have lost the right while others had theirs.
async fn turn(api: &Api, holder: &Holder<Admin>) -> Result<Turn, Problem> {
    let turn = timeout(TURN_WITHIN, Arc::clone(&api.server_looks).acquire_owned()).await;
    let words = "others look at the server at this moment; try again in a moment";
    let turn = turn.ok().and_then(Result::ok).map(Turn::of);
    let turn = turn.ok_or_else(|| Problem::new(Code::Unavailable, words).retry_after(1))?;
    api.state.gate.judge_again(holder.caller()).await?;
    Ok(turn)
}

/// Each value of the configuration, as it was given, and by what. Secrets are not shown.
#[utoipa::path(
    get, path = "/api/v1/server/configuration", tag = "server", security(("api_key" = ["admin"])),
    responses((status = 200, body = Items<Setting>), Refused)
)]
pub(super) async fn show_configuration(State(api): State<Arc<Api>>, _: Holder<Admin>) -> Json<Items<Setting>> {
    Json(Items { items: api.state.server.configuration(), next: None })
}
