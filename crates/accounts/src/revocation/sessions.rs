//! What the broker is asked and told of those who have logged in.

use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

/// Why that which a user has under a client id ends for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// Its device was removed. This credential of it is void from now on: a login that has begun with it does not come about.
    Removed { key_id: &'a str },
    /// Its device was removed, and the client id is registered again now, before it has ended because of the removal or
    /// after.
    RegisteredAgain,
    /// The client id is registered, and none of a removed device: there may be something that is left over.
    Registered,
}

impl Ending<'_> {
    /// Those that follow a device which is not connected have to learn that it is removed.
    #[must_use]
    pub const fn is_of_removed(self) -> bool {
        matches!(self, Self::Removed { .. } | Self::RegisteredAgain)
    }
}

/// A broker that takes longer is stopping, or its log takes nothing.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Connections and sessions by client id, as the broker has them. A call that is answered is done; without an answer the
/// broker has stopped, or cannot keep what it was told. Each may be repeated.
pub trait Sessions: Send + Sync {
    /// Answers with the account that has a session under a client id, connected or not; `None`: nobody has.
    fn holder_of(&self, client_id: &str) -> oneshot::Receiver<Option<Box<str>>>;

    /// Ends the connection, the session and what waits under the client id of a user's device, for good. Answers when nothing
    /// is left on the disk, or with the account of a service that has the client id and keeps it.
    fn end_device(&self, client_id: &str, ending: Ending<'_>) -> oneshot::Receiver<Option<Box<str>>>;

    /// Ends the connection of a device that was let in by this credential, because the device is removed. Waits for no disk;
    /// the session is there until [`end_device`](Self::end_device). A login that has begun with it does not come about.
    fn cut_device(&self, client_id: &str, key_id: &str) -> oneshot::Receiver<()>;

    /// Ends the connections that were let in by an access key, because it was disabled or removed, or allows less than
    /// before. Their sessions stay. Logins that are under way are judged by the rules that are in force when they come
    /// about: these must be the new ones already.
    fn cut_key(&self, key_id: &str) -> oneshot::Receiver<()>;

    /// Judges the connections that were let in by an access key again, because its time or its secrets were changed. Those
    /// whose secret is gone or over end; the others end in its time. The rules in force must be the new ones already.
    fn judge_key(&self, key_id: &str) -> oneshot::Receiver<()>;

    /// Ends the connections that were let in by a token which was revoked. The rules in force must be the new ones already.
    fn cut_token(&self, id: Uuid) -> oneshot::Receiver<()>;

    /// Ends the connection of a device that was let in by a credential which is another's or replaced. Its session stays. A
    /// login that has begun with it does not come about.
    fn cut_credential(&self, client_id: &str, key_id: &str) -> oneshot::Receiver<()>;

    /// Ends the connection, the session and what waits under a client id that was registered, if they are another account's than
    /// the device's. Waits for no disk. Logins that are under way, and were judged as if no device had the client id, do not
    /// come about.
    fn end_others(&self, client_id: &str, account: &str) -> oneshot::Receiver<()>;

    /// Ends the connections of all whose client ids are of this group, because it was removed. The rules in force must be the new
    /// ones already.
    fn cut_group(&self, group: &str) -> oneshot::Receiver<()>;

    /// Ends the subscriptions at this parent topic that no grant allows any more, of sessions with a connection and without, and
    /// the connections that had them. The rules in force must be the new ones already.
    fn judge_subscriptions(&self, parent: &str) -> oneshot::Receiver<()>;
}

/// `None`: without an answer in time.
pub(crate) async fn answered<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    timeout(ANSWERS_WITHIN, answer).await.ok()?.ok()
}
