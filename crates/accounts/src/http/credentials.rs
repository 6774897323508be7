//! Device credentials: how a device is registered, renewed and removed, and what its terminal is given.

use super::api_keys::hex;
use super::once::Ticket;
use super::owner::Refusals;
use super::{Api, unavailable};
use crate::access::{ClientId, account_of_user};
use crate::clients::{Answer, Clients, Turn};
use crate::login::sign;
use crate::revocation::{ANSWERS_WITHIN, Ending, answered};
use aws_lc_rs::rand;
use catalog::{Actor, ActorLost, ApplyError, By, Change, Device, User};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{MutexGuard, Semaphore};
use tokio::time::timeout;
use utoipa::ToSchema;

/// How long a device credential lets its terminal in: 30 days.
pub const CREDENTIAL_VALID_MS: u64 = catalog::limits::CREDENTIAL_VALID_MS;

/// Registrations of a device that was changed meanwhile are tried so often.
const TRIES: usize = 4;

/// Registered devices of one user; they are forgotten some time after their credential has expired.
pub const DEVICES_PER_USER_MAX: usize = 64;

/// Where a terminal connects; what an instance does not offer is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoints {
    /// MQTT over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "mqtts://localhost:8883")]
    pub mqtts: Option<String>,
    /// MQTT without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "mqtt://localhost:1883")]
    pub mqtt: Option<String>,
    /// MQTT over WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ws://localhost:8080/mqtt")]
    pub mqtt_ws: Option<String>,
    /// This API.
    #[schema(example = "http://localhost:8080/api/v1")]
    pub api: String,
    /// Join endpoints of the media servers.
    pub join: Vec<String>,
}

/// All that a terminal needs to connect: a device credential for one client id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terminal {
    #[schema(example = "GID_dev@@@web-0a1b2c3d-0")]
    pub client_id: String,
    #[schema(example = "DeviceCredential|DC.2f6c|convoke")]
    pub username: String,
    pub password: String,
    pub expires_at_ms: u64,
    pub user: String,
    /// The user's shown name.
    pub name: String,
    pub endpoints: Endpoints,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The client id of a device that a user has or may have. As long as this is held, nobody else registers it, and what a
/// removal leaves there does not end. It may be removed, and a service may take it up: the device's login is refused then.
pub(super) struct Reserved<'a> {
    client_id: String,
    /// The credential that it has; `None`: it is not registered, and nothing is left of one that was.
    replaces: Option<String>,
    registering: MutexGuard<'a, ()>,
    turn: MutexGuard<'a, ()>,
}

pub(super) async fn reserve<'a>(
    api: &'a Api,
    group: Option<String>,
    device: Option<String>,
    user: &str,
) -> Result<Reserved<'a>, Problem> {
    let client_id = client_id_of(api, group, device)?;
    // What a removal ends there has ended before, and what it has not does not end what is new.
    let turn = api.state.revocation.turn_at(&client_id).await;
    let registering = api.registering.lock().await;
    let replaces = claim(api, &client_id, user).await?;
    Ok(Reserved { client_id, replaces, registering, turn })
}

/// Returns the credential that the client id has, if it is the user's. If it is nobody's, what was left there has ended.
async fn claim(api: &Api, client_id: &str, user: &str) -> Result<Option<String>, Problem> {
    let (catalog, sessions) = (&api.state.catalog, &api.state.sessions);
    let registered = catalog.device(client_id).await.map_err(unavailable)?;
    let holder = match &registered {
        Some(device) if device.user == user => sessions.holder_of(client_id),
        Some(_) => return Err(taken()),
        None => {
            refuse_too_many(api, user).await?;
            // Of a device that was registered before; a new one begins with nothing.
            let was_removed = catalog.was_removed(client_id).await.map_err(unavailable)?;
            sessions.end_device(client_id, if was_removed { Ending::RegisteredAgain } else { Ending::Registered })
        }
    };
    // A service's client id is registered nowhere: it is the service's for as long as it has a session.
    match answered(holder).await.ok_or_else(no_answer)? {
        Some(account) if *account != *account_of_user(user) => Err(taken()),
        _ => Ok(registered.map(|device| device.key_id)),
    }
}

/// The answer to a question about clients, asked when one of these turns is free. It stays taken until the broker is done.
pub(super) async fn asked<T>(
    api: &Api,
    turns: &Arc<Semaphore>,
    ask: impl FnOnce(&dyn Clients, Turn) -> Answer<T>,
) -> Result<T, Problem> {
    let answer = async {
        let turn = Turn::of(Arc::clone(turns).acquire_owned().await.ok()?);
        ask(&*api.state.clients, turn).await
    };
    match timeout(ANSWERS_WITHIN, answer).await {
        Ok(Some(answer)) => Ok(answer),
        _ => Err(no_answer()),
    }
}

pub(super) fn no_answer() -> Problem {
    Problem::new(Code::Unavailable, "the broker did not answer; try again in a moment").retry_after(1)
}

/// Registers the device; the credential that it had before is void from now on. A device that was removed since it was
/// reserved begins with nothing. `gone`: the refusal of one who has lost the right to order it meanwhile.
pub(super) async fn issue(
    api: &Arc<Api>,
    by: By,
    reserved: Reserved<'_>,
    user: User,
    ticket: &Ticket,
    gone: impl FnOnce() -> Problem,
) -> Result<Terminal, Problem> {
    let Reserved { client_id, mut replaces, registering, turn } = reserved;
    for _ in 0..TRIES {
        let device = new_device(&client_id, &user.user, api.now_ms())?;
        let answer = terminal(api, device.clone(), user.shown_name().into_owned());
        let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
        let change = Change::PutDevice { device, replaces };
        let done = match api.commit_once(by.clone(), change, None, sealed).await {
            Err(ApplyError::Stale { .. }) => {
                replaces = claim(api, &client_id, &user.user).await?;
                continue;
            }
            Err(ApplyError::Actor(ActorLost::Gone)) => return Err(gone()),
            done => done.map_err(|error| Refusals::of("device", &client_id).refuse(error))?,
        };
        // Others need not wait until the connection of the login before has ended.
        drop((registering, turn));
        api.in_force(&done, false).await;
        return Ok(answer);
    }
    let words = "the device was changed again and again while it was registered; try again";
    Err(Problem::new(Code::Unavailable, words).retry_after(1))
}

/// Lets the credential last 30 days from now. The key stays: an answer that is lost costs nothing. `None`: the device was
/// removed or logged in anew meanwhile.
pub(super) async fn extend(api: &Api, device: Device) -> Result<Option<Terminal>, Problem> {
    let Device { client_id, key_id, .. } = &device;
    let until = api.state.catalog.extend_device(client_id, key_id, api.now_ms() + CREDENTIAL_VALID_MS).await;
    api.state.directory.invalidate(client_id);
    let Some(expires_at_ms) = until.map_err(unavailable)? else { return Ok(None) };
    let Some(user) = api.state.catalog.user(&device.user).await.map_err(unavailable)? else { return Ok(None) };
    Ok(Some(terminal(api, Device { expires_at_ms, ..device }, user.shown_name().into_owned())))
}

/// Removes the device with this credential and ends what it has at the broker. `false`: it was removed or logged in anew
/// meanwhile.
pub(super) async fn remove(api: &Arc<Api>, device: &Device) -> Result<bool, Problem> {
    let Device { client_id, key_id, .. } = device;
    let by = By { actor: Actor::Device(client_id.clone()), address: None, at_ms: api.now_ms(), right_as_of: None };
    match api.apply(by, Change::RemoveDevice { client_id: client_id.clone(), key_id: Some(key_id.clone()) }, None).await
    {
        Err(ApplyError::Unknown) => Ok(false),
        done => done.map(|_| true).map_err(|error| Refusals::of("device", client_id).refuse(error)),
    }
}

fn client_id_of(api: &Api, group: Option<String>, device: Option<String>) -> Result<String, Problem> {
    let group = group.unwrap_or_else(|| api.state.default_group.clone());
    if !api.state.access.load().has_group(&group) {
        let words = format!("the group {group:?} does not exist here; leave the field out, or make the group first");
        return Err(Problem::new(Code::UnknownGroup, words));
    }
    let device = match device {
        Some(device) => device,
        None => format!("d-{}", hex(&random::<8>()?)),
    };
    let whole = format!("{group}@@@{device}");
    match ClientId::parse(&whole) {
        Ok(_) => Ok(whole),
        Err(error) => Err(Problem::new(Code::InvalidDevice, format!("the device {device:?} cannot be: {error}"))),
    }
}

fn taken() -> Problem {
    Problem::new(Code::DeviceTaken, "this device name is in use by another user or by a service; choose another one")
}

/// The holder of a login link may name new devices without end.
async fn refuse_too_many(api: &Api, user: &str) -> Result<(), Problem> {
    let devices = api.state.catalog.devices_of(&[user.to_owned()]).await.map_err(unavailable)?;
    if devices.len() < DEVICES_PER_USER_MAX {
        return Ok(());
    }
    let words = format!("the user has {DEVICES_PER_USER_MAX} devices; name one of them again instead of a new one");
    Err(Problem::new(Code::TooManyDevices, words))
}

fn new_device(client_id: &str, user: &str, now_ms: u64) -> Result<Device, Problem> {
    let id = ClientId::parse(client_id).map_err(|error| Problem::new(Code::InvalidDevice, error.to_string()))?;
    let (key_id, secret) = new_credential()?;
    Ok(Device {
        client_id: client_id.to_owned(),
        user: user.to_owned(),
        group: id.group().to_owned(),
        name: None,
        key_id,
        secret,
        expires_at_ms: now_ms + CREDENTIAL_VALID_MS,
    })
}

/// Its key and its secret.
pub(super) fn new_credential() -> Result<(String, String), Problem> {
    Ok((format!("DC.{}", hex(&random::<16>()?)), format!("DC.{}", hex(&random::<32>()?))))
}

fn terminal(api: &Api, device: Device, name: String) -> Terminal {
    Terminal {
        username: format!("DeviceCredential|{}|{}", device.key_id, api.state.access.load().instance()),
        password: sign(&device.secret, &device.client_id),
        client_id: device.client_id,
        expires_at_ms: device.expires_at_ms,
        user: device.user,
        name,
        endpoints: api.state.endpoints.clone(),
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| Problem::new(Code::Unavailable, "the system gives no random numbers; try again"))?;
    Ok(bytes)
}
