//! What accounts asks and tells the broker of those who have logged in: each is the matter of the worker that owns the client
//! id, or of all workers.

use std::sync::Arc;

use accounts::revocation::{Ending, Sessions};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::Broker;
use crate::client::ClientKey;
use crate::worker::post::{AnswerOfAll, Notice, Removal};

impl Broker {
    /// Nobody answers a notice that is dropped.
    fn notify_owner(&self, client_id: &str, notice: impl FnOnce(ClientKey) -> Notice) {
        let workers = self.workers();
        if let Some(owner) = workers.get(ClientKey::owner(client_id, workers.len())) {
            owner.notify(notice(ClientKey::new(client_id)));
        }
    }

    fn end_credential(&self, client_id: &str, key_id: &str, is_removed: bool) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let key_id = key_id.into();
        self.notify_owner(client_id, |client| Notice::CredentialCut { client, key_id, is_removed, answer });
        answered
    }

    fn notify_all(&self, notice: impl Fn(Arc<AnswerOfAll>) -> Notice) -> oneshot::Receiver<()> {
        let (answer, answered) = AnswerOfAll::new();
        self.workers().iter().for_each(|worker| worker.notify(notice(Arc::clone(&answer))));
        answered
    }

    /// The revocation lists of client certificates are others, and in force: ends the connections that they void. Completes when
    /// they have ended.
    pub fn judge_certificates(&self) -> oneshot::Receiver<()> {
        self.notify_all(|answer| Notice::CertificatesRevoked { answer })
    }
}

impl Sessions for Broker {
    fn holder_of(&self, client_id: &str) -> oneshot::Receiver<Option<Box<str>>> {
        let (answer, answered) = oneshot::channel();
        self.notify_owner(client_id, |client| Notice::Holder { client, answer });
        answered
    }

    fn end_device(&self, client_id: &str, ending: Ending<'_>) -> oneshot::Receiver<Option<Box<str>>> {
        let (answer, answered) = oneshot::channel();
        let key_id = match ending {
            Ending::Removed { key_id } => Some(key_id.into()),
            Ending::RegisteredAgain | Ending::Registered => None,
        };
        let is_removed = ending.is_of_removed();
        self.notify_owner(client_id, |client| Notice::EndDevice(Removal { client, key_id, is_removed, answer }));
        answered
    }

    fn cut_device(&self, client_id: &str, key_id: &str) -> oneshot::Receiver<()> {
        self.end_credential(client_id, key_id, true)
    }

    fn cut_key(&self, key_id: &str) -> oneshot::Receiver<()> {
        let key_id: Arc<str> = key_id.into();
        self.notify_all(|answer| Notice::KeyCut { key_id: Arc::clone(&key_id), answer })
    }

    fn judge_key(&self, key_id: &str) -> oneshot::Receiver<()> {
        let key_id: Arc<str> = key_id.into();
        self.notify_all(|answer| Notice::KeyChanged { key_id: Arc::clone(&key_id), answer })
    }

    fn cut_token(&self, id: Uuid) -> oneshot::Receiver<()> {
        self.notify_all(|answer| Notice::TokenCut { id, answer })
    }

    fn cut_credential(&self, client_id: &str, key_id: &str) -> oneshot::Receiver<()> {
        self.end_credential(client_id, key_id, false)
    }

    fn end_others(&self, client_id: &str, account: &str) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let account = account.into();
        self.notify_owner(client_id, |client| Notice::Registered { client, account, answer });
        answered
    }

    fn cut_group(&self, group: &str) -> oneshot::Receiver<()> {
        let group: Arc<str> = group.into();
        self.notify_all(|answer| Notice::GroupCut { group: Arc::clone(&group), answer })
    }

    fn judge_subscriptions(&self, parent: &str) -> oneshot::Receiver<()> {
        let parent: Arc<str> = parent.into();
        self.notify_all(|answer| Notice::SubscriptionsCut { parent: Arc::clone(&parent), answer })
    }
}
