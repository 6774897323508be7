//! Changes by owners, and the log of them.

use super::{Store, device, group, parent, user};
use crate::limits::{AUDIT_KEEP_MS, REVOKED_TOKEN_KEEP_MS};
use crate::{
    AccessKey, Accounts, Actor, ActorLost, Applied, ApplyError, Audit, AuditPage, By, Catalog, CatalogError, Change,
    ChangeRow, Cut, DeviceFilter, Grant, GrantFilter, Grantee, Key, KeyKind, KeySecret, KeyUpdate, Kind, LoginLink,
    Note, Order, Page, ParentTopic, ParentUpdate, RevokedToken, Rights, Row, Rule, Scope, Topics, Uses,
};
use uuid::Uuid;

const NOW_MS: u64 = 1_800_000_000_000;

fn order(change: Change) -> Order {
    let by = By { actor: Actor::Owner, address: Some("192.0.2.7".to_owned()), at_ms: NOW_MS, right_as_of: None };
    Order { change, by, expected: None }
}

async fn apply(catalog: &impl Catalog, change: Change) -> Result<Applied, ApplyError> {
    catalog.apply(order(change)).await
}

fn key(key_id: &str) -> Key {
    Key {
        key_id: key_id.to_owned(),
        kind: KeyKind::Access,
        instance: "convoke".to_owned(),
        scopes: [Scope::Topics, Scope::Devices].into_iter().collect(),
        note: "the app".to_owned(),
        created_at_ms: NOW_MS,
        expires_at_ms: None,
        disabled: false,
        is_narrowed: false,
        consumer_groups: None,
        secrets: vec![KeySecret { generation: 1, secret: "first secret".to_owned(), valid_until_ms: None }],
    }
}

fn grant() -> Grant {
    Grant::to_publish("GID_test", "up")
}

fn link(secret: &str) -> LoginLink {
    LoginLink::new(secret.repeat(16), "ann".to_owned())
}

fn put_device(key_id: &str, replaces: Option<&str>) -> Change {
    Change::PutDevice { device: device("GID_test@@@a", "ann", key_id), replaces: replaces.map(str::to_owned) }
}

/// One of each.
fn creations() -> [(Change, Kind, &'static str); 7] {
    [
        (Change::CreateGroup(group("GID_test")), Kind::Group, "GID_test"),
        (Change::CreateParent(parent("up", Rule::ToQueue)), Kind::Parent, "up"),
        (Change::CreateGrant(grant()), Kind::Grant, "GID_test/up"),
        (Change::CreateKey(key("svc")), Kind::Key, "svc"),
        (Change::PutUser(user("ann")), Kind::User, "ann"),
        (put_device("DC.1", None), Kind::Device, "GID_test@@@a"),
        (Change::CreateLink(link("abcd")), Kind::Link, "abcdabcdabcdabcd"),
    ]
}

async fn with_all<S: Store>(store: &S) -> S::Engine {
    let catalog = store.open().await;
    for (change, _, _) in creations() {
        apply(&catalog, change).await.unwrap();
    }
    catalog
}

fn update(key_id: &str, update: KeyUpdate) -> Change {
    Change::UpdateKey { key_id: key_id.to_owned(), update }
}

fn to_rule(parent: &str, rule: Rule) -> Change {
    Change::UpdateParent { parent: parent.to_owned(), update: ParentUpdate { rule: Some(rule), kept_s: None } }
}

fn remove_grant(parent: &str) -> Change {
    Change::RemoveGrant { grantee: Grantee::Group("GID_test".to_owned()), parent: parent.to_owned() }
}

fn remove_group(force: bool) -> Change {
    Change::RemoveGroup { group: "GID_test".to_owned(), force }
}

fn page(limit: u32) -> Page {
    Page { after: None, limit }
}

fn gone(key_id: &str) -> Cut {
    Cut::Device { client_id: "GID_test@@@a".to_owned(), key_id: key_id.to_owned() }
}

fn some_rows(limit: u32) -> AuditPage {
    AuditPage { limit, ..AuditPage::default() }
}

pub async fn each_change_is_in_the_log_under_a_number_that_rises(store: &impl Store) {
    let catalog = store.open().await;
    let mut watched = catalog.change_number();
    let (mut last, access) = (*watched.borrow_and_update(), *catalog.access_revision().borrow());
    for (change, kind, subject) in creations() {
        let number = apply(&catalog, change).await.unwrap().number.unwrap();
        assert!(number > last && *watched.borrow_and_update() == number, "{kind:?}");
        last = number;
        let row = catalog.audit(some_rows(1)).await.unwrap().remove(0);
        assert_eq!((row.number, row.kind, row.subject.as_str()), (number, kind, subject));
        assert_eq!((row.actor.as_str(), row.address.as_deref()), ("owner", Some("192.0.2.7")));
        assert_eq!((row.action.as_str(), row.at_ms, row.before.is_none()), ("create", NOW_MS, true));
        assert!(row.after.is_some());
    }
    let snapshot = catalog.access().await.unwrap();
    assert_eq!(snapshot.revision, access + 4, "group, topic, grant and key are rules of access");
    assert_eq!(snapshot.keys, [key("svc")]);
    drop(catalog);
    let again = store.open().await;
    assert_eq!(*again.change_number().borrow(), last);
    assert_eq!(again.changes(0, 100).await.unwrap().len(), creations().len());
}

pub async fn a_revoked_device_stays_registered_and_its_credential_is_void(store: &impl Store) {
    let catalog = with_all(store).await;
    let client_id = "GID_test@@@a".to_owned();
    let before = catalog.device_info(&client_id).await.unwrap().unwrap();
    let revoke = |client_id: &str| Change::RevokeDevice {
        client_id: client_id.to_owned(),
        key_id: "DC.2".to_owned(),
        secret: "nobody's".to_owned(),
    };
    let stale = Order { expected: Some(before.changed + 1), ..order(revoke(&client_id)) };
    assert_eq!(catalog.apply(stale).await, Err(ApplyError::Stale { present: before.changed }));
    let done = apply(&catalog, revoke(&client_id)).await.unwrap();
    assert_eq!(done.cuts, [Cut::Credential { client_id: client_id.clone(), key_id: "DC.1".to_owned() }]);
    let after = catalog.device(&client_id).await.unwrap().unwrap();
    assert_eq!((after.user.as_str(), after.key_id.as_str(), after.secret.as_str()), ("ann", "DC.2", "nobody's"));
    assert_eq!(after.expires_at_ms, NOW_MS);
    assert_eq!(catalog.device_info(&client_id).await.unwrap().unwrap().changed, done.number.unwrap());
    let row = catalog.audit(some_rows(1)).await.unwrap().remove(0);
    assert_eq!((row.action.as_str(), row.kind, row.subject.as_str()), ("revoke", Kind::Device, "GID_test@@@a"));
    assert_eq!(
        (&row.before.unwrap()["credential"], &row.after.unwrap()["credential"]),
        (&"DC.1".into(), &"DC.2".into())
    );
    assert_eq!(apply(&catalog, revoke("GID_test@@@none")).await, Err(ApplyError::Unknown));
}

pub async fn what_is_ordered_elsewhere_is_in_the_log(store: &impl Store) {
    let catalog = with_all(store).await;
    let (number, access) = (*catalog.change_number().borrow(), *catalog.access_revision().borrow());
    for kind in [Kind::Device, Kind::Parent] {
        let after = Some("why".into());
        let note = Note { action: "kick", kind, subject: "GID_test@@@a".to_owned(), after: after.clone() };
        let done = apply(&catalog, Change::Note(note)).await.unwrap();
        assert!(done.number > Some(number) && done.cuts.is_empty() && done.access_revision.is_none());
        let row = catalog.audit(some_rows(1)).await.unwrap().remove(0);
        assert_eq!((row.action.as_str(), row.kind, row.subject.as_str()), ("kick", kind, "GID_test@@@a"));
        assert_eq!((row.before, row.after), (None, after));
    }
    assert_eq!(*catalog.access_revision().borrow(), access);
}

pub async fn what_is_as_it_is_wished_changes_nothing(store: &impl Store) {
    let catalog = with_all(store).await;
    let number = *catalog.change_number().borrow();
    for change in [
        Change::CreateGroup(group("GID_test")),
        Change::CreateParent(parent("up", Rule::ToQueue)),
        to_rule("up", Rule::ToQueue),
        Change::CreateGrant(grant()),
        update("svc", KeyUpdate { note: Some("the app".to_owned()), ..KeyUpdate::default() }),
        Change::PutUser(user("ann")),
    ] {
        assert_eq!(apply(&catalog, change.clone()).await, Ok(Applied::default()), "{change:?}");
    }
    assert_eq!(*catalog.change_number().borrow(), number);
}

pub async fn another_thing_of_the_same_name_is_refused(store: &impl Store) {
    let catalog = with_all(store).await;
    for change in [
        Change::CreateParent(parent("up", Rule::None)),
        Change::CreateParent(parent("UP", Rule::ToQueue)),
        Change::CreateKey(key("svc")),
        Change::CreateLink(link("abcd")),
    ] {
        assert_eq!(apply(&catalog, change.clone()).await, Err(ApplyError::Exists), "{change:?}");
    }
    for change in [
        to_rule("Up", Rule::None),
        Change::RemoveParent { parent: "down".to_owned(), force: true },
        Change::RemoveGroup { group: "GID_else".to_owned(), force: true },
        remove_grant("down"),
        Change::RemoveKey { key_id: "other".to_owned() },
        Change::RemoveUser { user: "bob".to_owned(), force: true },
        Change::RemoveDevice { client_id: "GID_test@@@b".to_owned(), key_id: None },
        Change::RemoveDevice { client_id: "GID_test@@@a".to_owned(), key_id: Some("DC.0".to_owned()) },
        Change::RemoveLink { link_id: "none".to_owned() },
        Change::UpdateLink { link_id: "none".to_owned(), expires_at_ms: NOW_MS },
        Change::RenameDevice { client_id: "GID_test@@@b".to_owned(), name: None },
    ] {
        assert_eq!(apply(&catalog, change.clone()).await, Err(ApplyError::Unknown), "{change:?}");
    }
}

pub async fn devices_have_names_by_which_they_are_found_and_links_an_end_that_moves(store: &impl Store) {
    let catalog = with_all(store).await;
    let client_id = "GID_test@@@a".to_owned();
    let rename = |name: &str| Change::RenameDevice { client_id: client_id.clone(), name: Some(name.to_owned()) };
    let named = apply(&catalog, rename("Ann's phone")).await.unwrap();
    assert_eq!((named.number.is_some(), named.cuts.len()), (true, 0));
    assert_eq!(apply(&catalog, rename("Ann's phone")).await.unwrap().number, None);
    apply(&catalog, put_device("DC.2", Some("DC.1"))).await.unwrap();
    for (text, count) in [("PHONE", 1), ("test@@@A", 1), ("nn", 1), ("tablet", 0), ("%", 0)] {
        let filter = DeviceFilter { text: Some(text.to_owned()), ..DeviceFilter::default() };
        let found = catalog.devices(filter, page(10)).await.unwrap();
        assert_eq!(found.len(), count, "{text}");
        assert!(found.iter().all(|row| row.value.name.as_deref() == Some("Ann's phone")), "a new login keeps the name");
    }
    let link_id = "abcdabcdabcdabcd".to_owned();
    let ends = |at_ms| Change::UpdateLink { link_id: link_id.clone(), expires_at_ms: at_ms };
    let number = apply(&catalog, ends(NOW_MS + 5)).await.unwrap().number;
    assert_eq!(apply(&catalog, ends(NOW_MS + 5)).await.unwrap().number, None);
    let row = catalog.link(&link_id).await.unwrap().unwrap();
    assert_eq!((row.value.expires_at_ms, Some(row.changed)), (Some(NOW_MS + 5), number));
    let log = catalog.audit(some_rows(1)).await.unwrap();
    assert_eq!((log[0].action.as_str(), log[0].kind), ("update", Kind::Link));
}

pub async fn what_is_in_use_goes_only_by_force_and_takes_what_uses_it_with_it(store: &impl Store) {
    let catalog = with_all(store).await;
    let uses = Uses { grants: 1, devices: 1, links: 0 };
    assert_eq!(apply(&catalog, remove_group(false)).await, Err(ApplyError::InUse(uses)));
    assert_eq!(uses.to_string(), "1 grant, 1 device");
    let of_parent = |force| Change::RemoveParent { parent: "up".to_owned(), force };
    let refused = apply(&catalog, of_parent(false)).await;
    assert_eq!(refused, Err(ApplyError::InUse(Uses { grants: 1, ..Uses::default() })));
    assert_eq!(catalog.group("GID_test").await.unwrap().map(|(_, uses)| uses), Some(uses));
    let done = apply(&catalog, remove_group(true)).await.unwrap();
    assert_eq!(done.cuts, [gone("DC.1"), Cut::Group { group: "GID_test".to_owned() }]);
    assert_eq!(catalog.device("GID_test@@@a").await.unwrap(), None);
    assert_eq!(catalog.removed_devices().await.unwrap(), ["GID_test@@@a"]);
    apply(&catalog, of_parent(false)).await.unwrap();
    let access = catalog.access().await.unwrap();
    assert!(access.groups.is_empty() && access.parents.is_empty() && access.grants.is_empty());
}

fn grant_of(grantee: Grantee, rights: &str) -> Grant {
    Grant { grantee, parent: "up".to_owned(), rights: Rights::parse(rights).unwrap() }
}

pub async fn a_grant_is_of_a_group_a_user_or_an_access_key_and_goes_with_it(store: &impl Store) {
    let catalog = with_all(store).await;
    let (ann, svc) = (Grantee::User("ann".to_owned()), Grantee::Key("svc".to_owned()));
    for (grantee, name) in [(&ann, "user:ann/up"), (&svc, "key:svc/up")] {
        let wish = grant_of(grantee.clone(), "subscribe p2p");
        assert!(apply(&catalog, Change::CreateGrant(wish.clone())).await.unwrap().number.is_some());
        assert_eq!(apply(&catalog, Change::CreateGrant(wish.clone())).await, Ok(Applied::default()));
        let other = Change::CreateGrant(grant_of(grantee.clone(), "publish"));
        assert_eq!(apply(&catalog, other).await, Err(ApplyError::Exists));
        let row = catalog.audit(some_rows(1)).await.unwrap().remove(0);
        assert_eq!(
            (row.subject.as_str(), row.after.unwrap()["rights"].to_string()),
            (name, r#"["subscribe","p2p"]"#.to_owned())
        );
        assert_eq!(catalog.grant(grantee, "up").await.unwrap().map(|row| row.value), Some(wish));
    }
    let names = |rows: Vec<Row<Grant>>| rows.into_iter().map(|row| row.value.name()).collect::<Vec<_>>();
    let all = catalog.grants(GrantFilter::default(), page(10)).await.unwrap();
    assert_eq!(names(all), ["GID_test/up", "key:svc/up", "user:ann/up"]);
    assert_eq!(catalog.access().await.unwrap().grants.len(), 3);
    let uses = Uses { grants: 1, devices: 1, links: 1 };
    let remove = |force| Change::RemoveUser { user: "ann".to_owned(), force };
    assert_eq!(apply(&catalog, remove(false)).await, Err(ApplyError::InUse(uses)));
    let before = catalog.access().await.unwrap().revision;
    let gone = apply(&catalog, remove(true)).await.unwrap();
    assert_eq!(gone.access_revision, Some(before + 1), "a later ann has none of these rights");
    apply(&catalog, Change::RemoveKey { key_id: "svc".to_owned() }).await.unwrap();
    let left = catalog.grants(GrantFilter::default(), page(10)).await.unwrap();
    assert_eq!(names(left), ["GID_test/up"]);
    for stray in [ann, svc, Grantee::Group("GID_else".to_owned())] {
        let refused = apply(&catalog, Change::CreateGrant(grant_of(stray, "publish"))).await;
        assert!(matches!(refused, Err(ApplyError::Catalog(CatalogError::Invalid(_)))), "{refused:?}");
    }
}

pub async fn the_rights_of_a_grant_are_changed_and_no_others_are_touched(store: &impl Store) {
    let catalog = with_all(store).await;
    let wider = grant_of(Grantee::Group("GID_test".to_owned()), "publish subscribe p2p");
    let before = catalog.grant(&wider.grantee, "up").await.unwrap().unwrap();
    let change = |rights| Change::UpdateGrant(grant_of(wider.grantee.clone(), rights));
    let stale = Order { expected: Some(before.changed + 1), ..order(change("p2p")) };
    assert_eq!(catalog.apply(stale).await, Err(ApplyError::Stale { present: before.changed }));
    let done = apply(&catalog, change("publish subscribe p2p")).await.unwrap();
    let row = catalog.grant(&wider.grantee, "up").await.unwrap().unwrap();
    assert_eq!((Some(row.changed), row.value), (done.number, wider.clone()));
    assert_eq!(apply(&catalog, change("publish subscribe p2p")).await, Ok(Applied::default()));
    let log = catalog.audit(some_rows(1)).await.unwrap().remove(0);
    assert_eq!((log.action.as_str(), &log.before.unwrap()["rights"][0]), ("update", &"publish".into()));
    let ends = [Cut::Subscriptions { parent: "up".to_owned() }];
    assert_eq!(done.cuts, [], "it gives more");
    assert_eq!(apply(&catalog, change("publish subscribe")).await.unwrap().cuts, [], "each PUBLISH is judged");
    let narrowed = apply(&catalog, change("publish")).await.unwrap();
    assert_eq!(narrowed.cuts, ends);
    assert_eq!(catalog.changes(narrowed.number.unwrap() - 1, 1).await.unwrap()[0].cuts, ends);
    apply(&catalog, change("subscribe")).await.unwrap();
    assert_eq!(apply(&catalog, remove_grant("up")).await.unwrap().cuts, ends);
    apply(&catalog, Change::CreateGrant(wider.clone())).await.unwrap();
    let parent_gone = Change::RemoveParent { parent: "up".to_owned(), force: true };
    assert_eq!(apply(&catalog, parent_gone).await.unwrap().cuts, ends);
    let unknown = Change::UpdateGrant(Grant { parent: "down".to_owned(), ..wider });
    assert_eq!(apply(&catalog, unknown).await, Err(ApplyError::Unknown));
}

/// To take something back gives nothing.
pub async fn the_first_grant_of_a_key_narrows_it_for_good(store: &impl Store) {
    let catalog = with_all(store).await;
    let svc = Grantee::Key("svc".to_owned());
    let is_narrowed = async || catalog.key("svc").await.unwrap().unwrap().value.is_narrowed;
    assert!(!is_narrowed().await);
    let done = apply(&catalog, Change::CreateGrant(grant_of(svc.clone(), "publish"))).await.unwrap();
    assert_eq!(done.cuts, [Cut::Key { key_id: "svc".to_owned() }]);
    assert!(is_narrowed().await && catalog.access().await.unwrap().keys[0].is_narrowed);
    apply(&catalog, Change::CreateParent(parent("down", Rule::None))).await.unwrap();
    let second = Grant { parent: "down".to_owned(), ..grant_of(svc.clone(), "publish") };
    assert_eq!(apply(&catalog, Change::CreateGrant(second)).await.unwrap().cuts, []);
    for parent in ["down", "up"] {
        let remove = Change::RemoveGrant { grantee: svc.clone(), parent: parent.to_owned() };
        apply(&catalog, remove).await.unwrap();
    }
    assert!(is_narrowed().await);
    let api = Key { key_id: "api".to_owned(), kind: KeyKind::Api, ..key("api") };
    apply(&catalog, Change::CreateKey(api)).await.unwrap();
    let refused = apply(&catalog, Change::CreateGrant(grant_of(Grantee::Key("api".to_owned()), "publish"))).await;
    assert!(matches!(refused, Err(ApplyError::Catalog(CatalogError::Invalid(_)))), "{refused:?}");
}

pub async fn a_user_goes_with_all_that_is_its_own(store: &impl Store) {
    let catalog = with_all(store).await;
    let remove = |force| Change::RemoveUser { user: "ann".to_owned(), force };
    let uses = Uses { grants: 0, devices: 1, links: 1 };
    assert_eq!(apply(&catalog, remove(false)).await, Err(ApplyError::InUse(uses)));
    let done = apply(&catalog, remove(true)).await.unwrap();
    assert_eq!(done.cuts, [gone("DC.1")]);
    assert_eq!(catalog.user("ann").await.unwrap(), None);
    assert_eq!(catalog.links(None, page(10)).await.unwrap(), []);
    assert_eq!(catalog.devices(DeviceFilter::default(), page(10)).await.unwrap(), []);
    apply(&catalog, remove_group(true)).await.unwrap();
}

pub async fn a_change_of_what_was_changed_meanwhile_is_refused(store: &impl Store) {
    let catalog = with_all(store).await;
    let (row, _) = catalog.parent("up").await.unwrap().unwrap();
    let to = |rule, expected| Order { expected: Some(expected), ..order(to_rule("up", rule)) };
    let present = catalog.apply(to(Rule::Both, row.changed)).await.unwrap().number.unwrap();
    assert_eq!(catalog.apply(to(Rule::None, row.changed)).await, Err(ApplyError::Stale { present }));
    let remove = Change::RemoveKey { key_id: "svc".to_owned() };
    let stale = Order { expected: Some(present), ..order(remove) };
    assert!(matches!(catalog.apply(stale).await, Err(ApplyError::Stale { .. })));
    assert_eq!(catalog.parent("UP").await.unwrap().unwrap().0.value, parent("up", Rule::Both));
    assert!(catalog.key("svc").await.unwrap().is_some());
}

pub async fn what_is_kept_of_a_topic_changes_without_its_rule_and_stays_when_that_is_seeded(store: &impl Store) {
    let catalog = with_all(store).await;
    let keep = |kept_s| Change::UpdateParent {
        parent: "up".to_owned(),
        update: ParentUpdate { rule: None, kept_s: Some(kept_s) },
    };
    for kept_s in [Some(0), Some(60)] {
        let done = apply(&catalog, keep(kept_s)).await.unwrap();
        let wished = ParentTopic { kept_s, ..parent("up", Rule::ToQueue) };
        assert_eq!(catalog.access().await.unwrap().parents, std::slice::from_ref(&wished));
        let (row, _) = catalog.parent("up").await.unwrap().unwrap();
        assert_eq!((Some(row.changed), row.value), (done.number, wished));
    }
    let log = catalog.audit(some_rows(1)).await.unwrap().remove(0);
    assert_eq!((&log.before.unwrap()["kept_s"], &log.after.unwrap()["kept_s"]), (&0.into(), &60.into()));
    apply(&catalog, to_rule("up", Rule::Both)).await.unwrap();
    catalog.put_parent(parent("up", Rule::None)).await.unwrap();
    let kept = ParentTopic { kept_s: Some(60), ..parent("up", Rule::None) };
    assert_eq!(catalog.parents(page(1)).await.unwrap()[0].value, kept);
    apply(&catalog, keep(None)).await.unwrap();
    assert_eq!(catalog.parents(page(1)).await.unwrap()[0].value, parent("up", Rule::None));
}

pub async fn a_registration_over_another_credential_than_was_seen_is_refused(store: &impl Store) {
    let catalog = with_all(store).await;
    let present = catalog.device_info("GID_test@@@a").await.unwrap().unwrap().changed;
    for seen in [None, Some("DC.0")] {
        assert_eq!(apply(&catalog, put_device("DC.2", seen)).await, Err(ApplyError::Stale { present }), "{seen:?}");
    }
    apply(&catalog, remove_group(true)).await.unwrap();
    apply(&catalog, Change::CreateGroup(group("GID_test"))).await.unwrap();
    let removed = apply(&catalog, put_device("DC.2", Some("DC.1"))).await;
    assert_eq!(removed, Err(ApplyError::Stale { present: 0 }));
    assert!(catalog.was_removed("GID_test@@@a").await.unwrap(), "nothing was done");
    apply(&catalog, put_device("DC.2", None)).await.unwrap();
    assert!(!catalog.was_removed("GID_test@@@a").await.unwrap());
}

pub async fn who_has_lost_the_right_meanwhile_changes_nothing(store: &impl Store) {
    let catalog = with_all(store).await;
    let by = |actor: Actor, change| Order {
        by: By { actor, address: None, at_ms: NOW_MS, right_as_of: None },
        ..order(change)
    };
    let (key, holder) = (Actor::Key("svc".to_owned()), Actor::Link("abcdabcdabcdabcd".to_owned()));
    let wish = |name: &str| Change::CreateGroup(group(name));
    catalog.apply(by(key.clone(), wish("GID_1"))).await.unwrap();
    catalog.apply(by(holder.clone(), put_device("DC.2", Some("DC.1")))).await.unwrap();
    apply(&catalog, update("svc", KeyUpdate { disabled: Some(true), ..KeyUpdate::default() })).await.unwrap();
    apply(&catalog, Change::RemoveLink { link_id: "abcdabcdabcdabcd".to_owned() }).await.unwrap();
    let number = *catalog.change_number().borrow();
    assert_eq!(catalog.apply(by(key.clone(), wish("GID_2"))).await, Err(ApplyError::Actor(ActorLost::Gone)));
    assert_eq!(
        catalog.apply(by(holder, put_device("DC.3", Some("DC.2")))).await,
        Err(ApplyError::Actor(ActorLost::Gone))
    );
    apply(&catalog, Change::RemoveKey { key_id: "svc".to_owned() }).await.unwrap();
    assert_eq!(catalog.apply(by(key, wish("GID_2"))).await, Err(ApplyError::Actor(ActorLost::Gone)));
    assert_eq!(*catalog.change_number().borrow(), number + 1);
}

pub async fn a_right_is_judged_again_when_its_key_was_changed_meanwhile(store: &impl Store) {
    let catalog = with_all(store).await;
    let seen = catalog.key("svc").await.unwrap().unwrap().changed;
    let order_as_of = |right_as_of, name| {
        let by = By { actor: Actor::Key("svc".to_owned()), address: None, at_ms: NOW_MS, right_as_of };
        Order { by, ..order(Change::CreateGroup(group(name))) }
    };
    catalog.apply(order_as_of(Some(seen), "GID_1")).await.unwrap();
    let narrower = KeyUpdate { scopes: Some([Scope::Topics].into_iter().collect()), ..KeyUpdate::default() };
    for change in [
        update("svc", narrower),
        update("svc", KeyUpdate { expires_at_ms: Some(Some(NOW_MS + 1)), ..KeyUpdate::default() }),
        Change::RotateKey { key_id: "svc".to_owned(), secret: "another".to_owned(), previous_until_ms: NOW_MS },
    ] {
        let seen = catalog.key("svc").await.unwrap().unwrap().changed;
        apply(&catalog, change).await.unwrap();
        assert_eq!(catalog.apply(order_as_of(Some(seen), "GID_2")).await, Err(ApplyError::Actor(ActorLost::Changed)));
        assert_eq!(catalog.group("GID_2").await.unwrap(), None);
    }
    let now = catalog.key("svc").await.unwrap().unwrap().changed;
    catalog.apply(order_as_of(Some(now), "GID_2")).await.unwrap();
}

pub async fn a_key_names_the_consumer_groups_that_it_may_use(store: &impl Store) {
    let catalog = with_all(store).await;
    let wish = |groups: Option<&[&str]>| groups.map(|groups| groups.iter().map(|&group| group.to_owned()).collect());
    let asked = [Some(&["shop", "audit"][..]), Some(&[]), None];
    for groups in asked {
        let change = KeyUpdate { consumer_groups: Some(wish(groups)), ..KeyUpdate::default() };
        apply(&catalog, update("svc", change)).await.unwrap();
        let key = catalog.key("svc").await.unwrap().unwrap().value;
        assert_eq!(key.consumer_groups, wish(groups));
        let in_force = catalog.access().await.unwrap().keys;
        assert!(in_force.contains(&key), "{in_force:?}");
        let may_use = ["shop", "audit", "shopping"].map(|group| key.may_use_group(group));
        assert_eq!(may_use, groups.map_or([true; 3], |groups| [!groups.is_empty(), !groups.is_empty(), false]));
    }
    let named = Key { key_id: "named".to_owned(), consumer_groups: wish(Some(&["shop"])), ..key("named") };
    apply(&catalog, Change::CreateKey(named.clone())).await.unwrap();
    assert_eq!(catalog.key("named").await.unwrap().unwrap().value, named);
}

pub async fn a_key_has_two_secrets_for_a_while(store: &impl Store) {
    let catalog = with_all(store).await;
    let rotate = |secret: &str, until| Change::RotateKey {
        key_id: "svc".to_owned(),
        secret: secret.to_owned(),
        previous_until_ms: until,
    };
    for (secret, until) in [("second secret", NOW_MS + 500), ("third secret", NOW_MS + 900)] {
        assert_eq!(apply(&catalog, rotate(secret, until)).await.unwrap().cuts, []);
    }
    let key = catalog.key("svc").await.unwrap().unwrap().value;
    let secrets: Vec<_> =
        key.secrets.iter().map(|one| (one.generation, one.secret.as_str(), one.valid_until_ms)).collect();
    assert_eq!(secrets, [(3, "third secret", None), (2, "second secret", Some(NOW_MS + 900))]);
    // It does not become valid for longer than it was.
    let done = apply(&catalog, rotate("fourth secret", NOW_MS)).await.unwrap();
    assert_eq!(done.cuts, [Cut::Key { key_id: "svc".to_owned() }], "the old secrets have ended");
    let key = catalog.key("svc").await.unwrap().unwrap().value;
    assert_eq!(key.secrets[1].valid_until_ms, Some(NOW_MS));
    assert_eq!(catalog.access().await.unwrap().keys, [key]);
}

pub async fn a_key_that_the_program_puts_again_stays_as_its_owner_has_made_it(store: &impl Store) {
    let catalog = store.open().await;
    let put = |secret: &str| {
        let [key_id, instance] = ["dev", "convoke"].map(str::to_owned);
        catalog.put_access_key(AccessKey { key_id, secret: secret.to_owned(), instance, created_at_ms: 0 })
    };
    put("first secret").await.unwrap();
    let change =
        KeyUpdate { scopes: Some([Scope::Topics].into_iter().collect()), disabled: Some(true), ..KeyUpdate::default() };
    apply(&catalog, update("dev", change)).await.unwrap();
    let as_changed = catalog.key("dev").await.unwrap().unwrap();
    for secret in ["first secret", "another secret"] {
        put(secret).await.unwrap();
        let key = catalog.key("dev").await.unwrap().unwrap();
        assert_eq!(key.value.secrets.iter().map(|one| one.secret.as_str()).collect::<Vec<_>>(), [secret]);
        let secrets = as_changed.value.secrets.clone();
        assert_eq!(Row { value: Key { secrets, ..key.value }, ..key }, as_changed);
    }
}

fn token(number: u128) -> RevokedToken {
    RevokedToken { id: Uuid::from_u128(number), key_id: Some("svc".to_owned()), expires_at_ms: NOW_MS + 1_000 }
}

pub async fn a_revoked_token_is_known_until_a_while_after_its_time(store: &impl Store) {
    let catalog = store.open().await;
    let before = catalog.access().await.unwrap().revision;
    let done = apply(&catalog, Change::RevokeToken(token(1))).await.unwrap();
    assert_eq!(done.cuts, [Cut::Token { id: token(1).id }]);
    assert!(done.access_revision.unwrap() > before);
    assert_eq!(apply(&catalog, Change::RevokeToken(token(1))).await, Ok(Applied::default()), "it is revoked already");
    apply(&catalog, Change::RevokeToken(RevokedToken { key_id: None, ..token(2) })).await.unwrap();
    let log = catalog.audit(AuditPage { kind: Some(Kind::Token), limit: 10, ..AuditPage::default() }).await.unwrap();
    let rows: Vec<_> = log.iter().map(|row| (row.action.as_str(), row.subject.clone(), row.after.clone())).collect();
    assert_eq!(rows, [2, 1].map(|number| ("revoke", token(number).id.to_string(), None)));
    drop(catalog);
    let catalog = store.open().await;
    let revoked = async || {
        let mut revoked = catalog.access().await.unwrap().revoked_tokens;
        revoked.sort_unstable();
        revoked
    };
    assert_eq!(revoked().await, [token(1).id, token(2).id]);
    let keep_until = token(1).expires_at_ms + REVOKED_TOKEN_KEEP_MS;
    catalog.prune(keep_until).await.unwrap();
    assert_eq!(revoked().await.len(), 2);
    catalog.prune(keep_until + 1).await.unwrap();
    assert!(revoked().await.is_empty());
}

pub async fn what_a_change_ends_is_in_the_feed(store: &impl Store) {
    let catalog = with_all(store).await;
    let after = *catalog.change_number().borrow();
    let cut_key = vec![Cut::Key { key_id: "svc".to_owned() }];
    let scopes = |names: &[Scope]| KeyUpdate { scopes: Some(names.iter().copied().collect()), ..KeyUpdate::default() };
    let disabled = |disabled| KeyUpdate { disabled: Some(disabled), ..KeyUpdate::default() };
    let credential = Cut::Credential { client_id: "GID_test@@@a".to_owned(), key_id: "DC.1".to_owned() };
    let changes = [
        (update("svc", scopes(&[Scope::Topics, Scope::Devices, Scope::Groups])), Kind::Key, vec![]),
        (update("svc", scopes(&[Scope::Topics])), Kind::Key, cut_key.clone()),
        (update("svc", disabled(true)), Kind::Key, cut_key.clone()),
        (update("svc", disabled(false)), Kind::Key, vec![]),
        (Change::RemoveKey { key_id: "svc".to_owned() }, Kind::Key, cut_key),
        (put_device("DC.2", Some("DC.1")), Kind::Device, vec![credential]),
        (
            Change::RemoveDevice { client_id: "GID_test@@@a".to_owned(), key_id: Some("DC.2".to_owned()) },
            Kind::Device,
            vec![gone("DC.2")],
        ),
        (
            put_device("DC.3", None),
            Kind::Device,
            vec![Cut::Others { client_id: "GID_test@@@a".to_owned(), user: "ann".to_owned() }],
        ),
        (remove_grant("up"), Kind::Grant, vec![]),
        (Change::RevokeToken(token(1)), Kind::Token, vec![Cut::Token { id: token(1).id }]),
    ];
    let mut expected = Vec::new();
    for (change, kind, cuts) in changes {
        let done = apply(&catalog, change).await.unwrap();
        assert_eq!(done.cuts, cuts, "{kind:?}");
        expected.push((done.number.unwrap(), kind, cuts));
    }
    let told = |row: ChangeRow| (row.number, row.kind, row.cuts);
    let feed: Vec<_> = catalog.changes(after, 100).await.unwrap().into_iter().map(told).collect();
    assert_eq!(feed, expected);
    let next = catalog.changes(feed[2].0, 2).await.unwrap();
    assert_eq!(next.into_iter().map(told).collect::<Vec<_>>(), expected[3..5]);
}

pub async fn no_secret_is_in_the_log(store: &impl Store) {
    let catalog = with_all(store).await;
    let rotate =
        Change::RotateKey { key_id: "svc".to_owned(), secret: "second secret".to_owned(), previous_until_ms: 0 };
    for change in [
        rotate,
        put_device("DC.2", Some("DC.1")),
        Change::RemoveKey { key_id: "svc".to_owned() },
        Change::RemoveLink { link_id: "abcdabcdabcdabcd".to_owned() },
        remove_group(true),
    ] {
        apply(&catalog, change).await.unwrap();
    }
    let rows = catalog.audit(some_rows(100)).await.unwrap();
    assert_eq!(rows.len(), creations().len() + 5);
    let all = format!("{rows:?}");
    assert!(!all.contains("secret") && !all.contains(&"abcd".repeat(16)), "{all}");
}

pub async fn the_log_is_read_from_its_end_and_by_what_is_asked_for(store: &impl Store) {
    let catalog = with_all(store).await;
    let numbers = |rows: Vec<crate::AuditRow>| rows.into_iter().map(|row| row.number).collect::<Vec<_>>();
    let all = numbers(catalog.audit(some_rows(100)).await.unwrap());
    assert!(all.is_sorted_by(|one, next| one > next) && all.len() == 7);
    let older = AuditPage { before: Some(all[2]), ..some_rows(2) };
    assert_eq!(numbers(catalog.audit(older).await.unwrap()), all[3..5]);
    let of_keys = AuditPage { kind: Some(Kind::Key), ..some_rows(100) };
    assert_eq!(numbers(catalog.audit(of_keys.clone()).await.unwrap()), [all[3]]);
    let of_another = AuditPage { subject: Some("other".to_owned()), ..of_keys };
    assert_eq!(catalog.audit(of_another).await.unwrap(), []);
    let by_nobody = AuditPage { actor: Some("key:nobody".to_owned()), ..some_rows(100) };
    assert_eq!(catalog.audit(by_nobody).await.unwrap(), []);
}

pub async fn lists_come_in_pages(store: &impl Store) {
    let catalog = with_all(store).await;
    for n in 0..5 {
        apply(&catalog, Change::CreateGroup(group(&format!("GID_{n}")))).await.unwrap();
        apply(&catalog, Change::CreateKey(key(&format!("key-{n}")))).await.unwrap();
        apply(&catalog, Change::PutUser(user(&format!("user{n}")))).await.unwrap();
        let more = Grant::to_publish(format!("GID_{n}"), "up");
        apply(&catalog, Change::CreateGrant(more)).await.unwrap();
    }
    let after = |id: &str| Page { after: Some(id.to_owned()), limit: 2 };
    let groups = catalog.groups(after("GID_1")).await.unwrap();
    assert_eq!(groups.into_iter().map(|row| row.value.group).collect::<Vec<_>>(), ["GID_2", "GID_3"]);
    // Whether or not there is such a row.
    let keys = catalog.keys(after("key-00")).await.unwrap();
    assert_eq!(keys.into_iter().map(|row| row.value.key_id).collect::<Vec<_>>(), ["key-1", "key-2"]);
    let users = catalog.find_users(Some("SER"), after("user2")).await.unwrap();
    assert_eq!(users.into_iter().map(|row| row.value.user).collect::<Vec<_>>(), ["user3", "user4"]);
    let grants = catalog.grants(GrantFilter::default(), after("GID_2/up")).await.unwrap();
    assert_eq!(grants.into_iter().map(|row| row.value.name()).collect::<Vec<_>>(), ["GID_3/up", "GID_4/up"]);
    let of_group = GrantFilter { grantee: Some(Grantee::Group("GID_4".to_owned())), parent: None };
    assert_eq!(catalog.grants(of_group, page(10)).await.unwrap().len(), 1);
    let parents = catalog.parents(page(10)).await.unwrap();
    assert_eq!(parents.into_iter().map(|row| row.value).collect::<Vec<_>>(), [parent("up", Rule::ToQueue)]);
    let devices = catalog
        .devices(DeviceFilter { user: Some("ann".to_owned()), ..DeviceFilter::default() }, page(10))
        .await
        .unwrap();
    assert_eq!((devices.len(), devices[0].value.key_id.as_str(), devices[0].value.online), (1, "DC.1", false));
    assert_eq!(catalog.links(Some("bob"), page(10)).await.unwrap(), []);
    assert_eq!(catalog.links(Some("ann"), page(10)).await.unwrap().len(), 1);
}

pub async fn old_rows_are_pruned_and_the_numbers_go_on(store: &impl Store) {
    let catalog = with_all(store).await;
    let last = *catalog.change_number().borrow();
    catalog.prune(NOW_MS + AUDIT_KEEP_MS).await.unwrap();
    assert_eq!(catalog.audit(some_rows(100)).await.unwrap().len(), 7);
    let ends = LoginLink { expires_at_ms: Some(NOW_MS), ..link("ef01") };
    apply(&catalog, Change::CreateLink(ends)).await.unwrap();
    assert_eq!(catalog.links(None, page(10)).await.unwrap().len(), 2);
    catalog.prune(NOW_MS + AUDIT_KEEP_MS + 1).await.unwrap();
    assert_eq!(catalog.links(None, page(10)).await.unwrap().len(), 1, "the one that lasts");
    assert_eq!(catalog.audit(some_rows(100)).await.unwrap(), []);
    let number = apply(&catalog, Change::CreateGroup(group("GID_more"))).await.unwrap().number;
    assert_eq!(number, Some(last + 2));
}
