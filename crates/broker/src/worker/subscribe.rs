//! SUBSCRIBE and UNSUBSCRIBE: the session, the tree of this worker, the interest of all.

use mqtt::codec::{Subscribe, SubscribeFilter, Unsubscribe};
use mqtt::server::check_subscribe;
use mqtt::topic::{Subscription, TopicFilter};
use mqtt::{PacketId, ReasonCode, SubscriptionOptions};

use super::Worker;
use super::durable::AfterDurable;
use super::post::LinkKey;
use crate::client::ClientKey;
use crate::store::journal::Batch;
use crate::store::record::SubscribedOptions;

impl Worker {
    pub(super) fn subscribe(&mut self, key: LinkKey, subscribe: &Subscribe<'_>) {
        let Some(client) = self.client_of(key) else { return };
        let subscription_id = subscribe.properties.subscription_identifier();
        let mut batch = Batch::default();
        let codes: Vec<ReasonCode> = subscribe
            .filters
            .iter()
            .map(|wish| self.subscribe_one(key, &client, wish, subscription_id, &mut batch))
            .collect();
        if codes.iter().any(|code| code.is_error()) {
            self.shared.counts.refused_subscriptions.one();
        }
        let packet_id = subscribe.packet_id;
        match self.log_subscriptions(&client, &batch) {
            Ok(None) => self.suback(key, packet_id, &codes),
            Ok(Some(end)) => self.when_durable(end, AfterDurable::Suback { link: key, packet_id, codes }),
            Err(()) => self.end_link(key, Some(ReasonCode::QUOTA_EXCEEDED)),
        }
    }

    /// Where the change is durable; `None`: nothing needs to be. A log that takes nothing ends the connection: the
    /// subscription is not known to be kept, and the client subscribes again.
    fn log_subscriptions(&self, client: &ClientKey, batch: &Batch) -> Result<Option<commitlog::Position>, ()> {
        let is_persistent = self.seats.get(client).is_some_and(|seat| seat.is_persistent());
        if !is_persistent || batch.is_empty() {
            return Ok(None);
        }
        match self.shared.journal.append_small(batch) {
            Ok(appended) => Ok(Some(appended.end)),
            Err(error) => {
                tracing::debug!(%error, "a subscription was not logged");
                self.shared.counts.refused_by_log.one();
                Err(())
            }
        }
    }

    fn subscribe_one(
        &mut self,
        key: LinkKey,
        client: &ClientKey,
        wish: SubscribeFilter<'_>,
        subscription_id: Option<u32>,
        batch: &mut Batch,
    ) -> ReasonCode {
        let (filter, options) = match check_subscribe(wish) {
            Ok(checked) => checked,
            Err(reason) => return reason,
        };
        if let Err(reason) = self.may_subscribe(key, filter) {
            return reason;
        }
        let Some(seat) = self.seats.get_mut(client) else { return ReasonCode::UNSPECIFIED_ERROR };
        if seat.inbox.session.subscribe(filter, options, subscription_id).is_err() {
            return ReasonCode::QUOTA_EXCEEDED;
        }
        self.add_subscription(client, filter, options, subscription_id);
        batch.subscribed(client.as_str(), filter.as_str(), logged(options, subscription_id));
        ReasonCode::granted(options.qos)
    }

    fn may_subscribe(&mut self, key: LinkKey, filter: TopicFilter<'_>) -> Result<(), ReasonCode> {
        let Some(identity) = self.link(key).and_then(|link| link.live()).map(|live| live.identity.clone()) else {
            return Err(ReasonCode::UNSPECIFIED_ERROR);
        };
        self.shared.access.load().may_subscribe(&identity, filter.as_str()).map_err(|refusal| refusal.reason())
    }

    pub(super) fn add_subscription(
        &mut self,
        client: &ClientKey,
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
        if self.subscriptions.subscribe(filter, client.clone(), subscription).is_some() {
            return;
        }
        let subscribers = self.subscribers_by_filter.entry(filter.as_str().into()).or_default();
        *subscribers += 1;
        if *subscribers == 1 {
            self.shared.interest.add(filter, self.me);
        }
    }

    pub(super) fn drop_subscription(&mut self, client: &ClientKey, filter: TopicFilter<'_>) {
        if self.subscriptions.unsubscribe(filter, client).is_none() {
            return;
        }
        let Some(subscribers) = self.subscribers_by_filter.get_mut(filter.as_str()) else { return };
        *subscribers -= 1;
        if *subscribers == 0 {
            self.subscribers_by_filter.remove(filter.as_str());
            self.shared.interest.remove(filter, self.me);
        }
    }

    pub(super) fn unsubscribe(&mut self, key: LinkKey, unsubscribe: &Unsubscribe<'_>) {
        let Some(client) = self.client_of(key) else { return };
        let mut batch = Batch::default();
        let codes: Vec<ReasonCode> =
            unsubscribe.filters.iter().map(|filter| self.unsubscribe_one(&client, filter, &mut batch)).collect();
        let packet_id = unsubscribe.packet_id;
        match self.log_subscriptions(&client, &batch) {
            Ok(None) => self.unsuback(key, packet_id, &codes),
            Ok(Some(end)) => self.when_durable(end, AfterDurable::Unsuback { link: key, packet_id, codes }),
            Err(()) => self.end_link(key, Some(ReasonCode::QUOTA_EXCEEDED)),
        }
    }

    fn unsubscribe_one(&mut self, client: &ClientKey, text: &str, batch: &mut Batch) -> ReasonCode {
        let Ok(filter) = TopicFilter::parse(text) else { return ReasonCode::TOPIC_FILTER_INVALID };
        let Some(seat) = self.seats.get_mut(client) else { return ReasonCode::UNSPECIFIED_ERROR };
        if !seat.inbox.session.unsubscribe(text) {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        }
        self.drop_subscription(client, filter);
        batch.unsubscribed(client.as_str(), text);
        ReasonCode::SUCCESS
    }

    pub(super) fn suback(&mut self, key: LinkKey, packet_id: PacketId, codes: &[ReasonCode]) {
        let Some(link) = self.link(key) else { return };
        // What is too large for the client is counted by the connection.
        let _ = link.mqtt.suback(packet_id, codes, None, &mut link.out);
        self.go_on(key);
    }

    pub(super) fn unsuback(&mut self, key: LinkKey, packet_id: PacketId, codes: &[ReasonCode]) {
        let Some(link) = self.link(key) else { return };
        // As for the SUBACK.
        let _ = link.mqtt.unsuback(packet_id, codes, None, &mut link.out);
        self.go_on(key);
    }

    /// An answer has left: packets that waited for it may go on.
    fn go_on(&mut self, key: LinkKey) {
        if let Some(link) = self.link(key) {
            link.again |= link.mqtt.has_held_input();
        }
        self.mark_dirty(key);
        self.mark_ready(key);
    }
}

fn logged(options: SubscriptionOptions, subscription_id: Option<u32>) -> SubscribedOptions {
    SubscribedOptions {
        qos: options.qos,
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        subscription_id,
    }
}
