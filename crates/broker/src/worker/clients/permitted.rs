//! Subscriptions that are permitted no more: rules, grants and tokens change while a session waits.
//!
//! Each is judged when it is made, and again when its session gets a connection, or its connection other rights. What is not
//! permitted any more ends; what had come by it before stays in the inbox.

use std::collections::BTreeSet;

use commitlog::AppendError;
use mqtt::topic::TopicFilter;

use super::Clients;
use crate::client::ClientKey;
use crate::store::journal::Batch;
use crate::worker::action::ClientRef;
use crate::worker::post::ConnectionKey;

/// Whether a client may subscribe to this filter.
pub(in crate::worker) type MaySubscribe<'a> = &'a dyn Fn(&str) -> bool;

/// Filters of subscriptions that are to end.
pub(super) type Forbidden = Vec<Box<str>>;

impl Clients {
    /// Of the session that a client id has.
    pub(super) fn forbidden(&self, client_id: &ClientKey, may: MaySubscribe<'_>) -> Forbidden {
        self.find(client_id).map_or_else(Vec::new, |client| self.forbidden_of(client, may))
    }

    fn forbidden_of(&self, client: ClientRef, may: MaySubscribe<'_>) -> Forbidden {
        let Some(entry) = self.entry(client) else { return Vec::new() };
        let filters = entry.inbox.session.subscriptions().iter().map(|known| known.filter.as_str());
        filters.filter(|filter| !may(filter)).map(Box::from).collect()
    }

    /// Whether this client may have each subscription that it has.
    pub(in crate::worker) fn may_all(&self, client: ClientRef, may: MaySubscribe<'_>) -> bool {
        self.entry(client)
            .is_none_or(|entry| entry.inbox.session.subscriptions().iter().all(|known| may(known.filter.as_str())))
    }

    /// Clients with subscriptions and a session of this account, connected or not.
    pub(in crate::worker) fn subscribers_of(&self, account: &str) -> Vec<ClientRef> {
        let is_its = |client: &ClientRef| self.session_of(*client).is_some_and(|(_, holder)| holder == account);
        self.subscribers().into_iter().filter(is_its).collect()
    }

    /// Clients with subscriptions at a parent topic, connected or not.
    pub(in crate::worker) fn subscribers_at(&self, parent: &str) -> Vec<ClientRef> {
        let mut clients = Vec::new();
        self.subscriptions.for_each_below(parent, |client| clients.push(*client));
        once_each(clients)
    }

    /// All clients with subscriptions.
    pub(in crate::worker) fn subscribers(&self) -> Vec<ClientRef> {
        let mut clients = Vec::new();
        self.subscriptions.for_each(|client| clients.push(*client));
        once_each(clients)
    }

    /// The connection that has the session of this client.
    pub(in crate::worker) fn attached_to(&self, client: ClientRef) -> Option<ConnectionKey> {
        Some(self.entry(client)?.attachment.as_ref()?.connection)
    }

    /// What a grant let a device subscribe to.
    pub(in crate::worker) fn granted_of(&self, client: ClientRef) -> BTreeSet<Box<str>> {
        self.granted.get(&client).cloned().unwrap_or_default()
    }

    /// Its client id, and the account of its session.
    pub(in crate::worker) fn session_of(&self, client: ClientRef) -> Option<(&str, &str)> {
        let entry = self.entry(client)?;
        Some((entry.client_id(), entry.session()?.account))
    }

    pub(super) fn add_ends(client_id: &str, forbidden: &Forbidden, batch: &mut Batch) {
        forbidden.iter().for_each(|filter| batch.unsubscribed(client_id, filter));
    }

    /// They are in the log already, if they are to be.
    pub(super) fn end_forbidden(&mut self, client: ClientRef, forbidden: Forbidden) {
        for filter in forbidden {
            if let Some(entry) = self.entry_mut(client) {
                entry.inbox.session.unsubscribe(&filter);
            }
            if let Ok(filter) = TopicFilter::parse(&filter) {
                self.drop_subscription(client, filter);
            }
            tracing::debug!("a subscription that is permitted no more has ended");
        }
    }

    /// The client has other rights than before.
    ///
    /// # Errors
    /// The log takes nothing: all are as they were.
    pub(in crate::worker) fn judge_subscriptions(
        &mut self,
        client: ClientRef,
        may: MaySubscribe<'_>,
    ) -> Result<(), AppendError> {
        let forbidden = self.forbidden_of(client, may);
        let mut batch = Batch::default();
        if let Some(entry) = self.entry(client) {
            Self::add_ends(entry.client_id(), &forbidden, &mut batch);
        }
        self.log_change(client, &batch)?;
        self.end_forbidden(client, forbidden);
        Ok(())
    }
}

fn once_each(mut clients: Vec<ClientRef>) -> Vec<ClientRef> {
    clients.sort_unstable();
    clients.dedup();
    clients
}
