//! SUBSCRIBE and UNSUBSCRIBE: the session, the tree of this worker, and which workers have subscribers.

use std::collections::BTreeMap;

use commitlog::Position;
use mqtt::codec::{Subscribe, SubscribeFilter, Unsubscribe};
use mqtt::server::{Subscribed, check_subscribe};
use mqtt::topic::{Subscription, TopicFilter};
use mqtt::{ReasonCode, SubscriptionOptions};

use super::Clients;
use crate::store::journal::Batch;
use crate::store::record::SubscribedOptions;
use crate::worker::action::ClientRef;

/// Filters of one SUBSCRIBE or UNSUBSCRIBE that are looked at, unless a client may have more subscriptions: what a packet costs
/// is bounded, also where it repeats a filter.
pub(super) const FILTERS_MAX: usize = 1024;

/// What a SUBSCRIBE or an UNSUBSCRIBE is answered with.
pub(in crate::worker) enum Answer {
    Now(Vec<ReasonCode>),
    /// When the log is durable up to here.
    WhenDurable(Position, Vec<ReasonCode>),
    /// The log takes nothing: the change is not known to be kept, so the connection ends and the client asks again.
    NotLogged,
}

impl Clients {
    /// `may`: whether the client may subscribe to a filter, or the reason why not.
    pub(in crate::worker) fn subscribe(
        &mut self,
        client: ClientRef,
        subscribe: &Subscribe<'_>,
        may: impl Fn(TopicFilter<'_>) -> Result<(), ReasonCode>,
    ) -> Answer {
        let subscription_id = subscribe.properties.subscription_identifier();
        let mut granted: BTreeMap<&str, SubscribedOptions> = BTreeMap::new();
        let mut codes: Vec<ReasonCode> = Vec::with_capacity(subscribe.filters.count());
        for wish in subscribe.filters.iter().take(self.filters_max()) {
            codes.push(match self.subscribe_one(client, wish, subscription_id, &may) {
                Ok(options) => {
                    granted.insert(wish.filter, logged(options, subscription_id));
                    ReasonCode::granted(options.qos)
                }
                Err(reason) => reason,
            });
        }
        let is_refused = codes.len() < subscribe.filters.count() || codes.iter().any(|code| code.is_error());
        if is_refused {
            self.context.counts.refused_subscriptions.one();
        }
        codes.resize(subscribe.filters.count(), ReasonCode::QUOTA_EXCEEDED);
        let mut batch = Batch::default();
        if let Some(entry) = self.entry(client) {
            granted.iter().for_each(|(filter, options)| batch.subscribed(entry.key.as_str(), filter, *options));
        }
        self.answer(client, &batch, codes)
    }

    /// So many filters of one packet are looked at.
    pub(in crate::worker) fn filters_max(&self) -> usize {
        self.context.limits.subscriptions_max.max(FILTERS_MAX)
    }

    fn subscribe_one(
        &mut self,
        client: ClientRef,
        wish: SubscribeFilter<'_>,
        subscription_id: Option<u32>,
        may: &impl Fn(TopicFilter<'_>) -> Result<(), ReasonCode>,
    ) -> Result<SubscriptionOptions, ReasonCode> {
        let (filter, options) = check_subscribe(wish)?;
        may(filter)?;
        let entry = self.entry_mut(client).ok_or(ReasonCode::UNSPECIFIED_ERROR)?;
        let subscribed = entry.inbox.session.subscribe(filter, options, subscription_id);
        if subscribed.map_err(|_| ReasonCode::QUOTA_EXCEEDED)? != Subscribed::Unchanged {
            self.add_subscription(client, filter, options, subscription_id);
        }
        Ok(options)
    }

    pub(in crate::worker) fn unsubscribe(&mut self, client: ClientRef, unsubscribe: &Unsubscribe<'_>) -> Answer {
        let mut batch = Batch::default();
        let looked_at = unsubscribe.filters.iter().take(self.filters_max());
        let mut codes: Vec<ReasonCode> =
            looked_at.map(|filter| self.unsubscribe_one(client, filter, &mut batch)).collect();
        codes.resize(unsubscribe.filters.count(), ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
        self.answer(client, &batch, codes)
    }

    fn unsubscribe_one(&mut self, client: ClientRef, text: &str, batch: &mut Batch) -> ReasonCode {
        let Ok(filter) = TopicFilter::parse(text) else { return ReasonCode::TOPIC_FILTER_INVALID };
        let Some(entry) = self.entry_mut(client) else { return ReasonCode::UNSPECIFIED_ERROR };
        if !entry.inbox.session.unsubscribe(text) {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        }
        batch.unsubscribed(entry.key.as_str(), text);
        self.drop_subscription(client, filter);
        ReasonCode::SUCCESS
    }

    /// A session that outlives its connection keeps its subscriptions in the log.
    fn answer(&self, client: ClientRef, batch: &Batch, codes: Vec<ReasonCode>) -> Answer {
        let is_persistent = self.entry(client).is_some_and(|entry| entry.is_persistent());
        if !is_persistent || batch.is_empty() {
            return Answer::Now(codes);
        }
        match self.context.journal.append_small(batch) {
            Ok(appended) => Answer::WhenDurable(appended.end, codes),
            Err(error) => {
                tracing::debug!(%error, "a subscription was not logged");
                self.context.counts.refused_by_log.one();
                Answer::NotLogged
            }
        }
    }

    pub(super) fn recover_subscription(&mut self, client: ClientRef, filter: &str, logged: SubscribedOptions) {
        let Ok(filter) = TopicFilter::parse(filter) else { return };
        let options = SubscriptionOptions {
            qos: logged.qos,
            no_local: logged.no_local,
            retain_as_published: logged.retain_as_published,
            ..SubscriptionOptions::default()
        };
        let Some(entry) = self.entry_mut(client) else { return };
        if entry.inbox.session.subscribe(filter, options, logged.subscription_id).is_ok() {
            self.add_subscription(client, filter, options, logged.subscription_id);
        }
    }

    fn add_subscription(
        &mut self,
        client: ClientRef,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) {
        let subscription = Subscription {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            subscription_id,
        };
        if self.subscriptions.subscribe(filter, client, subscription).is_some() {
            return;
        }
        self.live.subscribed();
        let subscribers = self.subscribers_by_filter.entry(filter.as_str().into()).or_default();
        *subscribers += 1;
        if *subscribers == 1 {
            self.context.workers_by_filter.add(filter, self.context.worker);
        }
    }

    pub(super) fn drop_subscription(&mut self, client: ClientRef, filter: TopicFilter<'_>) {
        if self.subscriptions.unsubscribe(filter, &client).is_none() {
            return;
        }
        self.live.unsubscribed();
        let Some(subscribers) = self.subscribers_by_filter.get_mut(filter.as_str()) else { return };
        *subscribers -= 1;
        if *subscribers == 0 {
            self.subscribers_by_filter.remove(filter.as_str());
            self.context.workers_by_filter.remove(filter, self.context.worker);
        }
    }
}

pub(super) fn logged(options: SubscriptionOptions, subscription_id: Option<u32>) -> SubscribedOptions {
    SubscribedOptions {
        qos: options.qos,
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        subscription_id,
    }
}
