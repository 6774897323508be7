//! State and contacts: what a user is told of itself and of others.

use crate::world::World;
use catalog::{Accounts, Topics};
use signalling::{DownBody, Presence, UpBody};

#[tokio::test]
async fn contacts_are_all_others_with_their_presence() {
    let mut world = World::new().await;
    world.in_call().await;
    world.goes("carol.phone").await;
    world.ask("alice.phone", None, UpBody::Contacts { watch_s: None }).await;
    let DownBody::Contacts { users } = world.find("alice.phone", "contacts").await.body else { panic!("no contacts") };
    let shown: Vec<_> = users.iter().map(|user| (user.user.as_str(), user.name.as_str(), user.presence)).collect();
    assert_eq!(shown, [("bob", "BOB", Presence::InCall), ("carol", "CAROL", Presence::Offline)]);
    assert!(users[1].since_ms.is_some() && users[0].since_ms.is_none());
}

#[tokio::test]
async fn state_names_a_ring_with_parameters_for_the_device_that_asks() {
    let mut world = World::new().await;
    let (meeting, invitation) = world.ringing().await;
    world.add_device("bob", "tablet").await;
    let state = world.state("bob.tablet").await;
    assert_eq!((state.user.as_str(), state.rings.len()), ("bob", 1));
    let ring = &state.rings[0];
    assert_eq!((ring.invitation, ring.meeting), (invitation, meeting));
    assert_eq!(world.claims(&ring.join).rev, ring.rev);
    world.ask("bob.tablet", meeting, UpBody::Accept { invitation }).await;
    world.find("bob.tablet", "admitted").await;
}

#[tokio::test]
async fn state_names_the_call_and_gives_parameters_to_the_device_that_is_in_it() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let here = world.state("bob.phone").await.call.unwrap();
    assert!(here.here && here.meeting == meeting);
    assert_eq!(Some(world.claims(here.join.as_ref().unwrap()).participation), here.join.map(|join| join.participation));
    let there = world.state("bob.laptop").await.call.unwrap();
    assert!(!there.here && there.join.is_none());
    assert!(world.state("carol.phone").await.call.is_none());
}

#[tokio::test]
async fn a_group_that_is_made_later_is_followed() {
    use catalog::Group;
    use queue::TopicName;
    let world = World::new().await;
    world.catalog.put_group(Group { group: "GID_later".to_owned() }).await.unwrap();
    world.until_topic(&TopicName::parse("GID_later_MQTT").unwrap()).await;
}

#[tokio::test]
async fn contacts_fit_into_one_message_however_long_their_names_are() {
    use catalog::User;
    let mut world = World::new().await;
    for n in 0..200 {
        let user = User { user: format!("{n:064}"), name: "💬".repeat(64) };
        world.catalog.put_user(user).await.unwrap();
    }
    world.ask("alice.phone", None, UpBody::Contacts { watch_s: None }).await;
    let contacts = world.find("alice.phone", "contacts").await;
    assert!(serde_json::to_vec(&contacts).unwrap().len() <= 64 * 1024);
    let DownBody::Contacts { users } = contacts.body else { panic!("no contacts") };
    assert!(users.len() > 100, "as many as fit: {}", users.len());
}
