//! Access keys that are disabled, narrowed or removed while services are connected by them.

use catalog::{AccessKey, Change, Key, KeyUpdate, Scope};
use mqtt::ReasonCode;

use crate::login::refusal;
use crate::terminal::{Profile, Said};
use crate::world::{BOB, KEY, SERVICE, World};

fn update(update: KeyUpdate) -> Change {
    Change::UpdateKey { key_id: KEY.0.to_owned(), update }
}

fn disabled(disabled: bool) -> Change {
    update(KeyUpdate { disabled: Some(disabled), ..KeyUpdate::default() })
}

fn narrowed_to(scope: Scope) -> Change {
    update(KeyUpdate { scopes: Some([scope].into_iter().collect()), ..KeyUpdate::default() })
}

#[test]
fn a_service_whose_key_is_disabled_is_told_why_and_comes_back_once_it_is_enabled() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::of(SERVICE));
    world.change_key(disabled(true));
    assert_eq!(service.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(service.last_words.as_deref().is_some_and(|words| words.contains("access key")));
    assert_eq!(refusal(&world, Profile::of(SERVICE)), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    world.change_key(disabled(false));
    let again = world.connect(Profile::of(SERVICE));
    assert!(again.session_present, "its session has stayed");
    bob.ping();
}

#[test]
fn a_service_that_speaks_3_1_1_is_closed_when_its_key_is_removed() {
    let world = World::new();
    let mut service = world.connect(Profile::v311(SERVICE));
    world.change_key(Change::RemoveKey { key_id: KEY.0.to_owned() });
    assert_eq!(service.expect_end(), Said::Closed);
}

#[test]
fn a_service_whose_key_lacks_topics_does_not_come_back_to_its_subscriptions() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    world.change_key(narrowed_to(Scope::Devices));
    assert_eq!(service.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(refusal(&world, Profile::of(SERVICE)), ReasonCode::NOT_AUTHORIZED);
    world.change_key(narrowed_to(Scope::Topics));
    assert!(world.connect(Profile::of(SERVICE)).session_present);
}

/// Its first secret has the number that the old key's had.
#[test]
fn a_key_that_is_made_anew_under_the_name_of_a_removed_one_carries_no_connection_of_that() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    world.change_key_unseen(Change::RemoveKey { key_id: KEY.0.to_owned() });
    let (key_id, secret, instance) = (KEY.0.to_owned(), "another".to_owned(), "convoke".to_owned());
    world.change_key_unseen(Change::CreateKey(Key::from(AccessKey { key_id, secret, instance, created_at_ms: 1 })));
    world.change_key(update(KeyUpdate { note: Some("new".to_owned()), ..KeyUpdate::default() }));
    assert_eq!(service.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn more_services_than_a_turn_ends_are_all_ended() {
    const SERVICES: usize = 700;
    let world = World::new();
    let mut services: Vec<_> =
        (0..SERVICES).map(|n| world.connect(Profile::of(&format!("GID_dev@@@many-{n}")))).collect();
    world.change_key(disabled(true));
    for service in &mut services {
        assert_eq!(service.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    }
    world.until("none is left", |stats| stats.connections == 0);
}
