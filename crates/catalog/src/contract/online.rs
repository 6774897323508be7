//! Online state: events may repeat and overtake.

use super::{Store, device, names, with_people};
use crate::limits::TCPCLEAN_KEEP_MS;
use crate::{Catalog, DeviceState, OnlineEvent, OnlineKind};

const PHONE: &str = "GID_test@@@phone";

fn event(kind: OnlineKind, channel: &str, at_ms: u64) -> OnlineEvent {
    OnlineEvent { client_id: PHONE.to_owned(), channel_id: channel.to_owned(), kind, at_ms }
}

fn connect(channel: &str, at_ms: u64) -> OnlineEvent {
    event(OnlineKind::Connect, channel, at_ms)
}

fn tcpclean(channel: &str, at_ms: u64) -> OnlineEvent {
    event(OnlineKind::TcpClean, channel, at_ms)
}

async fn with_phone<S: Store>(store: &S) -> S::Engine {
    let catalog = with_people(store).await;
    catalog.put_device(device(PHONE, "ann", "DC.1")).await.unwrap();
    catalog
}

async fn state(catalog: &impl Catalog) -> DeviceState {
    catalog.devices_of(&names(&["ann"])).await.unwrap().remove(0)
}

pub async fn a_client_is_online_from_connect_to_tcpclean(store: &impl Store) {
    let catalog = with_phone(store).await;
    assert_eq!((state(&catalog).await.online, state(&catalog).await.since_ms), (false, None));
    assert!(catalog.online_event(connect("one", 10)).await.unwrap());
    assert_eq!((state(&catalog).await.online, state(&catalog).await.since_ms), (true, Some(10)));
    assert!(catalog.online_event(tcpclean("one", 20)).await.unwrap());
    assert_eq!((state(&catalog).await.online, state(&catalog).await.since_ms), (false, Some(20)));
}

pub async fn a_tcpclean_cancels_only_its_own_connection(store: &impl Store) {
    let catalog = with_phone(store).await;
    assert!(catalog.online_event(connect("old", 10)).await.unwrap());
    assert!(!catalog.online_event(connect("new", 20)).await.unwrap());
    assert!(!catalog.online_event(tcpclean("old", 30)).await.unwrap());
    assert!(state(&catalog).await.online);
    assert!(catalog.online_event(tcpclean("new", 40)).await.unwrap());
    assert!(!state(&catalog).await.online);
}

pub async fn a_tcpclean_that_overtook_its_connect_wins(store: &impl Store) {
    let catalog = with_phone(store).await;
    assert!(!catalog.online_event(tcpclean("one", 20)).await.unwrap());
    assert!(!catalog.online_event(connect("one", 10)).await.unwrap());
    assert!(!state(&catalog).await.online);
}

pub async fn events_in_any_order_and_repeated_lead_to_the_same_state(store: &impl Store) {
    let catalog = with_phone(store).await;
    for (round, order) in orders_of_four().into_iter().enumerate() {
        let [gone, stays] = [format!("gone {round}"), format!("stays {round}")];
        let events = [connect(&gone, 10), tcpclean(&gone, 20), connect(&stays, 30), connect(&gone, 10)];
        for index in order {
            catalog.online_event(events[index].clone()).await.unwrap();
        }
        assert!(state(&catalog).await.online, "order {order:?}");
        assert!(catalog.online_event(tcpclean(&stays, 40)).await.unwrap(), "order {order:?}");
        for repeated in events {
            catalog.online_event(repeated).await.unwrap();
        }
        assert!(!state(&catalog).await.online, "repeated after order {order:?}");
    }
}

fn orders_of_four() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
    all.filter(|order| (0..4).all(|index| order.contains(&index))).collect()
}

pub async fn the_latest_sign_of_absence_counts(store: &impl Store) {
    let catalog = with_phone(store).await;
    for event in [tcpclean("two", 200), tcpclean("one", 100), connect("two", 150)] {
        assert!(!catalog.online_event(event).await.unwrap());
    }
    assert_eq!(state(&catalog).await.since_ms, Some(200));
}

pub async fn online_state_survives_a_crash(store: &impl Store) {
    let catalog = with_phone(store).await;
    catalog.online_event(tcpclean("one", 20)).await.unwrap();
    catalog.online_event(connect("two", 30)).await.unwrap();
    drop(catalog);
    let catalog = store.open().await;
    assert!(!catalog.online_event(connect("one", 10)).await.unwrap());
    assert!(catalog.online_event(tcpclean("two", 40)).await.unwrap());
    assert!(!state(&catalog).await.online);
}

pub async fn old_tcpcleans_are_pruned_and_open_connections_are_not(store: &impl Store) {
    let catalog = with_phone(store).await;
    catalog.online_event(connect("open", 10)).await.unwrap();
    catalog.online_event(tcpclean("gone", 20)).await.unwrap();
    assert_eq!(catalog.prune(20 + TCPCLEAN_KEEP_MS).await.unwrap(), 0);
    assert_eq!(catalog.prune(21 + TCPCLEAN_KEEP_MS).await.unwrap(), 1);
    assert!(state(&catalog).await.online);
}
