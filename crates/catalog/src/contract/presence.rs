//! Online state from events that may be repeated and overtake each other.

use super::{Store, device, names, with_people};
use crate::limits::TCPCLEAN_KEEP_MS;
use crate::{Accounts, Catalog, ClientOnline, DeviceState, OnlineEvent, OnlineKind, Presence};

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

/// Whether the client came or went by it.
async fn tell(catalog: &impl Catalog, event: OnlineEvent) -> bool {
    let [client] = catalog.online_events(&[event]).await.unwrap().try_into().unwrap();
    client.changed
}

async fn state(catalog: &impl Catalog) -> DeviceState {
    catalog.devices_of(&names(&["ann"])).await.unwrap().remove(0)
}

pub async fn a_client_is_online_from_connect_to_tcpclean(store: &impl Store) {
    let catalog = with_phone(store).await;
    assert_eq!((state(&catalog).await.online, state(&catalog).await.since_ms), (false, None));
    assert!(tell(&catalog, connect("one", 10)).await);
    assert_eq!((state(&catalog).await.online, state(&catalog).await.since_ms), (true, Some(10)));
    assert!(tell(&catalog, tcpclean("one", 20)).await);
    assert_eq!((state(&catalog).await.online, state(&catalog).await.since_ms), (false, Some(20)));
}

pub async fn a_tcpclean_cancels_only_its_own_connection(store: &impl Store) {
    let catalog = with_phone(store).await;
    assert!(tell(&catalog, connect("old", 10)).await);
    assert!(!tell(&catalog, connect("new", 20)).await);
    assert!(!tell(&catalog, tcpclean("old", 30)).await);
    assert!(state(&catalog).await.online);
    assert!(tell(&catalog, tcpclean("new", 40)).await);
    assert!(!state(&catalog).await.online);
}

pub async fn a_tcpclean_that_overtook_its_connect_wins(store: &impl Store) {
    let catalog = with_phone(store).await;
    assert!(!tell(&catalog, tcpclean("one", 20)).await);
    assert!(!tell(&catalog, connect("one", 10)).await);
    assert!(!state(&catalog).await.online);
}

pub async fn events_in_any_order_and_repeated_lead_to_the_same_state(store: &impl Store) {
    let catalog = with_phone(store).await;
    for (round, order) in orders_of_four().into_iter().enumerate() {
        let [gone, stays] = [format!("gone {round}"), format!("stays {round}")];
        let events = [connect(&gone, 10), tcpclean(&gone, 20), connect(&stays, 30), connect(&gone, 10)];
        for index in order {
            tell(&catalog, events[index].clone()).await;
        }
        assert!(state(&catalog).await.online, "order {order:?}");
        assert!(tell(&catalog, tcpclean(&stays, 40)).await, "order {order:?}");
        for repeated in events {
            tell(&catalog, repeated).await;
        }
        assert!(!state(&catalog).await.online, "repeated after order {order:?}");
    }
}

pub async fn events_that_come_together_lead_to_the_same_state_as_one_by_one(store: &impl Store) {
    let catalog = with_phone(store).await;
    for (round, order) in orders_of_four().into_iter().enumerate() {
        let [gone, stays] = [format!("gone {round}"), format!("stays {round}")];
        let events = [connect(&gone, 10), tcpclean(&gone, 20), connect(&stays, 30), tcpclean(&gone, 20)];
        let events = order.map(|index| events[index].clone());
        let told = catalog.online_events(&events).await.unwrap();
        assert_eq!(told, [client(true, true)], "order {order:?}");
        assert_eq!(state(&catalog).await.since_ms, Some(30), "order {order:?}");
        let told = catalog.online_events(&[tcpclean(&stays, 40)]).await.unwrap();
        assert_eq!((told, state(&catalog).await.since_ms), (vec![client(false, true)], Some(40)), "order {order:?}");
        let told = catalog.online_events(&events).await.unwrap();
        assert_eq!((told, state(&catalog).await.since_ms), (vec![client(false, false)], Some(40)), "order {order:?}");
    }
}

fn client(online: bool, changed: bool) -> ClientOnline {
    ClientOnline { client_id: PHONE.to_owned(), user: Some("ann".to_owned()), removed: false, online, changed }
}

pub async fn events_of_many_clients_are_told_for_each(store: &impl Store) {
    let catalog = with_phone(store).await;
    let of = |client: usize| OnlineEvent { client_id: format!("GID_test@@@{client:04}"), ..connect("one", 10) };
    let events: Vec<_> = (0..1_200).map(of).chain([connect("one", 10)]).collect();
    let told = catalog.online_events(&events).await.unwrap();
    assert_eq!((told.len(), told.iter().filter(|client| client.changed && client.online).count()), (1_201, 1_201));
    let owned: Vec<_> = told.iter().filter(|client| client.user.is_some()).collect();
    assert_eq!(owned, [&client(true, true)]);
}

pub async fn who_came_or_went_is_among_the_changes_of_presence_once(store: &impl Store) {
    let catalog = with_phone(store).await;
    let stranger = OnlineEvent { client_id: "GID_test@@@stranger".to_owned(), ..connect("one", 10) };
    catalog.online_events(&[connect("one", 10), stranger]).await.unwrap();
    let first = catalog.presence_changes(0, 10).await.unwrap();
    assert_eq!((first.users.clone(), first.more), (names(&["ann"]), false));
    catalog.online_events(&[connect("two", 20)]).await.unwrap();
    let none = catalog.presence_changes(first.last, 10).await.unwrap();
    assert_eq!((none.users, none.last), (names(&[]), first.last), "she was there before");
    catalog.online_events(&[tcpclean("one", 30), tcpclean("two", 30)]).await.unwrap();
    let second = catalog.presence_changes(0, 10).await.unwrap();
    assert_eq!((second.users, second.last > first.last), (names(&["ann"]), true));
}

fn orders_of_four() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
    all.filter(|order| (0..4).all(|index| order.contains(&index))).collect()
}

pub async fn the_latest_sign_of_absence_counts(store: &impl Store) {
    let catalog = with_phone(store).await;
    for event in [tcpclean("two", 200), tcpclean("one", 100), connect("two", 150)] {
        assert!(!tell(&catalog, event).await);
    }
    assert_eq!(state(&catalog).await.since_ms, Some(200));
}

pub async fn online_state_survives_a_crash(store: &impl Store) {
    let catalog = with_phone(store).await;
    tell(&catalog, tcpclean("one", 20)).await;
    tell(&catalog, connect("two", 30)).await;
    drop(catalog);
    let catalog = store.open().await;
    assert!(!tell(&catalog, connect("one", 10)).await);
    assert!(tell(&catalog, tcpclean("two", 40)).await);
    assert!(!state(&catalog).await.online);
}

pub async fn old_tcpcleans_are_pruned_and_open_connections_are_not(store: &impl Store) {
    let catalog = with_phone(store).await;
    tell(&catalog, connect("open", 10)).await;
    tell(&catalog, tcpclean("gone", 20)).await;
    assert_eq!(catalog.prune(20 + TCPCLEAN_KEEP_MS).await.unwrap(), 0);
    assert_eq!(catalog.prune(21 + TCPCLEAN_KEEP_MS).await.unwrap(), 1);
    assert!(state(&catalog).await.online);
}
