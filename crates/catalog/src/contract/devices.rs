//! Credentials that are extended, devices that are removed.

use super::{Store, device, names, with_people};
use crate::limits::REMOVED_DEVICE_KEEP_MS;
use crate::{Accounts, Catalog, OnlineEvent, OnlineKind, Presence};

const PHONE: &str = "GID_test@@@phone";

fn event(kind: OnlineKind, channel_id: &str, at_ms: u64) -> OnlineEvent {
    OnlineEvent { client_id: PHONE.to_owned(), channel_id: channel_id.to_owned(), kind, at_ms }
}

pub async fn a_credential_is_extended_and_never_shortened(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    assert_eq!(catalog.extend_device(PHONE, "DC.1", 5_000).await.unwrap(), Some(5_000));
    assert_eq!(catalog.extend_device(PHONE, "DC.1", 3_000).await.unwrap(), Some(5_000));
    let stored = catalog.device(PHONE).await.unwrap().unwrap();
    assert_eq!((stored.expires_at_ms, stored.key_id.as_str()), (5_000, "DC.1"));
    assert!(catalog.extend_device(PHONE, "DC.1", u64::MAX).await.is_err());
    assert_eq!(catalog.device(PHONE).await.unwrap(), Some(stored));
}

pub async fn a_credential_that_was_replaced_is_neither_extended_nor_removed(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    catalog.put_device(device(PHONE, "ann", "DC.2")).await.unwrap();
    assert_eq!(catalog.extend_device(PHONE, "DC.1", 5_000).await.unwrap(), None);
    assert!(!catalog.remove_device(PHONE, "DC.1", 7).await.unwrap());
    assert_eq!(catalog.extend_device("GID_test@@@other", "DC.2", 5_000).await.unwrap(), None);
    assert!(!catalog.remove_device("GID_test@@@other", "DC.2", 7).await.unwrap());
    assert_eq!(catalog.device(PHONE).await.unwrap(), Some(device(PHONE, "ann", "DC.2")));
}

pub async fn a_removed_device_takes_its_online_state_with_it(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    catalog.online_events(&[event(OnlineKind::Connect, "c1", 5)]).await.unwrap();
    let before = catalog.presence_changes(0, 10).await.unwrap().last;
    assert!(catalog.remove_device(PHONE, "DC.1", 7).await.unwrap());
    assert_eq!(catalog.device(PHONE).await.unwrap(), None);
    assert!(catalog.devices_of(&names(&["ann"])).await.unwrap().is_empty());
    assert_eq!(catalog.presence_changes(before, 10).await.unwrap().users, ["ann"]);
    assert!(!catalog.remove_device(PHONE, "DC.1", 8).await.unwrap());
}

pub async fn news_of_a_removed_device_are_its_users(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    catalog.online_events(&[event(OnlineKind::Connect, "c1", 5)]).await.unwrap();
    catalog.remove_device(PHONE, "DC.1", 7).await.unwrap();
    let after = catalog.online_events(&[event(OnlineKind::TcpClean, "c1", 8)]).await.unwrap();
    let after: Vec<_> = after.iter().map(|client| (client.user.as_deref(), client.removed, client.online)).collect();
    assert_eq!(after, [(Some("ann"), true, false)]);
}

pub async fn a_removed_device_may_be_registered_by_anybody(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    catalog.online_events(&[event(OnlineKind::Connect, "c1", 5)]).await.unwrap();
    catalog.remove_device(PHONE, "DC.1", 7).await.unwrap();
    catalog.put_device(device(PHONE, "bob", "DC.2")).await.unwrap();
    assert!(catalog.removed_devices().await.unwrap().is_empty());
    // The connection that was ended is not one of the new device.
    let state = &catalog.devices_of(&names(&["bob"])).await.unwrap()[0];
    assert_eq!((state.online, state.since_ms), (false, None));
    let events = [event(OnlineKind::Connect, "c2", 9), event(OnlineKind::TcpClean, "c1", 8)];
    let after = catalog.online_events(&events).await.unwrap();
    assert_eq!((after[0].user.as_deref(), after[0].removed, after[0].online), (Some("bob"), false, true));
    assert!(after[0].changed);
    assert!(catalog.devices_of(&names(&["bob"])).await.unwrap()[0].online);
}

pub async fn of_an_extension_and_a_removal_at_once_the_removal_stands(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    let (extended, removed) =
        tokio::join!(catalog.extend_device(PHONE, "DC.1", 5_000), catalog.remove_device(PHONE, "DC.1", 7));
    assert!(matches!(extended.unwrap(), None | Some(5_000)) && removed.unwrap());
    assert_eq!(catalog.device(PHONE).await.unwrap(), None);
}

pub async fn removed_devices_are_remembered_for_a_while_and_over_a_crash(store: &impl Store) {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    assert!(catalog.removed_devices().await.unwrap().is_empty());
    catalog.remove_device(PHONE, "DC.1", 7).await.unwrap();
    drop(catalog);
    let catalog = store.open().await;
    assert_eq!(catalog.removed_devices().await.unwrap(), [PHONE]);
    assert!(catalog.was_removed(PHONE).await.unwrap() && !catalog.was_removed("GID_test@@@other").await.unwrap());
    catalog.prune(7 + REMOVED_DEVICE_KEEP_MS).await.unwrap();
    assert_eq!(catalog.removed_devices().await.unwrap(), [PHONE]);
    catalog.prune(8 + REMOVED_DEVICE_KEEP_MS).await.unwrap();
    assert!(catalog.removed_devices().await.unwrap().is_empty());
}
