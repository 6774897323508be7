//! Hand-outs whose invisible time the server renews, as a push consumer wishes it: for as long as the consumer lives, and not for
//! ever. Times are given, nothing waits here: `renewing` does what is due.
//!
//! A client goes on using the receipt that it was given, and each renewal has a new one. So each hand-out stands under the receipt
//! that was issued, with the one that is valid now.

use std::collections::HashMap;

use queue::{GroupName, Receipt};
use tokio::time::Instant;

use crate::door::Caller;
use crate::limits::{CLIENT_GONE_AFTER, INVISIBLE_OF_SERVER, RENEW_AHEAD, RENEWALS_MAX, RENEWED_MAX};

struct HandOut {
    client: Caller,
    group: GroupName,
    current: Receipt,
    renew_at: Instant,
    until: Instant,
}

#[derive(Default)]
pub(crate) struct Renewals {
    by_issued: HashMap<Receipt, HandOut>,
    /// Of the clients that have some.
    seen: HashMap<Caller, Instant>,
}

/// What a look at the time has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// As they were issued.
    pub(crate) to_renew: Vec<Receipt>,
    /// Of clients that are gone; valid ones.
    pub(crate) to_release: Vec<Receipt>,
}

impl Renewals {
    /// Beyond [`RENEWALS_MAX`] a hand-out has its first invisible time and no more.
    pub(crate) fn begin(&mut self, client: &Caller, group: &GroupName, issued: &Receipt, now: Instant) {
        if self.by_issued.len() >= RENEWALS_MAX {
            return;
        }
        self.seen.insert(client.clone(), now);
        let hand_out = HandOut {
            client: client.clone(),
            group: group.clone(),
            current: issued.clone(),
            renew_at: renew_at(now),
            until: now + RENEWED_MAX,
        };
        self.by_issued.insert(issued.clone(), hand_out);
    }

    /// The client has asked for something.
    pub(crate) fn saw(&mut self, client: &Caller, now: Instant) {
        if let Some(seen) = self.seen.get_mut(client) {
            *seen = now;
        }
    }

    /// The consumer has done with it. Returns the receipt that is valid now.
    pub(crate) fn end(&mut self, issued: &Receipt) -> Option<Receipt> {
        self.by_issued.remove(issued).map(|hand_out| hand_out.current)
    }

    /// The client has left the group. Returns what it leaves behind.
    pub(crate) fn end_all(&mut self, client: &Caller, group: &GroupName) -> Vec<Receipt> {
        let is_left = |_: &Receipt, hand_out: &mut HandOut| hand_out.client == *client && hand_out.group == *group;
        self.by_issued.extract_if(is_left).map(|(_, hand_out)| hand_out.current).collect()
    }

    pub(crate) fn look(&mut self, now: Instant) -> Found {
        let mut found = Found::default();
        self.by_issued.retain(|issued, hand_out| {
            let is_gone = self.seen.get(&hand_out.client).is_none_or(|seen| *seen + CLIENT_GONE_AFTER <= now);
            if is_gone {
                found.to_release.push(hand_out.current.clone());
            } else if hand_out.renew_at <= now && now < hand_out.until {
                found.to_renew.push(issued.clone());
            }
            !is_gone && now < hand_out.until
        });
        self.seen.retain(|_, seen| *seen + CLIENT_GONE_AFTER > now);
        found
    }

    /// The receipt that is valid now.
    pub(crate) fn current(&self, issued: &Receipt) -> Option<Receipt> {
        self.by_issued.get(issued).map(|hand_out| hand_out.current.clone())
    }

    pub(crate) fn renewed(&mut self, issued: &Receipt, current: Receipt, now: Instant) {
        if let Some(hand_out) = self.by_issued.get_mut(issued) {
            hand_out.current = current;
            hand_out.renew_at = renew_at(now);
        }
    }
}

fn renew_at(now: Instant) -> Instant {
    now + INVISIBLE_OF_SERVER - RENEW_AHEAD
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use std::time::Duration;

    struct Scene {
        renewals: Renewals,
        start: Instant,
        group: GroupName,
    }

    impl Scene {
        fn new() -> Self {
            Self { renewals: Renewals::default(), start: Instant::now(), group: GroupName::parse("shop").unwrap() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn begin(&mut self, client: &str, receipt: &str) {
            self.renewals.begin(&caller(client), &self.group, &Receipt::new(receipt), self.start);
        }

        /// The client is seen, and then it is looked.
        fn look(&mut self, client: &str, seconds: u64) -> (Vec<String>, Vec<String>) {
            let now = self.at(seconds);
            self.renewals.saw(&caller(client), now);
            let Found { to_renew, to_release } = self.renewals.look(now);
            (texts(to_renew), texts(to_release))
        }
    }

    fn caller(client: &str) -> Caller {
        Caller { key_id: "key".into(), client_id: client.into() }
    }

    fn texts(receipts: Vec<Receipt>) -> Vec<String> {
        let mut texts: Vec<_> = receipts.iter().map(Receipt::to_string).collect();
        texts.sort();
        texts
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_hand_out_is_renewed_before_its_time_is_over_as_long_as_its_client_is_seen() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        for seconds in [10, 30, 49] {
            assert_eq!(scene.look("ann", seconds), (none(), none()));
        }
        assert_eq!(scene.look("ann", 50), (vec!["1".to_owned()], none()));
        scene.renewals.renewed(&Receipt::new("1"), Receipt::new("1b"), scene.at(50));
        assert_eq!(scene.look("ann", 75), (none(), none()));
        assert_eq!(scene.look("ann", 100), (vec!["1".to_owned()], none()));
        assert_eq!(scene.renewals.end(&Receipt::new("1")), Some(Receipt::new("1b")));
        assert_eq!(scene.renewals.end(&Receipt::new("1")), None);
    }

    #[test]
    fn what_a_client_that_is_gone_has_is_released_and_what_others_have_is_not() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        scene.begin("bob", "2");
        assert_eq!(scene.look("bob", 34), (none(), none()));
        assert_eq!(scene.look("bob", 35), (none(), vec!["1".to_owned()]));
        assert_eq!(scene.look("bob", 50), (vec!["2".to_owned()], none()));
        assert_eq!(scene.renewals.seen.len(), 1);
    }

    #[test]
    fn a_client_that_leaves_a_group_leaves_what_it_had_of_it() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        scene.begin("bob", "2");
        let other = GroupName::parse("other").unwrap();
        assert_eq!(scene.renewals.end_all(&caller("ann"), &other), []);
        assert_eq!(scene.renewals.end_all(&caller("ann"), &scene.group), [Receipt::new("1")]);
        assert_eq!(scene.renewals.current(&Receipt::new("2")), Some(Receipt::new("2")));
    }

    #[test]
    fn nothing_is_renewed_for_ever() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        let hours = RENEWED_MAX.as_secs();
        for seconds in (0..hours).step_by(30) {
            scene.look("ann", seconds);
        }
        assert!(scene.renewals.current(&Receipt::new("1")).is_some());
        assert_eq!(scene.look("ann", hours), (none(), none()));
        assert_eq!(scene.renewals.current(&Receipt::new("1")), None);
    }
}
