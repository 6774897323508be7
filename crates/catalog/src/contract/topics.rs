//! Groups, parent topics, keys, grants and their revision.

use super::{Store, group, parent};
use crate::{AccessKey, CatalogError, Grant, Rule, Topics};

fn key(secret: &str) -> AccessKey {
    AccessKey {
        key_id: "LTAItest".to_owned(),
        secret: secret.to_owned(),
        instance: "convoke".to_owned(),
        created_at_ms: 0,
    }
}

fn grant(group: &str, parent: &str) -> Grant {
    Grant::to_publish(group, parent)
}

pub async fn an_empty_catalog_has_a_revision_and_no_rows(store: &impl Store) {
    let catalog = store.open().await;
    let access = catalog.access().await.unwrap();
    assert_eq!(access.revision, *catalog.access_revision().borrow());
    assert!(access.groups.is_empty() && access.parents.is_empty());
    assert!(access.keys.is_empty() && access.grants.is_empty());
}

pub async fn what_was_put_is_in_the_snapshot_and_raises_the_revision(store: &impl Store) {
    let catalog = store.open().await;
    let mut revision = catalog.access_revision();
    let mut last = *revision.borrow_and_update();
    let puts = [
        catalog.put_group(group("GID_test")),
        catalog.put_parent(parent("meeting-up", Rule::ToQueue)),
        catalog.put_access_key(key("one")),
        catalog.put_grant(grant("GID_test", "meeting-up")),
        catalog.put_parent(parent("meeting-up", Rule::Both)),
        catalog.put_access_key(key("two")),
    ];
    for put in puts {
        put.await.unwrap();
        assert!(revision.has_changed().unwrap());
        let now = *revision.borrow_and_update();
        assert!(now > last);
        last = now;
    }
    let access = catalog.access().await.unwrap();
    assert_eq!(access.revision, last);
    assert_eq!(access.groups, [group("GID_test")]);
    assert_eq!(access.parents, [parent("meeting-up", Rule::Both)]);
    let keys: Vec<_> = access.keys.iter().map(|key| (key.key_id.as_str(), key.secrets[0].secret.as_str())).collect();
    assert_eq!(keys, [("LTAItest", "two")]);
    assert_eq!(access.grants, [grant("GID_test", "meeting-up")]);
}

pub async fn a_put_that_changes_nothing_leaves_the_revision(store: &impl Store) {
    let catalog = store.open().await;
    let revision = catalog.access_revision();
    let mut seen = Vec::new();
    for _ in 0..2 {
        catalog.put_group(group("GID_test")).await.unwrap();
        catalog.put_parent(parent("meeting-up", Rule::ToQueue)).await.unwrap();
        catalog.put_access_key(key("one")).await.unwrap();
        catalog.put_grant(grant("GID_test", "meeting-up")).await.unwrap();
        seen.push(*revision.borrow());
    }
    assert_eq!(seen[0], seen[1]);
}

pub async fn parent_topics_are_unique_without_regard_to_case(store: &impl Store) {
    let catalog = store.open().await;
    catalog.put_parent(parent("Meeting-Up", Rule::None)).await.unwrap();
    let refused = catalog.put_parent(parent("meeting-up", Rule::Both)).await;
    assert!(matches!(refused, Err(CatalogError::Invalid(_))));
    assert_eq!(catalog.access().await.unwrap().parents, [parent("Meeting-Up", Rule::None)]);
}

pub async fn a_grant_needs_its_group_and_its_parent(store: &impl Store) {
    let catalog = store.open().await;
    catalog.put_group(group("GID_test")).await.unwrap();
    catalog.put_parent(parent("meeting-up", Rule::None)).await.unwrap();
    for stray in [grant("GID_other", "meeting-up"), grant("GID_test", "meeting-down")] {
        assert!(matches!(catalog.put_grant(stray).await, Err(CatalogError::Invalid(_))));
    }
    assert!(catalog.access().await.unwrap().grants.is_empty());
}

pub async fn the_snapshot_and_its_revision_survive_a_crash(store: &impl Store) {
    let catalog = store.open().await;
    catalog.put_group(group("GID_test")).await.unwrap();
    catalog.put_parent(parent("meeting-up", Rule::FromQueue)).await.unwrap();
    catalog.put_grant(grant("GID_test", "meeting-up")).await.unwrap();
    let before = catalog.access().await.unwrap();
    drop(catalog);
    let catalog = store.open().await;
    assert_eq!(catalog.access().await.unwrap(), before);
    assert_eq!(*catalog.access_revision().borrow(), before.revision);
}
