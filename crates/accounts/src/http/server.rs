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
pub(super) struct MayBeOwner(bool);

impl FromRequestParts<Arc<Api>> for MayBeOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let has_key = parts.headers.contains_key(header::AUTHORIZATION);
        if has_key {
            Holder::<Admin>::from_request_parts(parts, api).await?;
        }
        Ok(Self(has_key))
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
    MayBeOwner(is_owner): MayBeOwner,
) -> Result<Response, Problem> {
    let server = &api.state.server;
    let state = if is_owner { Some(server.state(turn(&api).await?).await) } else { None };
    let mut response = Json(ServerAnswer { https_port: server.https_port(), state }).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !is_owner {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok(response)
}

async fn turn(api: &Api) -> Result<Turn, Problem> {
    let turn = timeout(TURN_WITHIN, Arc::clone(&api.server_looks).acquire_owned()).await;
    let words = "others look at the server at this moment; try again in a moment";
    turn.ok().and_then(Result::ok).map(Turn::of).ok_or_else(|| Problem::new(Code::Unavailable, words).retry_after(1))
}

/// Each value of the configuration, as it was given, and by what. Secrets are not shown.
#[utoipa::path(
    get, path = "/api/v1/server/configuration", tag = "server", security(("api_key" = ["admin"])),
    responses((status = 200, body = Items<Setting>), Refused)
)]
pub(super) async fn show_configuration(State(api): State<Arc<Api>>, _: Holder<Admin>) -> Json<Items<Setting>> {
    Json(Items { items: api.state.server.configuration(), next: None })
}
