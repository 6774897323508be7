//! Presence: a client that watches its contacts is told of their changes.

use crate::world::{World, client_id, now_ms};
use catalog::{Accounts, OnlineEvent, OnlineKind, Presence as _};
use signalling::{DownBody, Presence, UpBody};

impl World {
    async fn watches(&mut self, client: &str, watch_s: u32) {
        self.ask(client, None, UpBody::Contacts { watch_s: Some(watch_s) }).await;
        self.find(client, "contacts").await;
    }

    /// The next news of presence that the client gets.
    async fn news(&mut self, client: &str) -> Vec<(String, Presence)> {
        let DownBody::Presence { users } = self.find(client, "presence").await.body else { panic!("no presence") };
        users.into_iter().map(|contact| (contact.user.0, contact.presence)).collect()
    }
}

fn news(user: &str, presence: Presence) -> Vec<(String, Presence)> {
    vec![(user.to_owned(), presence)]
}

#[tokio::test]
async fn who_watches_is_told_who_goes_and_who_comes() {
    let mut world = World::new().await;
    world.watches("alice.phone", 60).await;
    world.goes("carol.phone").await;
    assert_eq!(world.news("alice.phone").await, news("carol", Presence::Offline));
    world.connects_anew("carol.phone", 2).await;
    assert_eq!(world.news("alice.phone").await, news("carol", Presence::Online));
}

#[tokio::test]
async fn nobody_comes_online_by_what_another_has_published() {
    let world = World::new().await;
    world.goes("carol.phone").await;
    world.forges_a_connect("bob.phone", "carol.phone").await;
    // Behind it on the same topic.
    world.goes("alice.phone").await;
    let carols = world.catalog.devices_of(&["carol".to_owned()]).await.unwrap();
    assert!(!carols.is_empty() && carols.iter().all(|device| !device.online), "{carols:?}");
}

#[tokio::test]
async fn who_watches_is_told_of_calls() {
    let mut world = World::new().await;
    world.watches("carol.phone", 60).await;
    let meeting = world.in_call().await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(world.news("carol.phone").await);
    }
    told.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(told, [news("alice", Presence::InCall), news("bob", Presence::InCall)].concat());
    world.ask("alice.phone", meeting, UpBody::Destroy {}).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(world.news("carol.phone").await);
    }
    assert!(told.iter().all(|(_, presence)| *presence == Presence::Online), "{told:?}");
}

#[tokio::test]
async fn who_is_back_within_three_seconds_was_never_away() {
    let mut world = World::new().await;
    world.watches("alice.phone", 60).await;
    world.goes("carol.phone").await;
    world.connects_anew("carol.phone", 2).await;
    for client in ["bob.phone", "bob.laptop"] {
        world.goes(client).await;
    }
    assert_eq!(world.news("alice.phone").await, news("bob", Presence::Offline));
}

#[tokio::test]
async fn whose_watch_has_ended_or_who_has_gone_is_told_nothing() {
    let mut world = World::new().await;
    for client in ["alice.phone", "bob.phone", "bob.laptop"] {
        world.watches(client, 60).await;
    }
    world.watches("bob.phone", 0).await;
    world.ask("alice.phone", None, UpBody::Contacts { watch_s: None }).await;
    world.find("alice.phone", "contacts").await;
    world.goes("bob.laptop").await;
    world.goes("carol.phone").await;
    assert_eq!(world.news("alice.phone").await, news("carol", Presence::Offline));
    for client in ["bob.phone", "bob.laptop"] {
        assert_eq!(world.rest(client).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_another_service_has_heard_is_told_too() {
    let mut world = World::new().await;
    world.watches("alice.phone", 60).await;
    let gone = OnlineEvent {
        client_id: client_id("carol.phone"),
        channel_id: "carol.phone-1".to_owned(),
        kind: OnlineKind::TcpClean,
        at_ms: now_ms(),
    };
    world.catalog.online_events(&[gone]).await.unwrap();
    assert_eq!(world.news("alice.phone").await, news("carol", Presence::Offline));
}

#[tokio::test]
async fn who_was_never_there_is_first_seen_as_online() {
    let mut world = World::new().await;
    world.catalog.put_user(catalog::User { user: "dave".to_owned(), name: "DAVE".to_owned() }).await.unwrap();
    world.add_device("dave", "phone").await;
    world.ask("alice.phone", None, UpBody::Contacts { watch_s: Some(60) }).await;
    let DownBody::Contacts { users } = world.find("alice.phone", "contacts").await.body else { panic!("no contacts") };
    let dave = users.iter().find(|contact| contact.user.as_str() == "dave").unwrap();
    assert_eq!((dave.presence, dave.since_ms), (Presence::Offline, None));
    world.comes("dave.phone").await;
    assert_eq!(world.news("alice.phone").await, news("dave", Presence::Online));
}
