//! The real catalog, in which the commit of one request can be held up while others pass.

use catalog::*;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub(crate) struct Held {
    pub(crate) catalog: Arc<SqliteCatalog>,
    pub(crate) hold: Arc<Hold>,
}

/// Which commit waits, and for what.
#[derive(Default)]
pub(crate) struct Hold {
    request: Mutex<Option<Uuid>>,
    waits: Notify,
    go_on: Notify,
    written: Mutex<Vec<Write>>,
    refuses: AtomicBool,
    refuses_large: AtomicBool,
}

/// What wrote to the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Commit,
    /// Of one row.
    SmallCommit,
    OnlineEvents(usize),
}

impl Hold {
    /// The commit of this request waits, once.
    pub(crate) fn request(&self, signal: Uuid) {
        *self.request.lock().unwrap() = Some(signal);
    }

    /// Returns when it does.
    pub(crate) async fn until_it_waits(&self) {
        self.waits.notified().await;
    }

    pub(crate) fn let_it_pass(&self) {
        self.go_on.notify_one();
    }

    /// What was written since this was asked last.
    pub(crate) fn written(&self) -> Vec<Write> {
        std::mem::take(&mut self.written.lock().unwrap())
    }

    /// Whether writes are refused from now on, as with a full disk.
    pub(crate) fn refuse_writes(&self, refuse: bool) {
        self.written();
        self.refuses.store(refuse, Ordering::SeqCst);
    }

    /// Whether commits of more than one row are refused from now on, as with an almost full disk.
    pub(crate) fn refuse_large_writes(&self, refuse: bool) {
        self.written();
        self.refuses_large.store(refuse, Ordering::SeqCst);
    }

    fn note(&self, write: Write) -> Result<(), CatalogError> {
        let refuses_large = write != Write::SmallCommit && self.refuses_large.load(Ordering::SeqCst);
        let refuses = refuses_large || self.refuses.load(Ordering::SeqCst);
        self.written.lock().unwrap().push(write);
        if refuses { Err(CatalogError::Unavailable("a test".to_owned())) } else { Ok(()) }
    }

    async fn pass(&self, commit: &MeetingCommit) -> Result<(), CatalogError> {
        let is_small = *commit == MeetingCommit { handled: commit.handled.clone(), ..MeetingCommit::default() };
        self.note(if is_small { Write::SmallCommit } else { Write::Commit })?;
        let is_held =
            self.request.lock().unwrap().take_if(|id| commit.handled.as_ref().is_some_and(|h| h.signal == *id));
        if is_held.is_some() {
            self.waits.notify_one();
            self.go_on.notified().await;
        }
        Ok(())
    }
}

macro_rules! pass_on {
    ($(fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        $(fn $name(&self $(, $arg: $type)*) -> $result {
            self.catalog.$name($($arg),*)
        })*
    };
}

impl Topics for Held {
    pass_on! {
        fn access(&self) -> CatalogFuture<'_, AccessSnapshot>;
        fn access_revision(&self) -> watch::Receiver<u64>;
        fn put_group(&self, group: Group) -> CatalogFuture<'_, ()>;
        fn put_parent(&self, parent: ParentTopic) -> CatalogFuture<'_, ()>;
        fn put_access_key(&self, key: AccessKey) -> CatalogFuture<'_, ()>;
        fn put_grant(&self, grant: Grant) -> CatalogFuture<'_, ()>;
        fn groups(&self, page: Page) -> CatalogFuture<'_, Vec<Row<Group>>>;
        fn group(&self, group: &str) -> CatalogFuture<'_, Option<(Row<Group>, Uses)>>;
        fn parents(&self, page: Page) -> CatalogFuture<'_, Vec<Row<ParentTopic>>>;
        fn parent(&self, parent: &str) -> CatalogFuture<'_, Option<(Row<ParentTopic>, Uses)>>;
        fn grant(&self, grantee: &Grantee, parent: &str) -> CatalogFuture<'_, Option<Row<Grant>>>;
        fn grants(&self, filter: GrantFilter, page: Page) -> CatalogFuture<'_, Vec<Row<Grant>>>;
    }
}

impl Accounts for Held {
    pass_on! {
        fn put_user(&self, user: User) -> CatalogFuture<'_, ()>;
        fn user(&self, user: &str) -> CatalogFuture<'_, Option<User>>;
        fn users(&self, after: Option<&str>, limit: u32) -> CatalogFuture<'_, Vec<User>>;
        fn put_device(&self, device: Device) -> CatalogFuture<'_, ()>;
        fn device(&self, client_id: &str) -> CatalogFuture<'_, Option<Device>>;
        fn extend_device(&self, client_id: &str, key_id: &str, expires_at_ms: u64) -> CatalogFuture<'_, Option<u64>>;
        fn remove_device(&self, client_id: &str, key_id: &str, at_ms: u64) -> CatalogFuture<'_, bool>;
        fn removed_devices(&self) -> CatalogFuture<'_, Vec<String>>;
        fn was_removed(&self, client_id: &str) -> CatalogFuture<'_, bool>;
        fn devices_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<DeviceState>>;
        fn put_api_key(&self, key: ApiKey) -> CatalogFuture<'_, ()>;
        fn api_key(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<Row<Key>>>;
        fn keys(&self, page: Page) -> CatalogFuture<'_, Vec<Row<Key>>>;
        fn key(&self, key_id: &str) -> CatalogFuture<'_, Option<Row<Key>>>;
        fn find_users(&self, text: Option<&str>, page: Page) -> CatalogFuture<'_, Vec<Row<User>>>;
        fn user_row(&self, user: &str) -> CatalogFuture<'_, Option<Row<User>>>;
        fn user_uses(&self, user: &str) -> CatalogFuture<'_, Uses>;
        fn connected(&self, filter: DeviceFilter) -> CatalogFuture<'_, u64>;
        fn devices(&self, filter: DeviceFilter, page: Page) -> CatalogFuture<'_, Vec<Row<DeviceInfo>>>;
        fn device_info(&self, client_id: &str) -> CatalogFuture<'_, Option<Row<DeviceInfo>>>;
        fn links(&self, user: Option<&str>, page: Page) -> CatalogFuture<'_, Vec<Row<LoginLink>>>;
        fn link(&self, link_id: &str) -> CatalogFuture<'_, Option<Row<LoginLink>>>;
        fn put_login_link(&self, link: LoginLink) -> CatalogFuture<'_, ()>;
        fn login_link(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<LoginLink>>;
    }
}

impl Presence for Held {
    fn online_events(&self, events: &[OnlineEvent]) -> CatalogFuture<'_, Vec<ClientOnline>> {
        let noted = self.hold.note(Write::OnlineEvents(events.len()));
        let done = self.catalog.online_events(events);
        Box::pin(async move {
            noted?;
            done.await
        })
    }

    pass_on! {
        fn presence_changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, PresenceChanges>;
    }
}

impl Audit for Held {
    pass_on! {
        fn apply(&self, order: Order) -> CatalogFuture<'_, Applied, ApplyError>;
        fn change_number(&self) -> watch::Receiver<u64>;
        fn look_for_changes(&self) -> CatalogFuture<'_, ()>;
        fn changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, Vec<ChangeRow>>;
        fn audit(&self, page: AuditPage) -> CatalogFuture<'_, Vec<AuditRow>>;
    }
}

impl Answers for Held {
    pass_on! {
        fn apply_and_keep(&self, order: Order, answer: Answer) -> CatalogFuture<'_, Applied, ApplyError>;
        fn answer(&self, to: &AnswerKey, now_ms: u64) -> CatalogFuture<'_, Option<Answer>>;
    }
}

impl Seeds for Held {
    pass_on! {
        fn seed(&self, seed: Seed, origin: Origin) -> CatalogFuture<'_, Seeded>;
        fn seeded(&self, origin: Origin) -> CatalogFuture<'_, Vec<(Kind, String)>>;
        fn forget_seeds(&self, origin: Origin) -> CatalogFuture<'_, ()>;
    }
}

impl Meetings for Held {
    fn commit(&self, commit: MeetingCommit) -> CatalogFuture<'_, (), CommitError> {
        Box::pin(async move {
            self.hold.pass(&commit).await?;
            self.catalog.commit(commit).await
        })
    }

    pass_on! {
        fn meeting(&self, id: Uuid) -> CatalogFuture<'_, Option<MeetingRow>>;
        fn meeting_revision(&self, id: Uuid) -> CatalogFuture<'_, Option<u64>>;
        fn meetings(&self, page: MeetingsPage) -> CatalogFuture<'_, Vec<MeetingHead>>;
        fn live_meetings(&self) -> CatalogFuture<'_, Vec<Uuid>>;
        fn handled(&self, signal: Uuid) -> CatalogFuture<'_, bool>;
        fn engagements_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<Engagement>>;
        fn claim_timers(&self, claim: Claim, due: DueTimers, limit: u32) -> CatalogFuture<'_, Vec<TimerRow>>;
        fn next_timer(&self, by: Uuid, held_ms: Range<u64>) -> CatalogFuture<'_, Option<u64>>;
        fn claim_outbox(&self, claim: Claim, limit: u32) -> CatalogFuture<'_, Vec<OutboxRow>>;
        fn outbox_len(&self) -> CatalogFuture<'_, u64>;
        fn release_claims(&self, by: Uuid) -> CatalogFuture<'_, ()>;
        fn outbox_sent(&self, ids: &[i64]) -> CatalogFuture<'_, ()>;
        fn set_meeting_aside(&self, id: Uuid, reason: &str) -> CatalogFuture<'_, Option<u64>>;
        fn set_message_aside(&self, id: i64, reason: &str) -> CatalogFuture<'_, ()>;
        fn set_aside(&self) -> CatalogFuture<'_, SetAside>;
        fn user_state(&self, user: &str, outcomes: u32) -> CatalogFuture<'_, Option<UserState>>;
        fn outcomes(&self, user: &str, limit: u32) -> CatalogFuture<'_, Vec<OutcomeRow>>;
        fn past_calls(&self, user: &str, before: Option<PastCallPlace>, limit: u32) -> CatalogFuture<'_, Vec<PastCallRow>>;
        fn creates_since(&self, user: &str, since_ms: u64, now_ms: u64) -> CatalogFuture<'_, u32>;
    }
}

impl Catalog for Held {
    pass_on! {
        fn health(&self) -> watch::Receiver<Health>;
        fn try_write(&self) -> CatalogFuture<'_, ()>;
        fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
        fn prune(&self, now_ms: u64) -> CatalogFuture<'_, u64>;
        fn pull_in(&self, now_ms: u64) -> CatalogFuture<'_, u64>;
    }
}
