//! SUBSCRIBE and UNSUBSCRIBE: the session, the tree of this worker, and which workers have subscribers.

use std::collections::BTreeMap;

use commitlog::{AppendError, Position};
use mqtt::codec::{Subscribe, SubscribeFilter, Unsubscribe};
use mqtt::server::check_subscribe;
use mqtt::topic::{Subscription, TopicFilter};
use mqtt::{ReasonCode, SubscriptionOptions};

use super::Clients;
use crate::store::journal::Batch;
use crate::store::record::SubscribedOptions;
use crate::worker::action::ClientRef;

/// Filters of one SUBSCRIBE or UNSUBSCRIBE that are looked at, unless a client may have more subscriptions: what a packet costs
/// is bounded, also where it repeats a filter.
pub(super) const FILTERS_MAX: usize = 1024;

/// What a SUBSCRIBE changes, by the text of the filter; and whether the session has no subscription to it.
type Changes<'a> = BTreeMap<&'a str, (TopicFilter<'a>, SubscriptionOptions, bool)>;

/// What a SUBSCRIBE or an UNSUBSCRIBE is answered with.
pub(in crate::worker) enum Answer {
    Now(Vec<ReasonCode>),
    /// When the log is durable up to here.
    WhenDurable(Position, Vec<ReasonCode>),
    /// The log takes nothing: the change is not known to be kept, so the connection ends and the client asks again.
    NotLogged,
}

impl Clients {
    /// `by_grant`: a device subscribes, which a grant lets it. `may`: whether the client may subscribe to a filter, or the reason why not.
    pub(in crate::worker) fn subscribe(
        &mut self,
        client: ClientRef,
        subscribe: &Subscribe<'_>,
        by_grant: bool,
        may: impl Fn(TopicFilter<'_>) -> Result<(), ReasonCode>,
    ) -> Answer {
        let subscription_id = subscribe.properties.subscription_identifier();
        let mut changes = BTreeMap::new();
        let mut codes: Vec<ReasonCode> = Vec::with_capacity(subscribe.filters.count());
        for wish in subscribe.filters.iter().take(self.filters_max()) {
            codes.push(match self.subscribe_one(client, wish, (subscription_id, by_grant), &may, &mut changes) {
                Ok(options) => ReasonCode::granted(options.qos),
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
            for (filter, (_, options, _)) in &changes {
                batch.subscribed(entry.client_id(), filter, logged(*options, subscription_id, by_grant));
            }
        }
        let Ok(logged_to) = self.log_change(client, &batch) else { return Answer::NotLogged };
        for (filter, options, _) in changes.into_values() {
            let Some(entry) = self.entry_mut(client) else { break };
            if entry.inbox.session.subscribe(filter, options, subscription_id).is_ok() {
                self.note_granted(client, filter, by_grant);
                self.add_subscription(client, filter, options, subscription_id);
            }
        }
        self.answer(client, logged_to, codes)
    }

    /// So many filters of one packet are looked at.
    pub(in crate::worker) fn filters_max(&self) -> usize {
        self.context.limits.subscriptions_max.max(FILTERS_MAX)
    }

    /// Adds to `changes` what the session does not have just so.
    fn subscribe_one<'a>(
        &self,
        client: ClientRef,
        wish: SubscribeFilter<'a>,
        (subscription_id, by_grant): (Option<u32>, bool),
        may: &impl Fn(TopicFilter<'_>) -> Result<(), ReasonCode>,
        changes: &mut Changes<'a>,
    ) -> Result<SubscriptionOptions, ReasonCode> {
        let (filter, options) = check_subscribe(wish)?;
        may(filter)?;
        let session = &self.entry(client).ok_or(ReasonCode::UNSPECIFIED_ERROR)?.inbox.session;
        let known = session.subscriptions().iter().find(|known| known.filter.as_str() == filter.as_str());
        let is_changed = changes.contains_key(filter.as_str());
        if known.is_none() && !is_changed {
            // Those of `changes` that the session has take no place, and are no more than it has.
            let added = changes.values().filter(|(_, _, is_new)| *is_new).count();
            if session.subscriptions().len() + added >= self.context.limits.subscriptions_max {
                return Err(ReasonCode::QUOTA_EXCEEDED);
            }
        }
        let is_as_known = self.is_granted(client, filter) == by_grant
            && known.is_some_and(|known| (known.options, known.subscription_id) == (options, subscription_id));
        if is_changed || !is_as_known {
            changes.insert(filter.as_str(), (filter, options, known.is_none()));
        }
        Ok(options)
    }

    pub(in crate::worker) fn unsubscribe(&mut self, client: ClientRef, unsubscribe: &Unsubscribe<'_>) -> Answer {
        let mut gone = BTreeMap::new();
        let looked_at = unsubscribe.filters.iter().take(self.filters_max());
        let mut codes: Vec<ReasonCode> =
            looked_at.map(|filter| self.unsubscribe_one(client, filter, &mut gone)).collect();
        codes.resize(unsubscribe.filters.count(), ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
        let mut batch = Batch::default();
        if let Some(entry) = self.entry(client) {
            gone.keys().for_each(|filter| batch.unsubscribed(entry.client_id(), filter));
        }
        let Ok(logged_to) = self.log_change(client, &batch) else { return Answer::NotLogged };
        for filter in gone.into_values() {
            if let Some(entry) = self.entry_mut(client) {
                entry.inbox.session.unsubscribe(filter.as_str());
            }
            self.drop_subscription(client, filter);
        }
        self.answer(client, logged_to, codes)
    }

    /// Adds to `gone` what the session has.
    fn unsubscribe_one<'a>(
        &self,
        client: ClientRef,
        text: &'a str,
        gone: &mut BTreeMap<&'a str, TopicFilter<'a>>,
    ) -> ReasonCode {
        let Ok(filter) = TopicFilter::parse(text) else { return ReasonCode::TOPIC_FILTER_INVALID };
        let Some(entry) = self.entry(client) else { return ReasonCode::UNSPECIFIED_ERROR };
        let is_there = entry.inbox.session.subscriptions().iter().any(|known| known.filter.as_str() == text);
        if !is_there || gone.insert(text, filter).is_some() {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        }
        ReasonCode::SUCCESS
    }

    /// Logs a change of what the client subscribes to before it is made: one that the log refuses is none. Of a session that ends
    /// with its connection nothing is logged. Returns the end of the record.
    pub(super) fn log_change(&mut self, client: ClientRef, batch: &Batch) -> Result<Option<Position>, AppendError> {
        let is_persistent = self.entry(client).is_some_and(|entry| entry.is_persistent());
        if !is_persistent || batch.is_empty() {
            return Ok(None);
        }
        match self.context.journal.append_small(batch) {
            Ok(appended) => {
                if let Some(entry) = self.entry_mut(client) {
                    entry.settled_at = appended.end;
                }
                Ok(Some(appended.end))
            }
            Err(error) => {
                tracing::debug!(%error, "a subscription was not logged");
                self.context.counts.refused_by_log.one();
                Err(error)
            }
        }
    }

    /// What was asked for may be there already, and not be durable yet.
    fn answer(&self, client: ClientRef, logged_to: Option<Position>, codes: Vec<ReasonCode>) -> Answer {
        let settled_at = self.entry(client).map(|entry| entry.settled_at);
        let waits_for = settled_at.filter(|end| *end > self.context.journal.durable());
        match logged_to.or(waits_for) {
            Some(end) => Answer::WhenDurable(end, codes),
            None => Answer::Now(codes),
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
        entry.inbox.session.restore_subscription(filter, options, logged.subscription_id);
        self.note_granted(client, filter, logged.by_grant);
        self.add_subscription(client, filter, options, logged.subscription_id);
    }

    fn note_granted(&mut self, client: ClientRef, filter: TopicFilter<'_>, by_grant: bool) {
        if by_grant {
            self.granted.entry(client).or_default().insert(filter.as_str().into());
        } else if let Some(granted) = self.granted.get_mut(&client) {
            granted.remove(filter.as_str());
            if granted.is_empty() {
                self.granted.remove(&client);
            }
        }
    }

    fn is_granted(&self, client: ClientRef, filter: TopicFilter<'_>) -> bool {
        self.granted.get(&client).is_some_and(|granted| granted.contains(filter.as_str()))
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
        self.note_granted(client, filter, false);
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

pub(super) fn logged(options: SubscriptionOptions, subscription_id: Option<u32>, by_grant: bool) -> SubscribedOptions {
    SubscribedOptions {
        qos: options.qos,
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        by_grant,
        subscription_id,
    }
}
