//! Users and their devices, as the catalog knows them.

pub(crate) mod contacts;

use crate::machine::{Callee, Meeting};
use catalog::{Catalog, CatalogError, DeviceState, Engagement, EngagementKind, User};
use signalling::{ClientId, Contact, MeetingId, Presence, UserName};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Clients of the members that are connected.
pub(crate) async fn online_members(
    catalog: &dyn Catalog,
    meeting: &Meeting,
) -> Result<BTreeSet<ClientId>, CatalogError> {
    let users: Vec<String> = meeting.members.iter().map(|member| member.user.0.clone()).collect();
    let devices = catalog.devices_of(&users).await?;
    Ok(devices.into_iter().filter(|device| device.online).map(|device| ClientId(device.client_id)).collect())
}

/// The users to be rung into `meeting`; the inner error is the one that does not exist.
pub(crate) async fn callees(
    catalog: &dyn Catalog,
    users: &[UserName],
    meeting: MeetingId,
) -> Result<Result<Vec<Callee>, UserName>, CatalogError> {
    let mut found = Vec::new();
    for name in users {
        let Some(known) = catalog.user_state(name.as_str(), 0).await? else { return Ok(Err(name.clone())) };
        let is_elsewhere =
            |engagement: &Engagement| engagement.kind == EngagementKind::In && engagement.meeting != meeting.0;
        found.push(Callee {
            busy: known.engagements.iter().any(is_elsewhere),
            online: known.devices.iter().any(|device| device.online),
            devices: online_first(&known.devices),
            name: known.user.shown_name().into_owned(),
            user: name.clone(),
        });
    }
    Ok(Ok(found))
}

/// Only so many ring, so those that are online come first.
fn online_first(devices: &[DeviceState]) -> Vec<ClientId> {
    let on = devices.iter().filter(|device| device.online);
    let off = devices.iter().filter(|device| !device.online);
    on.chain(off).map(|device| ClientId(device.client_id.clone())).collect()
}

/// The first users of the instance, with their presence.
pub(crate) async fn first_by_name(catalog: &dyn Catalog, count: u32) -> Result<Vec<Contact>, CatalogError> {
    let users = catalog.users(None, count).await?;
    let unknown = |user: User| Contact {
        name: user.shown_name().into_owned(),
        user: UserName(user.user),
        presence: Presence::Offline,
        since_ms: None,
    };
    as_they_are(catalog, users.into_iter().map(unknown).collect()).await
}

/// The same users with their present presence.
pub(crate) async fn as_they_are(
    catalog: &dyn Catalog,
    mut contacts: Vec<Contact>,
) -> Result<Vec<Contact>, CatalogError> {
    let names: Vec<String> = contacts.iter().map(|contact| contact.user.0.clone()).collect();
    let engagements = catalog.engagements_of(&names).await?;
    let in_call = engagements
        .into_iter()
        .filter(|engagement| engagement.kind == EngagementKind::In)
        .map(|engagement| engagement.user)
        .collect::<HashSet<_>>();
    let mut devices: HashMap<String, Vec<DeviceState>> = HashMap::new();
    for device in catalog.devices_of(&names).await? {
        devices.entry(device.user.clone()).or_default().push(device);
    }
    for contact in &mut contacts {
        let user = contact.user.as_str();
        let own = devices.get(user).map_or(&[][..], Vec::as_slice);
        (contact.presence, contact.since_ms) = presence(own, in_call.contains(user));
    }
    Ok(contacts)
}

/// With the time since when the user is offline, if it was ever online.
fn presence(devices: &[DeviceState], in_call: bool) -> (Presence, Option<u64>) {
    if in_call {
        return (Presence::InCall, None);
    }
    if devices.iter().any(|device| device.online) {
        return (Presence::Online, None);
    }
    (Presence::Offline, devices.iter().filter_map(|device| device.since_ms).max())
}
