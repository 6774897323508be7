//! A full file, simulated by a limit on the pages of the writer's connection: SQLite itself then returns `SQLITE_FULL`,
//! as for a full disk, and rolls the transaction back by itself.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::SqliteCatalog;
use crate::limits::{ANSWERS_PER_CALLER_MAX, REVOKED_TOKEN_KEEP_MS, REVOKED_TOKENS_MAX};
use crate::{
    AccessKey, Accounts, Actor, Answer, AnswerKey, Answers, ApiKey, ApplyError, Audit, AuditPage, By, Catalog,
    CatalogError, Change, DeviceFilter, GrantFilter, Grantee, Group, Handled, Health, Key, Kind, MeetingCommit,
    MeetingPlace, MeetingState, Meetings, MeetingsPage, NewOutboxRow, Order, Page, RevokedToken, Topics,
};
use sqlx::{query, query_scalar};
use tempfile::TempDir;
use uuid::Uuid;

struct Scene {
    catalog: SqliteCatalog,
    #[expect(dead_code, reason = "held for its drop")]
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(folder.path().join("catalog.db")).await.unwrap();
        Self { catalog, folder }
    }

    /// The file grows no more: SQLite takes its present size for the smallest limit.
    async fn fill(&self) {
        self.limit_pages(1).await;
    }

    async fn make_room(&self) {
        self.limit_pages(1 << 30).await;
    }

    async fn limit_pages(&self, pages: u32) {
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        query(limit).execute(&mut *self.catalog.writer.acquire().await.unwrap()).await.unwrap();
    }

    async fn pragma(&self, sql: &'static str) -> i64 {
        query_scalar(sql).fetch_one(&mut *self.catalog.writer.acquire().await.unwrap()).await.unwrap()
    }
}

/// More than the free part of any page.
const LARGE: usize = 100_000;

fn large_key() -> ApiKey {
    ApiKey { secret_sha256: "large".to_owned(), label: "n".repeat(LARGE) }
}

fn large_commit(signal: Uuid) -> MeetingCommit {
    let message =
        NewOutboxRow { lane: String::new(), topic: "t".to_owned(), properties: Vec::new(), body: vec![7; LARGE] };
    let handled = Some(Handled { signal, keep_until_ms: 1 });
    MeetingCommit { handled, outbox: vec![message], ..MeetingCommit::default() }
}

fn is_full(error: &CatalogError) -> bool {
    matches!(error, CatalogError::Unavailable(words) if words.contains("the disk is full"))
}

#[tokio::test]
async fn the_writer_goes_on_by_itself_when_a_full_disk_has_room_again() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        scene.fill().await;
        let error = scene.catalog.put_api_key(large_key()).await.unwrap_err();
        assert!(is_full(&error), "{error}");
        scene.make_room().await;
        scene.catalog.put_group(Group { group: "GID_test".to_owned() }).await.unwrap();
    }
    scene.catalog.put_api_key(large_key()).await.unwrap();
    let kept = scene.catalog.api_key("large").await.unwrap().unwrap().value;
    assert_eq!(kept.note, large_key().label);
    assert_eq!(*scene.catalog.health().borrow(), Health::Serves);
}

#[tokio::test]
async fn a_transaction_that_finds_the_disk_full_leaves_nothing_and_is_taken_when_it_comes_again() {
    let scene = Scene::new().await;
    let signal = Uuid::from_u128(7);
    scene.fill().await;
    let refused = scene.catalog.commit(large_commit(signal)).await;
    assert!(matches!(&refused, Err(crate::CommitError::Catalog(error)) if is_full(error)), "{refused:?}");
    assert!(!scene.catalog.handled(signal).await.unwrap());
    scene.make_room().await;
    scene.catalog.commit(large_commit(signal)).await.unwrap();
    assert_eq!(scene.catalog.outbox_len().await.unwrap(), 1);
}

#[tokio::test]
async fn a_writer_that_was_opened_in_mid_run_keeps_the_same_promises() {
    let scene = Scene::new().await;
    let promises = ["SELECT foreign_keys FROM pragma_foreign_keys", "SELECT timeout FROM pragma_busy_timeout"];
    let before = [scene.pragma(promises[0]).await, scene.pragma(promises[1]).await];
    scene.fill().await;
    let first = scene.pragma("SELECT max_page_count FROM pragma_max_page_count").await;
    scene.catalog.put_api_key(large_key()).await.unwrap_err();
    assert!(scene.pragma("SELECT max_page_count FROM pragma_max_page_count").await > first, "it is a new one");
    assert_eq!([scene.pragma(promises[0]).await, scene.pragma(promises[1]).await], before);
    assert_eq!(scene.catalog.durability().await.unwrap(), ["wal", "2"]);
}

#[tokio::test]
async fn refused_writes_are_reported_until_one_is_taken() {
    let scene = Scene::new().await;
    let health = scene.catalog.health();
    scene.catalog.try_write().await.unwrap();
    assert_eq!(*health.borrow(), Health::Serves);
    scene.fill().await;
    scene.catalog.put_api_key(large_key()).await.unwrap_err();
    assert!(health.borrow().refusal().unwrap().contains("the disk is full"));
    scene.make_room().await;
    scene.catalog.try_write().await.unwrap();
    assert_eq!(*health.borrow(), Health::Serves);
}

#[tokio::test]
async fn a_row_that_breaks_a_rule_does_not_look_like_a_full_disk() {
    let scene = Scene::new().await;
    let stray = crate::Grant::to_publish("GID_none", "none");
    scene.catalog.put_grant(stray).await.unwrap_err();
    assert_eq!(*scene.catalog.health().borrow(), Health::Serves);
}

#[tokio::test]
async fn the_write_ahead_log_is_bounded_whatever_the_task_that_makes_checkpoints_misses() {
    let scene = Scene::new().await;
    let frames = async || {
        let row: (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(NOOP)")
            .fetch_one(&mut *scene.catalog.writer.acquire().await.unwrap())
            .await
            .unwrap();
        row
    };
    let mut longest = 0;
    for signal in 0..500 {
        scene.catalog.commit(large_commit(Uuid::from_u128(signal))).await.unwrap();
        longest = longest.max(frames().await.1);
    }
    // Each writes about 27 pages.
    assert!(longest > 1_000 && longest < 9_000, "{longest} pages");
}

/// How SQLite finds what a statement asks for.
async fn plan(scene: &Scene, sql: sqlx::QueryBuilder<sqlx::Sqlite>) -> String {
    let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.sql().as_str()));
    let mut writer = scene.catalog.writer.acquire().await.unwrap();
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explained).fetch_all(&mut *writer).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_part_of_a_list_is_found_by_an_index_whatever_it_is_filtered_by() {
    let scene = Scene::new().await;
    let some = || Some("x".to_owned());
    let page = Page { after: some(), limit: 50 };
    let kind = Some(Kind::Device);
    let audit = |page: AuditPage| super::audit::select(&page).unwrap();
    let devices = |user, group| super::devices::select(&DeviceFilter { user, group, text: None }, &page);
    let meetings = |state, before| {
        let page = MeetingsPage { state, before, limit: 50, ..MeetingsPage::default() };
        super::meetings_list::select(&page).unwrap()
    };
    let place = Some(MeetingPlace { created_at_ms: 7, id: Uuid::nil() });
    let grants = |group: Option<String>, parent| {
        super::grants::select(&GrantFilter { grantee: group.map(Grantee::Group), parent }, &page)
    };
    let lists = [
        (audit(AuditPage::default()), "audit USING INTEGER PRIMARY KEY (rowid<?)"),
        (audit(AuditPage { kind, ..AuditPage::default() }), "audit_by_kind (kind=? AND number<?)"),
        (
            audit(AuditPage { kind, subject: some(), ..AuditPage::default() }),
            "audit_by_subject (kind=? AND subject=? AND",
        ),
        (audit(AuditPage { actor: some(), ..AuditPage::default() }), "audit_by_actor (actor=? AND number<?)"),
        (devices(None, None), "(client_id>?)"),
        (devices(some(), None), "devices_by_user (user_id=? AND client_id>?)"),
        (devices(None, some()), "devices_by_group (group_id=? AND client_id>?)"),
        (grants(None, None), "(grantee,parent)>(?,?)"),
        (grants(some(), None), "(grantee=?"),
        (grants(None, some()), "grants_by_parent (parent=?"),
        (meetings(None, place), "meetings_by_creation ((created_at_ms,id)<(?,?))"),
        (meetings(Some(MeetingState::Live), place), "meetings_live_by_creation ((created_at_ms,id)<(?,?))"),
        (meetings(Some(MeetingState::Ended), place), "meetings_ended_by_creation ((created_at_ms,id)<(?,?))"),
        (super::links::select(None, &page), "(link_id>?)"),
        (super::links::select(Some("x"), &page), "links_by_user (user_id=? AND link_id>?)"),
    ];
    for (sql, by) in lists {
        let text = sql.sql().as_str().to_owned();
        let plan = plan(&scene, sql).await;
        assert!(plan.contains(by) && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{text}: {plan}");
    }
}

const NOW_MS: u64 = 1_800_000_000_000;

/// So many revoked tokens of a key, which end at this time.
async fn many_are_revoked(scene: &Scene, key_id: Option<&str>, count: u32, ends_ms: u64) {
    query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO revoked_tokens (token_id, key_id, expires_at_ms, changed) \
         SELECT printf('%s-%012d', $2, i), $3, $4, 0 FROM n",
    )
    .bind(count)
    .bind(Uuid::now_v7().simple().to_string())
    .bind(key_id)
    .bind(ends_ms.cast_signed())
    .execute(&mut *scene.catalog.writer.acquire().await.unwrap())
    .await
    .unwrap();
}

async fn count_revoked(scene: &Scene) -> i64 {
    let mut writer = scene.catalog.writer.acquire().await.unwrap();
    query_scalar("SELECT COUNT(*) FROM revoked_tokens").fetch_one(&mut *writer).await.unwrap()
}

async fn revoke(scene: &Scene, key_id: Option<&str>, at_ms: u64) -> Result<(), ApplyError> {
    let key_id = key_id.map(str::to_owned);
    let token = RevokedToken { id: Uuid::now_v7(), key_id, expires_at_ms: at_ms + 1 };
    order(scene, Change::RevokeToken(token), at_ms).await
}

async fn order(scene: &Scene, change: Change, at_ms: u64) -> Result<(), ApplyError> {
    let by = By { actor: Actor::Owner, address: None, at_ms, right_as_of: None };
    scene.catalog.apply(Order { change, by, expected: None }).await.map(drop)
}

#[tokio::test]
async fn revoked_tokens_of_a_key_are_half_at_most_of_what_the_others_leave() {
    let scene = Scene::new().await;
    let full = Err(ApplyError::TooMany { max: REVOKED_TOKENS_MAX });
    many_are_revoked(&scene, Some("greedy"), REVOKED_TOKENS_MAX / 2 - 1, NOW_MS).await;
    revoke(&scene, Some("greedy"), NOW_MS).await.unwrap();
    assert_eq!(revoke(&scene, Some("greedy"), NOW_MS).await, full);
    many_are_revoked(&scene, None, REVOKED_TOKENS_MAX / 4 - 1, NOW_MS).await;
    revoke(&scene, None, NOW_MS).await.unwrap();
    assert_eq!(revoke(&scene, None, NOW_MS).await, full, "the owner's are a share too");
    assert_eq!(revoke(&scene, Some("greedy"), NOW_MS).await, full);
    revoke(&scene, Some("another"), NOW_MS).await.unwrap();
}

/// A key that is gone voids its tokens by that alone.
#[tokio::test]
async fn revoked_tokens_of_a_key_go_with_it() {
    let scene = Scene::new().await;
    let access = AccessKey {
        key_id: "svc".to_owned(),
        secret: "secret".to_owned(),
        instance: "convoke".to_owned(),
        created_at_ms: 0,
    };
    order(&scene, Change::CreateKey(Key::from(access)), NOW_MS).await.unwrap();
    many_are_revoked(&scene, Some("svc"), REVOKED_TOKENS_MAX / 2, NOW_MS).await;
    revoke(&scene, None, NOW_MS).await.unwrap();
    order(&scene, Change::RemoveKey { key_id: "svc".to_owned() }, NOW_MS).await.unwrap();
    assert_eq!(count_revoked(&scene).await, 1);
}

/// The clock may be ahead: the one who orders does not know whether it is.
#[tokio::test]
async fn a_revocation_by_a_clock_that_is_ahead_forgets_none_of_the_others() {
    const AHEAD_MS: u64 = 40 * REVOKED_TOKEN_KEEP_MS;
    let scene = Scene::new().await;
    many_are_revoked(&scene, Some("svc"), 3, NOW_MS).await;
    revoke(&scene, Some("svc"), NOW_MS + AHEAD_MS).await.unwrap();
    assert_eq!(count_revoked(&scene).await, 4);
    scene.catalog.prune(NOW_MS + AHEAD_MS).await.unwrap();
    assert_eq!(count_revoked(&scene).await, 1, "those whose time is over for certain are");
}

#[tokio::test]
async fn the_answers_of_one_caller_are_bounded_and_the_oldest_go_first() {
    const NOW_MS: u64 = 1_800_000_000_000;
    let scene = Scene::new().await;
    query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO answers (caller, idempotency_key, place, request, status, sealed, created_at_ms) \
         SELECT 'owner', i, i, x'', 200, x'', $2 FROM n UNION ALL SELECT 'key:ops', 1, 1, x'', 200, x'', $2",
    )
    .bind(ANSWERS_PER_CALLER_MAX)
    .bind(NOW_MS.cast_signed())
    .execute(&mut *scene.catalog.writer.acquire().await.unwrap())
    .await
    .unwrap();
    let to = |caller: &str, key: &str| AnswerKey { caller: caller.to_owned(), idempotency_key: key.to_owned() };
    let order = Order {
        change: Change::CreateGroup(Group { group: "GID_new".to_owned() }),
        by: By { actor: Actor::Owner, address: None, at_ms: NOW_MS, right_as_of: None },
        expected: None,
    };
    let answer = Answer { to: to("owner", "new"), request: vec![], status: 200, sealed: vec![], created_at_ms: NOW_MS };
    scene.catalog.apply_and_keep(order, answer).await.unwrap();
    let has = async |caller, key| scene.catalog.answer(&to(caller, key), NOW_MS).await.unwrap().is_some();
    assert!(!has("owner", "1").await && has("owner", "2").await && has("owner", "new").await);
    assert!(has("key:ops", "1").await, "another caller's");
}
