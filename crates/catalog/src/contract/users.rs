//! Users, devices, API keys, login links.

use super::{Store, device, names, user, with_people};
use crate::limits::{AHEAD_MAX_MS, CREDENTIAL_VALID_MS, EXPIRED_DEVICE_KEEP_MS};
use crate::{
    Accounts, ApiKey, ApplyError, Catalog, CatalogError, CommitError, Device, DeviceFilter, DeviceState, KeyKind,
    LoginLink, OnlineEvent, OnlineKind, Presence, User, Uses,
};

const PHONE: &str = "GID_test@@@phone";

pub async fn a_user_is_made_then_renamed(store: &impl Store) {
    let catalog = store.open().await;
    assert_eq!(catalog.user("ann").await.unwrap(), None);
    catalog.put_user(user("ann")).await.unwrap();
    let renamed = User { user: "ann".to_owned(), name: "Änn 李".to_owned() };
    catalog.put_user(renamed.clone()).await.unwrap();
    assert_eq!(catalog.user("ann").await.unwrap(), Some(renamed));
    assert_eq!(catalog.users(None, 10).await.unwrap().len(), 1);
}

pub async fn a_name_that_others_cannot_be_shown_is_refused(store: &impl Store) {
    let catalog = store.open().await;
    catalog.put_user(user("ann")).await.unwrap();
    for name in ["", "\u{200B}\u{200B}", "\u{202E}ecilA", "An\nn", &"n".repeat(65)] {
        let refused = catalog.put_user(User { user: "ann".to_owned(), name: name.to_owned() }).await;
        assert!(matches!(refused, Err(CatalogError::Invalid(_))), "{name:?}");
    }
    assert_eq!(catalog.user("ann").await.unwrap(), Some(user("ann")));
}

pub async fn users_come_in_pages_in_the_order_of_their_names(store: &impl Store) {
    let catalog = store.open().await;
    for (id, name) in [("u4", "Dora"), ("u1", "Zoe"), ("u3", "Ann"), ("u2", "Ann")] {
        catalog.put_user(User { user: id.to_owned(), name: name.to_owned() }).await.unwrap();
    }
    let first = catalog.users(None, 2).await.unwrap();
    assert_eq!(ids(&first), ["u2", "u3"]);
    let second = catalog.users(Some("u3"), 2).await.unwrap();
    assert_eq!(ids(&second), ["u4", "u1"]);
    assert!(catalog.users(Some("u1"), 2).await.unwrap().is_empty());
}

fn ids(users: &[User]) -> Vec<&str> {
    users.iter().map(|user| user.user.as_str()).collect()
}

pub async fn a_device_is_registered_and_its_credential_replaced(store: &impl Store) {
    let catalog = with_people(store).await;
    assert_eq!(catalog.device(PHONE).await.unwrap(), None);
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    let replaced =
        Device { name: Some("Ann's phone".to_owned()), expires_at_ms: 2_000, ..device(PHONE, "ann", "DC.2") };
    catalog.put_device(replaced.clone()).await.unwrap();
    assert_eq!(catalog.device(PHONE).await.unwrap(), Some(replaced.clone()));
    drop(catalog);
    assert_eq!(store.open().await.device(PHONE).await.unwrap(), Some(replaced));
}

pub async fn a_device_of_another_user_is_refused(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    let refused = catalog.put_device(device(PHONE, "bob", "DC.2")).await;
    assert!(matches!(refused, Err(CatalogError::Invalid(_))));
    assert_eq!(catalog.device(PHONE).await.unwrap(), Some(device(PHONE, "ann", "DC.1")));
}

pub async fn a_device_needs_its_user_and_its_group(store: &impl Store) {
    let catalog = with_people(store).await;
    let other_group = Device { group: "GID_other".to_owned(), ..device(PHONE, "ann", "DC.1") };
    for stray in [device(PHONE, "carl", "DC.1"), other_group] {
        assert!(matches!(catalog.put_device(stray).await, Err(CatalogError::Invalid(_))));
    }
    assert_eq!(catalog.device(PHONE).await.unwrap(), None);
}

pub async fn a_key_id_belongs_to_one_device(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    let refused = catalog.put_device(device("GID_test@@@tablet", "ann", "DC.1")).await.unwrap_err();
    assert!(matches!(refused, CatalogError::Taken(_)), "{refused:?}");
    assert_eq!(ApplyError::from(refused.clone()), ApplyError::Exists);
    assert_eq!(CommitError::from(refused), CommitError::Conflict);
}

pub async fn devices_of_users_are_listed_with_their_online_state(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    catalog.put_device(device("GID_test@@@web", "ann", "DC.2")).await.unwrap();
    catalog.put_device(device("GID_test@@@bob", "bob", "DC.3")).await.unwrap();
    let connect =
        OnlineEvent { client_id: PHONE.to_owned(), channel_id: "c1".to_owned(), kind: OnlineKind::Connect, at_ms: 77 };
    catalog.online_events(&[connect]).await.unwrap();
    let state = |client_id: &str, online, since_ms| DeviceState {
        client_id: client_id.to_owned(),
        user: "ann".to_owned(),
        online,
        since_ms,
    };
    let found = catalog.devices_of(&names(&["ann", "nobody"])).await.unwrap();
    assert_eq!(found, [state(PHONE, true, Some(77)), state("GID_test@@@web", false, None)]);
    assert_eq!(catalog.devices_of(&names(&["ann", "bob"])).await.unwrap().len(), 3);
    assert!(catalog.devices_of(&[]).await.unwrap().is_empty());
    for (user, group, connected) in
        [(Some("ann"), None, 1), (Some("bob"), None, 0), (None, Some("GID_test"), 1), (Some("ann"), Some("GID_x"), 0)]
    {
        let filter = DeviceFilter { user: user.map(str::to_owned), group: group.map(str::to_owned), text: None };
        assert_eq!(catalog.connected(filter).await.unwrap(), connected, "{user:?} {group:?}");
    }
    assert_eq!(catalog.user_uses("ann").await.unwrap(), Uses { devices: 2, ..Uses::default() });
    assert!(catalog.user_uses("nobody").await.unwrap().is_empty());
}

pub async fn api_keys_and_login_links_are_found_by_their_hash(store: &impl Store) {
    let catalog = with_people(store).await;
    let key = ApiKey { secret_sha256: "ab".repeat(32), label: "the app".to_owned() };
    let link = LoginLink::new("cd".repeat(32), "ann".to_owned());
    catalog.put_api_key(key.clone()).await.unwrap();
    catalog.put_login_link(link.clone()).await.unwrap();
    let found = catalog.api_key(&key.secret_sha256).await.unwrap().unwrap().value;
    assert_eq!((found.kind, found.note, found.scopes.to_string()), (KeyKind::Api, key.label, "admin".to_owned()));
    assert_eq!(catalog.login_link(&link.secret_sha256).await.unwrap(), Some(link.clone()));
    assert_eq!(catalog.api_key(&link.secret_sha256).await.unwrap(), None);
    let stray = LoginLink::new("ef".repeat(32), "carl".to_owned());
    assert!(matches!(catalog.put_login_link(stray).await, Err(CatalogError::Invalid(_))));
}

pub async fn numbers_beyond_a_row_are_refused(store: &impl Store) {
    let catalog = with_people(store).await;
    let forever = Device { expires_at_ms: u64::MAX, ..device(PHONE, "ann", "DC.1") };
    assert!(matches!(catalog.put_device(forever).await, Err(CatalogError::Invalid(_))));
    assert_eq!(catalog.device(PHONE).await.unwrap(), None);
}

pub async fn a_credential_of_a_clock_that_was_ahead_is_valid_for_no_longer_than_any(store: &impl Store) {
    const NOW_MS: u64 = 5_000;
    let catalog = with_people(store).await;
    let (latest_ms, near_ms) = (NOW_MS + CREDENTIAL_VALID_MS, NOW_MS + CREDENTIAL_VALID_MS + AHEAD_MAX_MS);
    let other = "GID_test@@@other";
    for (client_id, key_id, expires_at_ms) in [(PHONE, "DC.1", latest_ms + 40 * 86_400_000), (other, "DC.2", near_ms)] {
        catalog.put_device(Device { expires_at_ms, ..device(client_id, "ann", key_id) }).await.unwrap();
    }
    assert_eq!(catalog.pull_in(NOW_MS).await.unwrap(), 1);
    assert_eq!(catalog.device(PHONE).await.unwrap().unwrap().expires_at_ms, latest_ms);
    assert_eq!(catalog.device(other).await.unwrap().unwrap().expires_at_ms, near_ms, "two clocks may differ");
    assert_eq!(catalog.pull_in(NOW_MS).await.unwrap(), 0);
}

pub async fn a_device_is_forgotten_long_after_its_credential_expired(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    assert_eq!(catalog.prune(1_000 + EXPIRED_DEVICE_KEEP_MS).await.unwrap(), 0);
    assert!(catalog.device(PHONE).await.unwrap().is_some());
    assert_eq!(catalog.prune(1_001 + EXPIRED_DEVICE_KEEP_MS).await.unwrap(), 1);
    assert_eq!(catalog.device(PHONE).await.unwrap(), None);
    assert!(catalog.user("ann").await.unwrap().is_some());
}
