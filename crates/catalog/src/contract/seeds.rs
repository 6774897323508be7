//! What the program makes by itself.

use super::{Store, group, parent, user};
use crate::{
    AccessKey, Accounts, Actor, Audit, By, Change, Grant, Key, KeyUpdate, Kind, LoginLink, Order, Origin, ParentUpdate,
    Rule, Seed, Seeded, Seeds, Topics, User,
};

async fn change(catalog: &impl Audit, change: Change) {
    let by = By { actor: Actor::Owner, address: None, at_ms: 1_000, right_as_of: None };
    catalog.apply(Order { change, by, expected: None }).await.unwrap();
}

fn grant() -> Grant {
    Grant::to_publish("GID_test", "up")
}

fn access_key(secret: &str) -> AccessKey {
    AccessKey { key_id: "dev".to_owned(), secret: secret.to_owned(), instance: "convoke".to_owned(), created_at_ms: 0 }
}

fn link() -> LoginLink {
    LoginLink::new("0123456789abcdef0123456789abcdef".to_owned(), "ann".to_owned())
}

/// One of each kind, in an order in which they can be made.
fn all() -> [Seed; 6] {
    [
        Seed::Group(group("GID_test")),
        Seed::Parent(parent("up", Rule::ToQueue)),
        Seed::Grant(grant()),
        Seed::AccessKey(access_key("secret")),
        Seed::User(user("ann")),
        Seed::Link(link()),
    ]
}

pub async fn what_was_seeded_once_is_kept_over_starts_as_its_owner_has_made_it<S: Store>(store: &S) {
    let catalog = store.open().await;
    for seed in all() {
        assert_eq!(catalog.seed(seed.clone(), Origin::Configuration).await, Ok(Seeded::Made), "{seed:?}");
    }
    change(
        &catalog,
        Change::UpdateParent { parent: "up".to_owned(), update: ParentUpdate { rule: Some(Rule::Both), kept_s: None } },
    )
    .await;
    let update = KeyUpdate { note: Some("mine".to_owned()), ..KeyUpdate::default() };
    change(&catalog, Change::UpdateKey { key_id: "dev".to_owned(), update }).await;
    drop(catalog);
    let catalog = store.open().await;
    for seed in all() {
        assert_eq!(catalog.seed(seed.clone(), Origin::Configuration).await, Ok(Seeded::Kept), "{seed:?}");
    }
    let access = catalog.access().await.unwrap();
    assert_eq!((access.parents[0].rule, access.keys[0].note.as_str()), (Rule::Both, "mine"));
    // Its file has another one now.
    catalog.seed(Seed::AccessKey(access_key("another")), Origin::Configuration).await.unwrap();
    let secrets = &catalog.access().await.unwrap().keys[0].secrets;
    assert_eq!(*secrets, Key::from(access_key("another")).secrets);
}

pub async fn what_an_owner_has_removed_stays_removed_and_what_is_new_is_made<S: Store>(store: &S) {
    let catalog = store.open().await;
    for seed in all() {
        catalog.seed(seed, Origin::Configuration).await.unwrap();
    }
    change(&catalog, Change::RemoveGroup { group: "GID_test".to_owned(), force: true }).await;
    change(&catalog, Change::RemoveParent { parent: "up".to_owned(), force: true }).await;
    change(&catalog, Change::RemoveKey { key_id: "dev".to_owned() }).await;
    change(&catalog, Change::RemoveUser { user: "ann".to_owned(), force: true }).await;
    drop(catalog);
    let catalog = store.open().await;
    let revision = catalog.access().await.unwrap().revision;
    for seed in all() {
        assert_eq!(catalog.seed(seed.clone(), Origin::Configuration).await, Ok(Seeded::Removed), "{seed:?}");
    }
    assert_eq!(catalog.access().await.unwrap().revision, revision);
    assert_eq!(catalog.seed(Seed::Group(group("GID_more")), Origin::Configuration).await, Ok(Seeded::Made));
    // It belongs to what is gone.
    let more = Grant::to_publish("GID_more", "up");
    assert_eq!(catalog.seed(Seed::Grant(more), Origin::Configuration).await, Ok(Seeded::Removed));
    // An owner brings it back.
    change(&catalog, Change::CreateGroup(group("GID_test"))).await;
    assert_eq!(catalog.seed(Seed::Group(group("GID_test")), Origin::Configuration).await, Ok(Seeded::Kept));
    let raised = *catalog.access_revision().borrow();
    assert_eq!(raised, catalog.access().await.unwrap().revision);
}

pub async fn what_a_trial_has_made_is_known_until_it_is_forgotten<S: Store>(store: &S) {
    let catalog = store.open().await;
    catalog.put_user(user("bob")).await.unwrap();
    for name in ["GID_test", "GID_more"] {
        catalog.seed(Seed::Group(group(name)), Origin::Configuration).await.unwrap();
    }
    for seed in [Seed::AccessKey(access_key("secret")), Seed::User(user("ann")), Seed::Link(link())] {
        assert_eq!(catalog.seed(seed, Origin::Dev).await, Ok(Seeded::Made));
    }
    assert_eq!(catalog.seed(Seed::User(user("bob")), Origin::Dev).await, Ok(Seeded::Owners));
    let (key, user) = ((Kind::Key, "dev".to_owned()), (Kind::User, "ann".to_owned()));
    let all = vec![key.clone(), (Kind::Link, link().link_id), user.clone()];
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), all, "bob was there before");
    change(&catalog, Change::RemoveLink { link_id: link().link_id }).await;
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), [key, user]);
    change(&catalog, Change::RemoveKey { key_id: "dev".to_owned() }).await;
    catalog.forget_seeds(Origin::Dev).await.unwrap();
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), []);
    assert_eq!(catalog.seeded(Origin::Configuration).await.unwrap().len(), 2);
    assert_eq!(catalog.seed(Seed::AccessKey(access_key("secret")), Origin::Dev).await, Ok(Seeded::Made));
}

pub async fn what_an_owner_makes_under_the_name_of_a_trial_is_the_owners<S: Store>(store: &S) {
    let catalog = store.open().await;
    let trial = [Seed::AccessKey(access_key("leaked")), Seed::User(user("ann")), Seed::Link(link())];
    for seed in trial.clone() {
        assert_eq!(catalog.seed(seed, Origin::Dev).await, Ok(Seeded::Made));
    }
    change(&catalog, Change::RemoveKey { key_id: "dev".to_owned() }).await;
    change(&catalog, Change::RemoveUser { user: "ann".to_owned(), force: true }).await;
    let own = Key::from(access_key("own"));
    change(&catalog, Change::CreateKey(own.clone())).await;
    change(&catalog, Change::PutUser(User { name: "Ann of the owner".to_owned(), ..user("ann") })).await;
    drop(catalog);
    let catalog = store.open().await;
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), [], "it would be removed with the trial");
    let revision = catalog.access().await.unwrap().revision;
    let [key, ann, _] = trial;
    for (seed, expected) in [(key, Seeded::Owners), (ann, Seeded::Owners), (Seed::Link(link()), Seeded::Removed)] {
        assert_eq!(catalog.seed(seed.clone(), Origin::Dev).await, Ok(expected), "{seed:?}");
    }
    let access = catalog.access().await.unwrap();
    assert_eq!((access.revision, access.keys), (revision, vec![own]));
    assert_eq!(catalog.user("ann").await.unwrap().unwrap().name, "Ann of the owner");
    // It is not made again either when the owner removes it.
    change(&catalog, Change::RemoveKey { key_id: "dev".to_owned() }).await;
    let again = catalog.seed(Seed::AccessKey(access_key("leaked")), Origin::Dev).await;
    assert_eq!(again, Ok(Seeded::Removed));
}

pub async fn a_trial_leaves_what_was_there_before_it<S: Store>(store: &S) {
    let catalog = store.open().await;
    let own = Key::from(access_key("own"));
    change(&catalog, Change::CreateKey(own.clone())).await;
    change(&catalog, Change::PutUser(User { name: "Ann of the owner".to_owned(), ..user("ann") })).await;
    for seed in [Seed::AccessKey(access_key("trial")), Seed::User(user("ann")), Seed::Link(link())] {
        assert_eq!(catalog.seed(seed.clone(), Origin::Dev).await, Ok(Seeded::Owners), "{seed:?}");
    }
    assert_eq!(catalog.access().await.unwrap().keys, [own]);
    assert_eq!(catalog.user("ann").await.unwrap().unwrap().name, "Ann of the owner");
    assert_eq!(
        catalog.login_link(&link().secret_sha256).await.unwrap(),
        None,
        "it lets a trial in as the owner's user"
    );
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), []);
    // Of a trial before seeds were remembered.
    catalog.put_login_link(link()).await.unwrap();
    assert_eq!(catalog.seed(Seed::Link(link()), Origin::Dev).await, Ok(Seeded::Kept));
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), [(Kind::Link, link().link_id)]);
}

pub async fn a_secret_that_an_owner_has_rotated_does_not_come_back<S: Store>(store: &S) {
    let catalog = store.open().await;
    catalog.seed(Seed::AccessKey(access_key("leaked")), Origin::Dev).await.unwrap();
    let rotate = Change::RotateKey { key_id: "dev".to_owned(), secret: "new".to_owned(), previous_until_ms: 1_000 };
    change(&catalog, rotate).await;
    let rotated = catalog.access().await.unwrap().keys;
    assert_eq!(catalog.seed(Seed::AccessKey(access_key("leaked")), Origin::Dev).await, Ok(Seeded::Owners));
    assert_eq!(catalog.access().await.unwrap().keys, rotated);
    assert_eq!(catalog.seeded(Origin::Dev).await.unwrap(), [(Kind::Key, "dev".to_owned())], "it goes with the trial");
}
