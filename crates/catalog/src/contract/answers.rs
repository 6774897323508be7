//! Answers that are kept with the changes that they tell of.

use super::{Store, group};
use crate::limits::ANSWER_KEEP_MS;
use crate::{
    Actor, Answer, AnswerKey, Answers, Applied, ApplyError, Audit, By, Catalog, Change, Key, KeyKind, KeySecret, Order,
    ParentTopic, Rule, Topics,
};

const NOW_MS: u64 = 1_800_000_000_000;

fn order(change: Change) -> Order {
    Order { change, by: By { actor: Actor::Owner, address: None, at_ms: NOW_MS, right_as_of: None }, expected: None }
}

fn to(caller: &str, idempotency_key: &str) -> AnswerKey {
    AnswerKey { caller: caller.to_owned(), idempotency_key: idempotency_key.to_owned() }
}

fn answer(idempotency_key: &str, sealed: &str) -> Answer {
    Answer {
        to: to("key:ops", idempotency_key),
        request: vec![1; 32],
        status: 200,
        sealed: sealed.as_bytes().to_vec(),
        created_at_ms: NOW_MS,
    }
}

async fn create(catalog: &impl Catalog, name: &str, answer: Answer) -> Result<Applied, ApplyError> {
    catalog.apply_and_keep(order(Change::CreateGroup(group(name))), answer).await
}

pub async fn an_answer_is_kept_with_its_change_and_over_a_crash(store: &impl Store) {
    let catalog = store.open().await;
    let kept = answer("a", "sealed");
    create(&catalog, "GID_one", kept.clone()).await.unwrap();
    drop(catalog);
    let catalog = store.open().await;
    assert_eq!(catalog.answer(&kept.to, NOW_MS).await.unwrap(), Some(kept));
    assert!(catalog.group("GID_one").await.unwrap().is_some());
    assert_eq!(catalog.answer(&to("key:ops", "b"), NOW_MS).await.unwrap(), None);
    assert_eq!(catalog.answer(&to("owner", "a"), NOW_MS).await.unwrap(), None, "another caller's");
}

pub async fn a_request_that_is_answered_changes_nothing_more(store: &impl Store) {
    let catalog = store.open().await;
    create(&catalog, "GID_one", answer("a", "first")).await.unwrap();
    let again = create(&catalog, "GID_two", answer("a", "second")).await;
    assert_eq!(again, Err(ApplyError::Answered));
    assert!(catalog.group("GID_two").await.unwrap().is_none());
    assert_eq!(catalog.answer(&to("key:ops", "a"), NOW_MS).await.unwrap(), Some(answer("a", "first")));
}

pub async fn a_refused_change_keeps_no_answer_and_one_that_finds_all_as_wished_does(store: &impl Store) {
    let catalog = store.open().await;
    let topic = |rule| Change::CreateParent(ParentTopic::new("up", rule));
    catalog.apply(order(topic(Rule::None))).await.unwrap();
    let refused = catalog.apply_and_keep(order(topic(Rule::Both)), answer("a", "refused")).await;
    assert_eq!(refused, Err(ApplyError::Exists));
    assert_eq!(catalog.answer(&to("key:ops", "a"), NOW_MS).await.unwrap(), None);
    let same = catalog.apply_and_keep(order(topic(Rule::None)), answer("a", "same")).await.unwrap();
    assert_eq!(same, Applied::default());
    assert_eq!(catalog.answer(&to("key:ops", "a"), NOW_MS).await.unwrap(), Some(answer("a", "same")));
}

pub async fn an_answer_is_kept_for_its_time(store: &impl Store) {
    let catalog = store.open().await;
    create(&catalog, "GID_one", answer("a", "first")).await.unwrap();
    let (last_ms, over_ms) = (NOW_MS + ANSWER_KEEP_MS, NOW_MS + ANSWER_KEEP_MS + 1);
    assert_eq!(catalog.prune(last_ms).await.unwrap(), 0);
    assert!(catalog.answer(&to("key:ops", "a"), last_ms).await.unwrap().is_some());
    assert_eq!(catalog.answer(&to("key:ops", "a"), over_ms).await.unwrap(), None, "before it is pruned, too");
    let anew = Answer { created_at_ms: over_ms, ..answer("a", "second") };
    create(&catalog, "GID_two", anew.clone()).await.unwrap();
    assert_eq!(catalog.answer(&to("key:ops", "a"), over_ms).await.unwrap(), Some(anew));
    assert_eq!(catalog.prune(over_ms + ANSWER_KEEP_MS + 1).await.unwrap(), 1);
}

pub async fn the_answers_to_a_key_go_with_it(store: &impl Store) {
    let catalog = store.open().await;
    let secrets = vec![KeySecret { generation: 1, secret: "secret".to_owned(), valid_until_ms: None }];
    let key = Key {
        key_id: "ops".to_owned(),
        kind: KeyKind::Api,
        instance: String::new(),
        scopes: crate::Scopes::of_service(),
        note: String::new(),
        created_at_ms: NOW_MS,
        expires_at_ms: None,
        disabled: false,
        is_narrowed: false,
        consumer_groups: None,
        secrets,
    };
    catalog.apply(order(Change::CreateKey(key))).await.unwrap();
    create(&catalog, "GID_one", answer("a", "first")).await.unwrap();
    catalog.apply(order(Change::RemoveKey { key_id: "ops".to_owned() })).await.unwrap();
    assert_eq!(catalog.answer(&to("key:ops", "a"), NOW_MS).await.unwrap(), None);
}
