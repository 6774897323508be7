//! Which keys subscribe to a topic.
//!
//! One node per filter level. A node keeps the subscriptions that end at it and, apart, those that end in a `#`
//! below it. Maps are ordered, so that neither hashing nor its random seed is needed; the depth is bounded by
//! [`super::LEVELS_MAX`].

use std::collections::BTreeMap;

use super::{TopicFilter, TopicName};
use crate::QoS;

/// What the tree keeps per filter and key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The granted QoS.
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub subscription_id: Option<u32>,
}

impl Subscription {
    pub fn at(qos: QoS) -> Self {
        Self { qos, ..Self::default() }
    }
}

/// Filters, and the keys that subscribe to them. `K` is whatever names a subscriber to the caller.
#[derive(Debug)]
pub struct SubscriptionTree<K> {
    root: Node<K>,
    len: usize,
}

#[derive(Debug)]
struct Node<K> {
    children: BTreeMap<Box<str>, Node<K>>,
    /// The `+` below this level.
    any: Option<Box<Node<K>>>,
    /// Filters that end here.
    here: BTreeMap<K, Subscription>,
    /// Filters that end in the `#` below this level.
    below: BTreeMap<K, Subscription>,
}

impl<K> Default for Node<K> {
    fn default() -> Self {
        Self { children: BTreeMap::new(), any: None, here: BTreeMap::new(), below: BTreeMap::new() }
    }
}

impl<K> Default for SubscriptionTree<K> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0 }
    }
}

impl<K: Ord + Clone> SubscriptionTree<K> {
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of (filter, key) pairs.
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds or replaces; returns what was replaced [MQTT5-3.8.4-3] [MQTT311-3.8.4-3]. The share name is not part
    /// of the key: shared filters are the caller's to keep apart.
    pub fn subscribe(&mut self, filter: TopicFilter<'_>, key: K, subscription: Subscription) -> Option<Subscription> {
        let mut node = &mut self.root;
        for level in filter.levels() {
            match level {
                "#" => return Self::put(&mut node.below, &mut self.len, key, subscription),
                "+" => node = node.any.get_or_insert_default(),
                literal => node = child_mut(&mut node.children, literal),
            }
        }
        Self::put(&mut node.here, &mut self.len, key, subscription)
    }

    fn put(
        set: &mut BTreeMap<K, Subscription>,
        len: &mut usize,
        key: K,
        subscription: Subscription,
    ) -> Option<Subscription> {
        let replaced = set.insert(key, subscription);
        *len += usize::from(replaced.is_none());
        replaced
    }

    /// Removes one subscription and the nodes that nobody needs any more; returns what was removed.
    pub fn unsubscribe(&mut self, filter: TopicFilter<'_>, key: &K) -> Option<Subscription> {
        let levels: Vec<&str> = filter.levels().collect();
        let removed = self.root.remove(&levels, key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `found` for every subscription that `topic` matches, overlapping ones each by itself.
    pub fn for_each_match<'t>(&'t self, topic: TopicName<'_>, mut found: impl FnMut(&'t K, &'t Subscription)) {
        let mut levels: Vec<&str> = Vec::with_capacity(8);
        levels.extend(topic.levels());
        self.root.visit(&levels, !topic.is_hidden(), &mut found);
    }

    /// Calls `found` for every subscription to a filter that begins with this level, overlapping ones each by itself.
    pub fn for_each_below<'t>(&'t self, level: &str, mut found: impl FnMut(&'t K)) {
        if let Some(child) = self.root.children.get(level) {
            child.visit_all(&mut found);
        }
    }

    /// Calls `found` for every subscription.
    pub fn for_each<'t>(&'t self, mut found: impl FnMut(&'t K)) {
        self.root.visit_all(&mut found);
    }

    /// Fills `matches` with one entry per key, overlapping subscriptions merged. Reuse `matches` from topic to topic.
    pub fn collect_matches(&self, topic: TopicName<'_>, matches: &mut Matches<K>) {
        matches.found.clear();
        self.for_each_match(topic, |key, subscription| matches.found.push(Match::of(key, *subscription)));
        matches.merge();
    }
}

fn child_mut<'n, K>(children: &'n mut BTreeMap<Box<str>, Node<K>>, level: &str) -> &'n mut Node<K> {
    if !children.contains_key(level) {
        children.insert(level.into(), Node::default());
    }
    children.get_mut(level).expect("the level was inserted above")
}

impl<K: Ord> Node<K> {
    fn is_unused(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }

    fn remove(&mut self, levels: &[&str], key: &K) -> Option<Subscription> {
        let Some((&level, rest)) = levels.split_first() else { return self.here.remove(key) };
        match level {
            "#" => self.below.remove(key),
            "+" => {
                let any = self.any.as_mut()?;
                let removed = any.remove(rest, key);
                if any.is_unused() {
                    self.any = None;
                }
                removed
            }
            literal => {
                let child = self.children.get_mut(literal)?;
                let removed = child.remove(rest, key);
                if child.is_unused() {
                    self.children.remove(literal);
                }
                removed
            }
        }
    }

    fn visit_all<'t>(&'t self, found: &mut impl FnMut(&'t K)) {
        self.here.keys().chain(self.below.keys()).for_each(&mut *found);
        self.children.values().chain(self.any.as_deref()).for_each(|node| node.visit_all(found));
    }

    /// `wildcards`: whether `+` and `#` at this very level may match [MQTT5-4.7.2-1] [MQTT311-4.7.2-1].
    fn visit<'t>(&'t self, levels: &[&str], wildcards: bool, found: &mut impl FnMut(&'t K, &'t Subscription)) {
        if wildcards {
            self.below.iter().for_each(|(key, subscription)| found(key, subscription));
        }
        let Some((&level, rest)) = levels.split_first() else {
            self.here.iter().for_each(|(key, subscription)| found(key, subscription));
            return;
        };
        if let Some(child) = self.children.get(level) {
            child.visit(rest, true, found);
        }
        if let Some(any) = self.any.as_deref().filter(|_| wildcards) {
            any.visit(rest, true, found);
        }
    }
}

/// One receiver of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<K> {
    pub key: K,
    /// The highest granted QoS of all matching subscriptions.
    pub qos: QoS,
    /// True only if every matching subscription is no-local.
    pub no_local: bool,
    /// True if any matching subscription asks for it.
    pub retain_as_published: bool,
    /// The identifiers of all matching subscriptions [MQTT5-3.3.4-3] [MQTT5-3.3.4-4].
    pub subscription_ids: Vec<u32>,
}

impl<K: Clone> Match<K> {
    fn of(key: &K, subscription: Subscription) -> Self {
        Self {
            key: key.clone(),
            qos: subscription.qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            subscription_ids: subscription.subscription_id.into_iter().collect(),
        }
    }
}

impl<K> Match<K> {
    fn absorb(&mut self, other: &mut Self) {
        self.qos = self.qos.max(other.qos);
        self.no_local &= other.no_local;
        self.retain_as_published |= other.retain_as_published;
        self.subscription_ids.append(&mut other.subscription_ids);
    }
}

/// The receivers of one message, each once [MQTT5-3.3.4-2].
#[derive(Clone, Debug)]
pub struct Matches<K> {
    found: Vec<Match<K>>,
}

impl<K> Default for Matches<K> {
    fn default() -> Self {
        Self { found: Vec::new() }
    }
}

impl<K: Ord> Matches<K> {
    pub fn new() -> Self {
        Self::default()
    }

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Match<K>> {
        self.found.iter()
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn merge(&mut self) {
        self.found.sort_by(|a, b| a.key.cmp(&b.key));
        self.found.dedup_by(|later, first| {
            let same = later.key == first.key;
            if same {
                first.absorb(later);
            }
            same
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter<'_> {
        TopicFilter::parse(text).unwrap()
    }

    fn matched(tree: &SubscriptionTree<u32>, topic: &str) -> Vec<Match<u32>> {
        let mut matches = Matches::new();
        tree.collect_matches(TopicName::parse(topic).unwrap(), &mut matches);
        matches.iter().cloned().collect()
    }

    /// [MQTT5-3.3.4-2] [MQTT5-3.3.4-3] [MQTT5-3.3.4-4]
    #[test]
    fn overlapping_filters_give_one_copy_with_the_highest_qos_and_all_identifiers() {
        let mut tree = SubscriptionTree::new();
        let first = Subscription { subscription_id: Some(7), no_local: true, ..Subscription::at(QoS::AtMostOnce) };
        let second =
            Subscription { subscription_id: Some(9), retain_as_published: true, ..Subscription::at(QoS::AtLeastOnce) };
        tree.subscribe(filter("a/#"), 1, first);
        tree.subscribe(filter("a/+"), 1, second);
        let found = matched(&tree, "a/b");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].qos, found[0].no_local, found[0].retain_as_published), (QoS::AtLeastOnce, false, true));
        let mut ids = found[0].subscription_ids.clone();
        ids.sort_unstable();
        assert_eq!(ids, [7, 9]);
    }

    /// [MQTT5-3.8.4-3] [MQTT311-3.8.4-3]
    #[test]
    fn the_same_filter_again_replaces_the_first_one() {
        let mut tree = SubscriptionTree::new();
        assert_eq!(tree.subscribe(filter("a"), 1, Subscription::at(QoS::AtLeastOnce)), None);
        let replaced = tree.subscribe(filter("a"), 1, Subscription::at(QoS::AtMostOnce));
        assert_eq!(replaced, Some(Subscription::at(QoS::AtLeastOnce)));
        assert_eq!(tree.len(), 1);
        assert_eq!(matched(&tree, "a")[0].qos, QoS::AtMostOnce);
    }

    #[test]
    fn an_emptied_tree_keeps_no_nodes() {
        let mut tree = SubscriptionTree::new();
        for text in ["a/b/c", "a/+/c", "#", "+/#", "a"] {
            tree.subscribe(filter(text), 1, Subscription::default());
        }
        assert!(tree.unsubscribe(filter("a/b"), &1).is_none());
        for text in ["a/b/c", "a/+/c", "#", "+/#", "a"] {
            assert!(tree.unsubscribe(filter(text), &1).is_some(), "{text}");
        }
        assert!(tree.is_empty() && tree.root.is_unused());
    }

    #[test]
    fn subscriptions_below_a_level_are_found_and_no_others() {
        let mut tree = SubscriptionTree::new();
        for (key, text) in ["a", "a/#", "a/b/+", "a/+/c/#", "b/a", "#", "+/a"].into_iter().enumerate() {
            tree.subscribe(filter(text), key, Subscription::default());
        }
        let mut found = Vec::new();
        tree.for_each_below("a", |key| found.push(*key));
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 3]);
        let mut all = 0;
        tree.for_each(|_| all += 1);
        assert_eq!(all, tree.len());
        found.clear();
        tree.for_each_below("c", |key| found.push(*key));
        assert!(found.is_empty());
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just(""), Just("$x")]
    }

    fn topic_text() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("no topic is empty", |t| !t.is_empty())
    }

    fn filter_text() -> impl Strategy<Value = String> {
        let levels = prop::collection::vec(prop_oneof![3 => level(), 2 => Just("+")], 1..5);
        (levels, any::<bool>())
            .prop_map(|(levels, hash)| levels.join("/") + if hash { "/#" } else { "" })
            .prop_filter("no filter is empty", |t| !t.is_empty())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(0x4D51_5454),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_tree_finds_exactly_what_the_filters_match_one_by_one(
            filters in prop::collection::vec(filter_text(), 0..20),
            topic in topic_text(),
        ) {
            let mut tree = SubscriptionTree::new();
            for (key, text) in filters.iter().enumerate() {
                tree.subscribe(filter(text), key, Subscription::default());
            }
            let name = TopicName::parse(&topic).unwrap();
            let mut found = Vec::new();
            tree.for_each_match(name, |key, _| found.push(*key));
            found.sort_unstable();
            let expected: Vec<usize> = (0..filters.len()).filter(|&key| filter(&filters[key]).matches(name)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
