//! Hand-outs whose invisible time the server renews, as a push consumer wishes it: for as long as the consumer lives, and not for
//! ever. Times are given, nothing waits here: `renewing` does what is due.
//!
//! A client goes on using the receipt that it was given, and each renewal has a new one. So each hand-out stands under the receipt
//! that was issued, with the one that is valid now. That has a lock of its own: who changes the receipt in the queue holds it
//! meanwhile, so that nobody else uses one that is over.

use std::collections::HashMap;
use std::sync::Arc;

use queue::{GroupName, Receipt};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::door::Caller;
use crate::limits::{
    CLIENT_GONE_AFTER, INVISIBLE_OF_SERVER, RENEW_AHEAD, RENEWALS_MAX, RENEWALS_PER_KEY_MAX, RENEWED_MAX,
};

/// The receipt of a hand-out that is valid now.
pub(crate) type Current = Arc<Mutex<Receipt>>;

struct HandOut {
    client: Caller,
    group: GroupName,
    current: Current,
    renew_at: Instant,
    until: Instant,
}

/// One that has hand-outs.
struct Client {
    seen: Instant,
    hand_outs: usize,
}

#[derive(Default)]
pub(crate) struct Renewals {
    by_issued: HashMap<Receipt, HandOut>,
    clients: HashMap<Caller, Client>,
    count_by_key: HashMap<Arc<str>, usize>,
}

/// What a look at the time has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// As they were issued, with those that are valid now. What is in use meanwhile is found by the next look.
    pub(crate) to_renew: Vec<(Receipt, OwnedMutexGuard<Receipt>)>,
    /// Of clients that are gone.
    pub(crate) to_release: Vec<Current>,
}

impl Renewals {
    /// Beyond [`RENEWALS_MAX`], and beyond [`RENEWALS_PER_KEY_MAX`] of the client's key, a hand-out has its first invisible time and
    /// no more.
    pub(crate) fn begin(&mut self, client: &Caller, group: &GroupName, issued: &Receipt, now: Instant) {
        let of_key = self.count_by_key.get(&client.key_id).copied().unwrap_or_default();
        if self.by_issued.len() >= RENEWALS_MAX || of_key >= RENEWALS_PER_KEY_MAX {
            return;
        }
        let hand_out = HandOut {
            client: client.clone(),
            group: group.clone(),
            current: Arc::new(Mutex::new(issued.clone())),
            renew_at: renew_at(now),
            until: now + RENEWED_MAX,
        };
        if self.by_issued.insert(issued.clone(), hand_out).is_some() {
            return;
        }
        let known = self.clients.entry(client.clone()).or_insert(Client { seen: now, hand_outs: 0 });
        (known.seen, known.hand_outs) = (now, known.hand_outs + 1);
        *self.count_by_key.entry(Arc::clone(&client.key_id)).or_default() += 1;
    }

    /// The client has asked for something.
    pub(crate) fn saw(&mut self, client: &Caller, now: Instant) {
        if let Some(known) = self.clients.get_mut(client) {
            known.seen = now;
        }
    }

    /// The receipt that is valid now.
    pub(crate) fn current(&self, issued: &Receipt) -> Option<Current> {
        self.by_issued.get(issued).map(|hand_out| Arc::clone(&hand_out.current))
    }

    /// The consumer has done with it. Returns the receipt that is valid now.
    pub(crate) fn end(&mut self, issued: &Receipt) -> Option<Current> {
        let HandOut { client, current, .. } = self.by_issued.remove(issued)?;
        if let Some(of_key) = self.count_by_key.get_mut(&client.key_id) {
            *of_key -= 1;
            if *of_key == 0 {
                self.count_by_key.remove(&client.key_id);
            }
        }
        if let Some(known) = self.clients.get_mut(&client) {
            known.hand_outs -= 1;
            if known.hand_outs == 0 {
                self.clients.remove(&client);
            }
        }
        Some(current)
    }

    /// The client has left the group. Returns what it leaves behind.
    pub(crate) fn end_all(&mut self, client: &Caller, group: &GroupName) -> Vec<Current> {
        let is_left = |hand_out: &HandOut| hand_out.client == *client && hand_out.group == *group;
        let left = self.by_issued.iter().filter(|(_, hand_out)| is_left(hand_out));
        let left: Vec<_> = left.map(|(issued, _)| issued.clone()).collect();
        left.iter().filter_map(|issued| self.end(issued)).collect()
    }

    pub(crate) fn look(&mut self, now: Instant) -> Found {
        let (mut found, mut gone, mut over) = (Found::default(), Vec::new(), Vec::new());
        for (issued, hand_out) in &self.by_issued {
            let seen = self.clients.get(&hand_out.client).map(|client| client.seen);
            if seen.is_none_or(|seen| seen + CLIENT_GONE_AFTER <= now) {
                gone.push(issued.clone());
            } else if hand_out.until <= now {
                over.push(issued.clone());
            } else if hand_out.renew_at <= now {
                let current = Arc::clone(&hand_out.current).try_lock_owned();
                found.to_renew.extend(current.ok().map(|current| (issued.clone(), current)));
            }
        }
        found.to_release = gone.iter().filter_map(|issued| self.end(issued)).collect();
        over.iter().for_each(|issued| drop(self.end(issued)));
        found
    }

    pub(crate) fn renewed(&mut self, issued: &Receipt, now: Instant) {
        if let Some(hand_out) = self.by_issued.get_mut(issued) {
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
            (texts(to_renew.into_iter().map(|(issued, _)| issued)), texts(to_release.iter().map(text)))
        }

        fn renew(&mut self, receipt: &str, as_receipt: &str, seconds: u64) {
            let issued = Receipt::new(receipt);
            *self.renewals.current(&issued).unwrap().try_lock().unwrap() = Receipt::new(as_receipt);
            self.renewals.renewed(&issued, self.at(seconds));
        }
    }

    fn caller(client: &str) -> Caller {
        Caller { key_id: "key".into(), client_id: client.into() }
    }

    fn text(current: &Current) -> Receipt {
        current.try_lock().unwrap().clone()
    }

    fn texts(receipts: impl IntoIterator<Item = Receipt>) -> Vec<String> {
        let mut texts: Vec<_> = receipts.into_iter().map(|receipt| receipt.to_string()).collect();
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
        scene.renew("1", "1b", 50);
        assert_eq!(scene.look("ann", 75), (none(), none()));
        assert_eq!(scene.look("ann", 100), (vec!["1".to_owned()], none()));
        assert_eq!(scene.renewals.end(&Receipt::new("1")).as_ref().map(text), Some(Receipt::new("1b")));
        assert!(scene.renewals.end(&Receipt::new("1")).is_none());
    }

    #[test]
    fn what_a_client_that_is_gone_has_is_released_and_what_others_have_is_not() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        scene.begin("bob", "2");
        assert_eq!(scene.look("bob", 34), (none(), none()));
        assert_eq!(scene.look("bob", 35), (none(), vec!["1".to_owned()]));
        assert_eq!(scene.look("bob", 50), (vec!["2".to_owned()], none()));
        assert_eq!((scene.renewals.clients.len(), scene.renewals.count_by_key["key"]), (1, 1));
    }

    #[test]
    fn a_client_that_leaves_a_group_leaves_what_it_had_of_it() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        scene.begin("bob", "2");
        let other = GroupName::parse("other").unwrap();
        assert!(scene.renewals.end_all(&caller("ann"), &other).is_empty());
        let left = scene.renewals.end_all(&caller("ann"), &scene.group);
        assert_eq!(left.iter().map(text).collect::<Vec<_>>(), [Receipt::new("1")]);
        assert_eq!(scene.renewals.current(&Receipt::new("2")).as_ref().map(text), Some(Receipt::new("2")));
    }

    #[test]
    fn one_key_leaves_room_for_the_others_and_what_has_ended_leaves_nothing_behind() {
        let mut scene = Scene::new();
        for number in 0..=RENEWALS_PER_KEY_MAX {
            scene.begin(["ann", "bob"][number % 2], &number.to_string());
        }
        assert!(scene.renewals.current(&Receipt::new(RENEWALS_PER_KEY_MAX.to_string())).is_none());
        let other = Caller { key_id: "other".into(), client_id: "ann".into() };
        scene.renewals.begin(&other, &scene.group, &Receipt::new("of another"), scene.start);
        assert!(scene.renewals.current(&Receipt::new("of another")).is_some());
        scene.renewals.end(&Receipt::new("0"));
        scene.begin("ann", "again");
        assert!(scene.renewals.current(&Receipt::new("again")).is_some());
        scene.renewals.look(scene.at(CLIENT_GONE_AFTER.as_secs()));
        let Renewals { by_issued, clients, count_by_key } = &scene.renewals;
        assert_eq!((by_issued.len(), clients.len(), count_by_key.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_in_use_is_renewed_by_the_next_look() {
        let mut scene = Scene::new();
        scene.begin("ann", "1");
        scene.look("ann", 30);
        let current = scene.renewals.current(&Receipt::new("1")).unwrap();
        let in_use = current.try_lock().unwrap();
        assert_eq!(scene.look("ann", 50), (none(), none()));
        drop(in_use);
        assert_eq!(scene.look("ann", 55), (vec!["1".to_owned()], none()));
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
        assert!(scene.renewals.current(&Receipt::new("1")).is_none());
    }
}
