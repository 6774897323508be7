//! Routes by which an owner sees and removes devices.
//!
//! A device is named by its client id. It is registered to a user, or it is a service's, which is known for as long as its
//! session lasts. Who is connected says the broker, which knows; the catalog says when those were seen that it has nothing of.

use super::credentials::{asked, no_answer};
use super::names::check_name;
use super::owner::{
    Asked, Devices, Expected, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedAbsent, RefusedBody,
    RefusedOne, tagged,
};
use super::{Api, unavailable};
use crate::access::{is_account_of_service, is_account_of_tokens};
use crate::clients::{CLIENTS_PER_QUESTION, ClientState, ConnectionState, Depth, InboxState, SessionState};
use crate::http::body::Body;
use crate::revocation::{Ending, answered};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use catalog::{ApplyError, Change, DeviceFilter, DeviceInfo, Kind, Note, Row, Scope};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// No client id that may log in is longer.
const CLIENT_ID_BYTES_MAX: usize = 128;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceQuery {
    /// Those of this user.
    user: Option<String>,
    /// Those of this group.
    group: Option<String>,
    /// Those whose client id, name or user contains this.
    search: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A device that is registered to a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceAnswer {
    #[schema(example = "GID_phone@@@d1")]
    client_id: String,
    user: String,
    group: String,
    /// For people; left out: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of its credential.
    key_id: String,
    expires_at_ms: u64,
    online: bool,
    /// Since when it is online, or away; left out: it was never connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
}

fn registered((row, state): (Row<DeviceInfo>, ClientState)) -> DeviceAnswer {
    let seen_ms = left_ms(&row.value);
    let DeviceInfo { client_id, user, group, name, key_id, expires_at_ms, .. } = row.value;
    let (online, since_ms) = (state.connection.is_some(), since(&state, seen_ms));
    DeviceAnswer { client_id, user, group, name, key_id, expires_at_ms, online, since_ms }
}

/// When it went, as the catalog has it. Nothing if it has it online: the broker that has said so may have ended since without
/// a word of its going.
fn left_ms(info: &DeviceInfo) -> Option<u64> {
    info.since_ms.filter(|_| !info.online)
}

/// `seen_ms`: when it went, as far as the catalog has heard.
fn since(state: &ClientState, seen_ms: Option<u64>) -> Option<u64> {
    let connected_ms = state.connection.as_ref().map(|connection| connection.since_ms);
    let disconnected_ms = state.session.as_ref().and_then(|session| session.disconnected_ms);
    connected_ms.or(disconnected_ms).or(seen_ms)
}

/// What is known of a client id.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceDetails {
    #[schema(example = "GID_phone@@@d1")]
    client_id: String,
    /// Whose it is. This and the next four are left out of a service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// For people; left out: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of its credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    online: bool,
    /// Since when it is online, or away; left out: it was never connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    /// When its last packet came, or its connection ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionState>,
    inbox: InboxState,
}

fn details(client_id: String, info: Option<DeviceInfo>, state: ClientState) -> DeviceDetails {
    let since_ms = since(&state, info.as_ref().and_then(left_ms));
    let (name, info) = (info.as_ref().and_then(|info| info.name.clone()), info);
    let (user, group, key_id, expires_at_ms) = match info {
        Some(info) => (Some(info.user), Some(info.group), Some(info.key_id), Some(info.expires_at_ms)),
        None => (None, None, None, None),
    };
    let ClientState { connection, session, inbox } = state;
    let last_packet_ms = connection.as_ref().map(|connection| connection.last_packet_ms);
    let (online, last_seen_ms) = (connection.is_some(), last_packet_ms.or(since_ms));
    DeviceDetails {
        client_id,
        user,
        group,
        name,
        key_id,
        expires_at_ms,
        online,
        since_ms,
        last_seen_ms,
        connection,
        session,
        inbox,
    }
}

/// The states of these, in their order; of more than one question takes, one after the other.
async fn states(api: &Api, client_ids: Vec<String>, depth: Depth) -> Result<Vec<ClientState>, Problem> {
    let mut states = Vec::with_capacity(client_ids.len());
    for some in client_ids.chunks(CLIENTS_PER_QUESTION) {
        states.extend(asked(api, &api.questions, |clients, turn| clients.states(some.to_vec(), depth, turn)).await?);
    }
    Ok(states)
}

/// The row of a client id, if it is registered, and what the broker has of it. What a service has is for those alone who
/// administer services.
pub(super) async fn find(
    api: &Api,
    holder: &Holder<Devices>,
    client_id: &str,
) -> Result<(Option<Row<DeviceInfo>>, ClientState), Problem> {
    let unknown = || Refusals::of("device", client_id).unknown();
    if client_id.len() > CLIENT_ID_BYTES_MAX {
        return Err(unknown());
    }
    let row = api.state.catalog.device_info(client_id).await.map_err(unavailable)?;
    let state = states(api, vec![client_id.to_owned()], Depth::All).await?.pop().unwrap_or_default();
    let is_of_service = state.session.as_ref().is_some_and(|session| is_account_of_service(&session.account));
    // As one that nobody has.
    if is_of_service && !holder.caller().scopes.allow(Scope::Topics) {
        return Err(unknown());
    }
    if row.is_none() && state.session.is_none() { Err(unknown()) } else { Ok((row, state)) }
}

/// Lists the devices of users.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "devices", security(("api_key" = ["devices"])), params(DeviceQuery),
    responses((status = 200, body = Items<DeviceAnswer>), Refused)
)]
pub(super) async fn list_devices(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Asked(query): Asked<DeviceQuery>,
) -> Result<Json<Items<DeviceAnswer>>, Problem> {
    let part = Part { after: query.after, limit: query.limit };
    let filter = DeviceFilter { user: query.user, group: query.group, text: query.search };
    let rows = api.state.catalog.devices(filter, part.page()?).await.map_err(unavailable)?;
    let Json(Items { items: rows, next }) = Items::of(&part, rows, |device| device.client_id.clone(), |row| row)?;
    let client_ids = rows.iter().map(|row| row.value.client_id.clone()).collect();
    let states = states(&api, client_ids, Depth::Presence).await?;
    Ok(Json(Items { items: rows.into_iter().zip(states).map(registered).collect(), next }))
}

/// Of 1 to 128 bytes.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 128)]
#[expect(dead_code, reason = "of the document alone")]
struct AskedClientId(String);

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PresenceQuestion {
    /// Client ids, of devices or of services.
    #[schema(min_items = 1, max_items = 100, value_type = Vec<AskedClientId>)]
    client_ids: Vec<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PresenceAnswer {
    client_id: String,
    /// `false` of one that is known to nobody, too.
    online: bool,
    /// Since when it is online.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
}

/// Which of up to 100 client ids are connected at this moment, in their order. One that nobody has is like one that is away.
#[utoipa::path(
    post, path = "/api/v1/devices:query", tag = "devices", security(("api_key" = ["devices"])),
    request_body = PresenceQuestion, responses((status = 200, body = Items<PresenceAnswer>), Refused, RefusedBody)
)]
pub(super) async fn query_devices(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Body(PresenceQuestion { client_ids }): Body<PresenceQuestion>,
) -> Result<Json<Items<PresenceAnswer>>, Problem> {
    let is_good = |id: &String| (1..=CLIENT_ID_BYTES_MAX).contains(&id.len());
    if !(1..=CLIENTS_PER_QUESTION).contains(&client_ids.len()) || !client_ids.iter().all(is_good) {
        let words =
            "client_ids must name 1 to 100 client ids, of 1 to 128 bytes each; ask for the others in another request";
        return Err(Problem::new(Code::InvalidBody, words));
    }
    let states = states(&api, client_ids.clone(), Depth::Presence).await?;
    let items = client_ids.into_iter().zip(states).map(|(client_id, state)| PresenceAnswer {
        client_id,
        online: state.connection.is_some(),
        since_ms: state.connection.map(|connection| connection.since_ms),
    });
    Ok(Json(Items { items: items.collect(), next: None }))
}

/// A device, by its client id: its registration, its connection, its session and what waits for it. A service takes the scope
/// `topics` too.
#[utoipa::path(
    get, path = "/api/v1/devices/{client_id}", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path, description = "Of a registered device, or of a service that has a session.")),
    responses((status = 200, body = DeviceDetails, headers(("ETag" = String))), Refused, RefusedAbsent)
)]
pub(super) async fn show_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
) -> Result<Response, Problem> {
    let (row, state) = find(&api, &holder, &client_id).await?;
    let changed = row.as_ref().map(|row| row.changed);
    Ok(tagged(changed, details(client_id, row.map(|row| row.value), state)))
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceUpdate {
    /// For people, 1 to 64 characters; `null`: none.
    #[serde(deserialize_with = "Option::deserialize")]
    name: Option<String>,
}

/// Names a device, for those who administer. It keeps the name when it is registered again.
#[utoipa::path(
    patch, path = "/api/v1/devices/{client_id}", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path), IfMatch), request_body = DeviceUpdate,
    responses((status = 200, body = DeviceDetails, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn rename_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
    Expected(expected): Expected,
    Body(DeviceUpdate { name }): Body<DeviceUpdate>,
) -> Result<Response, Problem> {
    let name = name.as_deref().map(check_name).transpose()?.map(str::to_owned);
    let wish = Change::RenameDevice { client_id: client_id.clone(), name };
    let done = api.apply(holder.by(), wish, expected).await;
    done.map_err(|error| Refusals::of("device", &client_id).refuse(error))?;
    let (row, state) = find(&api, &holder, &client_id).await?;
    let changed = row.as_ref().map(|row| row.changed);
    Ok(tagged(changed, details(client_id, row.map(|row| row.value), state)))
}

/// Removes a device with its login, its session and what waits for it, and ends its connection. Under a client id that is no
/// registered device's, ends what clients with tokens have there.
#[utoipa::path(
    delete, path = "/api/v1/devices/{client_id}", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path), IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let gone =
        api.apply(holder.by(), Change::RemoveDevice { client_id: client_id.clone(), key_id: None }, expected).await;
    match gone {
        Err(ApplyError::Unknown) if expected.is_none() => end_session_of_tokens(&api, &holder, client_id).await?,
        gone => _ = gone.map_err(|error| Refusals::of("device", &client_id).refuse(error))?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Also if the caller hangs up. The log of changes has the order before it is carried out.
async fn end_session_of_tokens(api: &Arc<Api>, holder: &Holder<Devices>, client_id: String) -> Result<(), Problem> {
    let (api, by) = (Arc::clone(api), holder.by());
    let task = tokio::spawn(async move {
        // Nobody registers a device there meanwhile.
        let _turn = api.state.revocation.turn_at(&client_id).await;
        let is_registered = api.state.catalog.device(&client_id).await.map_err(unavailable)?.is_some();
        let account = answered(api.state.sessions.holder_of(&client_id)).await.ok_or_else(no_answer)?;
        if is_registered || !account.is_some_and(|account| is_account_of_tokens(&account)) {
            return Err(Refusals::of("device", &client_id).unknown());
        }
        let note = Note { action: "end", kind: Kind::Device, subject: client_id.clone(), after: None };
        let noted = api.apply(by, Change::Note(note), None).await;
        noted.map_err(|error| Refusals::of("device", &client_id).refuse(error))?;
        answered(api.state.sessions.end_device(&client_id, Ending::Registered)).await.ok_or_else(no_answer).map(drop)
    });
    task.await.unwrap_or_else(|_| Err(no_answer()))
}
