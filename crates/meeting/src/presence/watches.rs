//! The table of watches: which client is told of whose presence. Pure: times are given, in milliseconds.
//!
//! A watcher is a client that has asked for contacts; of each of them it has the state that it was told last. A change
//! is news for the watchers that were told another state, and news are taken out by turns: each watcher has one of
//! [`SLOTS`] turns a second, so that it gets at most one message a second, with the newest state only, and the messages
//! are spread over the second.
//!
//! An absence counts after [`ABSENT_MS`]: a user who comes back within it was never away.

use signalling::{ClientId, Contact, Presence};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Turns in a second.
pub(crate) const SLOTS: usize = 20;
const ABSENT_MS: u64 = 3_000;
/// Past these limits the watches that end first are dropped.
const WATCHERS_MAX: usize = 100_000;
/// Watchers × users whom they watch.
const PAIRS_MAX: usize = 4_000_000;

type WatcherId = u32;
type UserId = u32;

#[derive(Default)]
pub(crate) struct Watches {
    /// Changes of presence up to this number are known here.
    pub after: u64,
    watchers: HashMap<WatcherId, Watcher>,
    watcher_by_client: HashMap<ClientId, WatcherId>,
    users: HashMap<UserId, Watched>,
    user_by_name: HashMap<String, UserId>,
    /// When each watch ends.
    ends: BTreeSet<(u64, WatcherId)>,
    /// When each absence counts.
    absences: BTreeSet<(u64, UserId)>,
    /// Watchers with news, by their turns.
    turns: [HashSet<WatcherId>; SLOTS],
    pairs: usize,
    next_id: u32,
}

struct Watcher {
    client: ClientId,
    until_ms: u64,
    told: HashMap<UserId, Presence>,
    news: HashSet<UserId>,
    /// A message is being sent to the queue: the next must not overtake it.
    sending: bool,
}

struct Watched {
    now: Contact,
    /// The state that counts: during an absence that does not count yet, the state before it.
    shown: Contact,
    watchers: HashSet<WatcherId>,
    /// Absent, which does not count before this time.
    absent_at_ms: Option<u64>,
}

impl Watches {
    pub(crate) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// `told`: what the client was told of all users that it watches; `number`: of the last change that is surely in
    /// it.
    pub(crate) fn handle_watch(&mut self, client: &ClientId, told: &[Contact], number: u64, until_ms: u64) {
        self.after = if self.is_empty() { number } else { self.after.min(number) };
        self.handle_end(client);
        let id = self.new_id();
        let mut watcher =
            Watcher { client: client.clone(), until_ms, told: HashMap::new(), news: HashSet::new(), sending: false };
        for contact in told {
            let user = self.user_id(contact);
            if let Some(watched) = self.users.get_mut(&user) {
                watched.watchers.insert(id);
            }
            watcher.told.insert(user, contact.presence);
        }
        self.pairs += watcher.told.len();
        self.watchers.insert(id, watcher);
        self.watcher_by_client.insert(client.clone(), id);
        self.ends.insert((until_ms, id));
        self.keep_limits();
    }

    pub(crate) fn handle_end(&mut self, client: &ClientId) {
        if let Some(id) = self.watcher_by_client.get(client).copied() {
            self.drop_watcher(id);
        }
    }

    /// Of these users those that are watched, in their last known state.
    pub(crate) fn watched(&self, names: &[String]) -> Vec<Contact> {
        let ids = names.iter().filter_map(|name| self.user_by_name.get(name));
        ids.filter_map(|id| self.users.get(id)).map(|watched| watched.now.clone()).collect()
    }

    /// Sets the present state of a user, if it is watched.
    pub(crate) fn handle_presence(&mut self, contact: Contact, now_ms: u64) {
        let Some(id) = self.user_by_name.get(contact.user.as_str()).copied() else { return };
        let Some(watched) = self.users.get_mut(&id) else { return };
        let is_away = contact.presence == Presence::Offline;
        watched.now = contact;
        match (is_away, watched.absent_at_ms) {
            (true, None) => {
                watched.absent_at_ms = Some(now_ms + ABSENT_MS);
                self.absences.insert((now_ms + ABSENT_MS, id));
            }
            (true, Some(at_ms)) if at_ms <= now_ms => self.show(id),
            (true, Some(_)) => {}
            (false, absent_at_ms) => {
                watched.absent_at_ms = None;
                absent_at_ms.map(|at_ms| self.absences.remove(&(at_ms, id)));
                self.show(id);
            }
        }
    }

    /// Makes news of absences that count now, and ends watches whose time is over.
    pub(crate) fn handle_time(&mut self, now_ms: u64) {
        while let Some((at_ms, id)) = self.absences.first().copied().filter(|(at_ms, _)| *at_ms <= now_ms) {
            self.absences.remove(&(at_ms, id));
            self.show(id);
        }
        while let Some((_, id)) = self.ends.first().copied().filter(|(until_ms, _)| *until_ms <= now_ms) {
            self.drop_watcher(id);
        }
    }

    /// The news of the watchers whose turn it is. Until `handle_sent` is called, a watcher gets no others.
    pub(crate) fn poll_news(&mut self, slot: usize) -> Vec<(ClientId, Vec<Contact>)> {
        let Some(turn) = self.turns.get_mut(slot % SLOTS) else { return Vec::new() };
        let ids = std::mem::take(turn);
        ids.into_iter().filter_map(|id| self.take_news(id)).collect()
    }

    /// The queue has accepted the message; what is lost is news again.
    pub(crate) fn handle_sent(&mut self, client: &ClientId, lost: &[Contact]) {
        let Some(id) = self.watcher_by_client.get(client).copied() else { return };
        let users: Vec<UserId> =
            lost.iter().filter_map(|contact| self.user_by_name.get(contact.user.as_str())).copied().collect();
        let Some(watcher) = self.watchers.get_mut(&id) else { return };
        watcher.sending = false;
        watcher.news.extend(users.iter().filter(|user| watcher.told.contains_key(user)));
        if !watcher.news.is_empty() {
            turn_of(&mut self.turns, id).insert(id);
        }
    }

    fn take_news(&mut self, id: WatcherId) -> Option<(ClientId, Vec<Contact>)> {
        let watcher = self.watchers.get_mut(&id).filter(|watcher| !watcher.sending)?;
        let mut contacts = Vec::new();
        for user in std::mem::take(&mut watcher.news) {
            let Some(watched) = self.users.get(&user) else { continue };
            watcher.told.insert(user, watched.shown.presence);
            contacts.push(watched.shown.clone());
        }
        watcher.sending = !contacts.is_empty();
        contacts.sort_by(|one, other| one.user.cmp(&other.user));
        watcher.sending.then(|| (watcher.client.clone(), contacts))
    }

    /// The present state counts: it is news for the watchers that were told another one, and no news any more for the
    /// others.
    fn show(&mut self, user: UserId) {
        let Some(watched) = self.users.get_mut(&user) else { return };
        watched.shown = watched.now.clone();
        for id in &watched.watchers {
            let Some(watcher) = self.watchers.get_mut(id) else { continue };
            if watcher.told.get(&user) == Some(&watched.shown.presence) {
                watcher.news.remove(&user);
            } else {
                watcher.news.insert(user);
                turn_of(&mut self.turns, *id).insert(*id);
            }
        }
    }

    fn keep_limits(&mut self) {
        let mut dropped = 0;
        while self.watchers.len() > WATCHERS_MAX || self.pairs > PAIRS_MAX {
            let Some((_, id)) = self.ends.first().copied() else { break };
            self.drop_watcher(id);
            dropped += 1;
        }
        if dropped > 0 {
            tracing::warn!(dropped, watchers = self.watchers.len(), "too many watch others' presence; some do no more");
        }
    }

    fn drop_watcher(&mut self, id: WatcherId) {
        let Some(watcher) = self.watchers.remove(&id) else { return };
        self.watcher_by_client.remove(&watcher.client);
        self.ends.remove(&(watcher.until_ms, id));
        turn_of(&mut self.turns, id).remove(&id);
        self.pairs -= watcher.told.len();
        for user in watcher.told.into_keys() {
            self.drop_pair(user, id);
        }
    }

    fn drop_pair(&mut self, user: UserId, watcher: WatcherId) {
        let Some(watched) = self.users.get_mut(&user) else { return };
        watched.watchers.remove(&watcher);
        if !watched.watchers.is_empty() {
            return;
        }
        let Some(watched) = self.users.remove(&user) else { return };
        self.user_by_name.remove(watched.now.user.as_str());
        watched.absent_at_ms.map(|at_ms| self.absences.remove(&(at_ms, user)));
    }

    fn user_id(&mut self, contact: &Contact) -> UserId {
        if let Some(id) = self.user_by_name.get(contact.user.as_str()) {
            return *id;
        }
        let id = self.new_id();
        // A user that the answer shows as absent was absent before it.
        let absent_at_ms = (contact.presence == Presence::Offline).then_some(0);
        let watched = Watched { now: contact.clone(), shown: contact.clone(), watchers: HashSet::new(), absent_at_ms };
        self.users.insert(id, watched);
        self.user_by_name.insert(contact.user.0.clone(), id);
        id
    }

    fn new_id(&mut self) -> u32 {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            if !self.watchers.contains_key(&self.next_id) && !self.users.contains_key(&self.next_id) {
                return self.next_id;
            }
        }
    }
}

fn turn_of(turns: &mut [HashSet<WatcherId>; SLOTS], id: WatcherId) -> &mut HashSet<WatcherId> {
    &mut turns[id as usize % SLOTS]
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presence::{InCall, Offline, Online};

    fn contact(user: &str, presence: Presence) -> Contact {
        let since_ms = (presence == Offline).then_some(1);
        Contact { user: user.into(), name: user.to_uppercase(), presence, since_ms }
    }

    fn client(number: usize) -> ClientId {
        ClientId(format!("watcher-{number}"))
    }

    /// Everybody's turn once; the queue takes everything.
    fn second(watches: &mut Watches) -> Vec<(ClientId, Vec<Contact>)> {
        let all: Vec<_> = (0..SLOTS).flat_map(|slot| watches.poll_news(slot)).collect();
        all.iter().for_each(|(client, _)| watches.handle_sent(client, &[]));
        all
    }

    fn watching(told: &[(&str, Presence)]) -> Watches {
        let mut watches = Watches::default();
        let told: Vec<_> = told.iter().map(|(user, presence)| contact(user, *presence)).collect();
        watches.handle_watch(&client(0), &told, 0, 100_000);
        watches
    }

    #[test]
    fn a_watcher_is_told_what_is_otherwise_than_it_was_told_and_only_once() {
        let mut watches = watching(&[("ann", Online), ("bob", Offline)]);
        watches.handle_presence(contact("ann", Online), 10);
        assert_eq!(second(&mut watches), []);
        watches.handle_presence(contact("ann", InCall), 20);
        watches.handle_presence(contact("bob", Online), 20);
        watches.handle_presence(contact("nobody", Online), 20);
        assert_eq!(second(&mut watches), [(client(0), vec![contact("ann", InCall), contact("bob", Online)])]);
        assert_eq!(second(&mut watches), []);
    }

    #[test]
    fn of_several_states_within_a_turn_the_newest_is_told_and_none_if_it_is_the_old_one() {
        let mut watches = watching(&[("ann", Online), ("bob", Online)]);
        for (user, presence) in [("ann", InCall), ("bob", InCall), ("ann", Online)] {
            watches.handle_presence(contact(user, presence), 10);
        }
        assert_eq!(second(&mut watches), [(client(0), vec![contact("bob", InCall)])]);
    }

    #[test]
    fn an_absence_is_told_after_three_seconds_and_one_within_them_is_no_news() {
        let mut watches = watching(&[("ann", Online), ("bob", Online)]);
        watches.handle_presence(contact("ann", Offline), 1_000);
        watches.handle_presence(contact("bob", Offline), 1_000);
        watches.handle_presence(contact("bob", Online), 3_999);
        watches.handle_time(3_999);
        assert_eq!(second(&mut watches), []);
        watches.handle_time(4_000);
        assert_eq!(second(&mut watches), [(client(0), vec![contact("ann", Offline)])]);
        watches.handle_presence(contact("ann", Offline), 5_000);
        watches.handle_time(60_000);
        assert_eq!(second(&mut watches), []);
    }

    #[test]
    fn news_that_wait_for_their_turn_do_not_tell_an_absence_before_it_counts() {
        let mut watches = watching(&[("ann", InCall)]);
        watches.handle_presence(contact("ann", Online), 1_000);
        watches.handle_presence(contact("ann", Offline), 1_100);
        watches.handle_time(1_200);
        assert_eq!(second(&mut watches), [(client(0), vec![contact("ann", Online)])]);
        watches.handle_presence(contact("ann", Online), 2_000);
        assert_eq!(second(&mut watches), []);
    }

    #[test]
    fn who_was_answered_while_somebody_is_away_for_a_moment_hears_of_the_return() {
        let mut watches = watching(&[("ann", Online)]);
        watches.handle_presence(contact("ann", Offline), 1_000);
        watches.handle_watch(&client(1), &[contact("ann", Offline)], 0, 100_000);
        watches.handle_presence(contact("ann", Online), 2_000);
        assert_eq!(second(&mut watches), [(client(1), vec![contact("ann", Online)])]);
    }

    #[test]
    fn a_message_that_the_queue_did_not_take_is_told_again_as_it_is_then_and_none_overtakes_it() {
        let mut watches = watching(&[("ann", Online)]);
        watches.handle_presence(contact("ann", InCall), 10);
        let lost: Vec<_> = (0..SLOTS).flat_map(|slot| watches.poll_news(slot)).collect();
        watches.handle_presence(contact("ann", Online), 20);
        assert_eq!(second(&mut watches), [], "the first is on its way");
        watches.handle_sent(&client(0), &lost[0].1);
        assert_eq!(second(&mut watches), [(client(0), vec![contact("ann", Online)])]);
    }

    #[test]
    fn a_watch_ends_by_time_by_its_client_and_leaves_nothing_behind() {
        let mut watches = watching(&[("ann", Online), ("bob", Offline)]);
        watches.handle_watch(&client(1), &[contact("ann", Online)], 0, 50_000);
        watches.handle_presence(contact("ann", Offline), 10);
        watches.handle_time(50_000);
        assert!(!watches.watcher_by_client.contains_key(&client(1)));
        watches.handle_end(&client(0));
        assert!(watches.is_empty() && watches.users.is_empty() && watches.user_by_name.is_empty());
        assert!(watches.ends.is_empty() && watches.absences.is_empty() && watches.pairs == 0);
        assert!(watches.turns.iter().all(HashSet::is_empty));
    }

    #[test]
    fn a_watch_that_is_renewed_takes_the_place_of_the_old_one_and_reads_changes_from_its_answer_on() {
        let mut watches = watching(&[("ann", Online), ("bob", Online)]);
        watches.after = 50;
        watches.handle_watch(&client(0), &[contact("ann", InCall)], 40, 200_000);
        assert_eq!((watches.pairs, watches.after, watches.ends.len()), (1, 40, 1));
        watches.handle_presence(contact("ann", InCall), 10);
        assert_eq!(second(&mut watches), []);
    }

    #[test]
    fn when_too_many_watch_those_go_whose_watch_ends_first() {
        let mut watches = Watches::default();
        for number in 0..=WATCHERS_MAX {
            let until_ms = if number == 7 { 1 } else { 1_000 };
            watches.handle_watch(&client(number), &[contact("ann", Online)], 0, until_ms);
        }
        assert_eq!((watches.watchers.len(), watches.pairs), (WATCHERS_MAX, WATCHERS_MAX));
        assert!(!watches.watcher_by_client.contains_key(&client(7)));
    }

    #[test]
    fn when_everybody_reconnects_at_once_nobody_is_told_anything() {
        let users: Vec<String> = (0..200).map(|user| format!("user-{user}")).collect();
        let all = |presence| users.iter().map(|user| contact(user, presence)).collect::<Vec<_>>();
        let mut watches = Watches::default();
        for number in 0..1_000 {
            watches.handle_watch(&client(number), &all(Online), 0, 100_000);
        }
        all(Offline).into_iter().for_each(|contact| watches.handle_presence(contact, 1_000));
        all(Online).into_iter().for_each(|contact| watches.handle_presence(contact, 2_000));
        watches.handle_time(10_000);
        assert_eq!(second(&mut watches), []);
        all(Offline).into_iter().for_each(|contact| watches.handle_presence(contact, 11_000));
        watches.handle_time(14_000);
        let told: Vec<usize> = (0..SLOTS).map(|slot| watches.poll_news(slot).len()).collect();
        assert_eq!(told.iter().sum::<usize>(), 1_000, "one message each");
        assert!(told.iter().all(|turn| *turn < 200), "spread over the second: {told:?}");
    }
}
