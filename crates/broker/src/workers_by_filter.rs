//! Which workers have a subscriber for a topic, by filter.
//!
//! Small and shared: one key per filter and worker, however many clients subscribe. Read at every PUBLISH to an
//! ordinary topic, written when a worker gets its first or loses its last subscriber of a filter. The trees of the
//! workers know the clients.

use std::sync::{PoisonError, RwLock};

use mqtt::QoS;
use mqtt::topic::{Subscription, SubscriptionTree, TopicFilter, TopicName};

#[derive(Debug, Default)]
pub(crate) struct WorkersByFilter {
    tree: RwLock<SubscriptionTree<usize>>,
}

/// A set of workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workers(u64);

impl Workers {
    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) fn contains(self, worker: usize) -> bool {
        self.0 >> worker & 1 == 1
    }

    pub(crate) fn with(self, worker: usize) -> Self {
        Self(self.0 | 1 << worker)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..crate::mailbox::WORKERS_MAX).filter(move |worker| self.contains(*worker))
    }
}

impl WorkersByFilter {
    pub(crate) fn add(&self, filter: TopicFilter<'_>, worker: usize) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.subscribe(filter, worker, Subscription::at(QoS::AtLeastOnce));
    }

    pub(crate) fn remove(&self, filter: TopicFilter<'_>, worker: usize) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.unsubscribe(filter, &worker);
    }

    pub(crate) fn workers(&self, topic: TopicName<'_>) -> Workers {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let mut workers = Workers::default();
        tree.for_each_match(topic, |worker, _| workers = workers.with(*worker));
        workers
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn a_topic_visits_each_interested_worker_once() {
        let by_filter = WorkersByFilter::default();
        let filter = |text| TopicFilter::parse(text).unwrap();
        let workers = |topic| by_filter.workers(TopicName::parse(topic).unwrap()).iter().collect::<Vec<_>>();
        by_filter.add(filter("a/#"), 0);
        by_filter.add(filter("a/b"), 0);
        by_filter.add(filter("a/+"), 63);
        assert_eq!(workers("a/b"), [0, 63]);
        assert!(workers("b").is_empty());
        by_filter.remove(filter("a/+"), 63);
        assert_eq!(workers("a/b"), [0]);
        assert_eq!(by_filter.workers(TopicName::parse("a/b").unwrap()).len(), 1);
    }
}
