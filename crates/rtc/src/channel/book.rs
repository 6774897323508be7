//! The channels of one shard by name: those that are open, and those that have ended. Pure.
//!
//! It holds the rule of revisions (drawn at [`signalling::channel`]). An end is kept for as long as a token may last, and
//! at most so many are kept: then the oldest is forgotten. A join to it waits in vain instead of being refused at once,
//! and a late call of its owner may open it again, until nobody renews it.

use super::{Channel, ChannelConfig};
use crate::owner::{ChannelKey, Owner};
use crate::shard::mailbox::JoinRefusal;
use signalling::{ChannelDescription, ChannelError, DesiredChannel, JoinClaims};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct BookConfig {
    pub(crate) channel: ChannelConfig,
    pub(crate) channels_max: usize,
    pub(crate) owner: OwnerLimits,
    pub(crate) ended_max: usize,
    /// How long an end is kept.
    pub(crate) ended_kept: Duration,
    /// How long a channel stays open that its owner has not followed by a first commit.
    pub(crate) early_kept: Duration,
}

/// What one owner may have open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerLimits {
    pub(crate) channels: usize,
    /// In all of its wishes.
    pub(crate) participations: usize,
}

/// What an owner has open.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    channels: usize,
    participations: usize,
}

/// What a put has done.
pub(crate) enum Put {
    /// The channel has effects now, and joins that wait are to be judged again.
    Applied,
    Opened,
    /// It was said before.
    Same,
    /// It was open until now: its last effects are to be carried out.
    Ended(Option<Channel>),
}

pub(crate) struct ChannelBook {
    config: BookConfig,
    open: HashMap<ChannelKey, Channel>,
    held: HashMap<Owner, Held>,
    ended: HashMap<ChannelKey, End>,
    /// The oldest first. One that was opened again meanwhile is in it, too.
    ends: VecDeque<(ChannelKey, End)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    rev: u64,
    at: Instant,
}

impl ChannelBook {
    pub(crate) fn new(config: BookConfig) -> Self {
        Self { config, open: HashMap::new(), held: HashMap::new(), ended: HashMap::new(), ends: VecDeque::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ends.is_empty()
    }

    pub(crate) fn get(&self, key: &ChannelKey) -> Option<&Channel> {
        self.open.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &ChannelKey) -> Option<&mut Channel> {
        self.open.get_mut(key)
    }

    /// Those with participants.
    pub(crate) fn in_use(&mut self) -> impl Iterator<Item = (&ChannelKey, &mut Channel)> {
        self.open.iter_mut().filter(|(_, channel)| !channel.is_empty())
    }

    pub(crate) fn list(&self, owner: &Owner) -> Vec<ChannelDescription> {
        let of_owner = self.open.iter().filter(|(key, _)| key.owner == *owner);
        of_owner.map(|(_, channel)| channel.describe()).collect()
    }

    /// # Errors
    /// [`ChannelError::Stale`] and [`ChannelError::Limit`], without any change.
    pub(crate) fn put(
        &mut self,
        key: &ChannelKey,
        rev: u64,
        desired: Option<DesiredChannel>,
        now: Instant,
    ) -> Result<Put, ChannelError> {
        if self.is_repeated(key, rev, desired.as_ref())? {
            return Ok(Put::Same);
        }
        let Some(desired) = desired else { return Ok(self.end(key, rev, now)) };
        self.check_room(key, &desired)?;
        self.ended.remove(key);
        self.let_go(key);
        let held = self.held.entry(key.owner.clone()).or_default();
        held.channels += 1;
        held.participations += desired.participations.len();
        let mut opened = false;
        let channel = self.open.entry(key.clone()).or_insert_with(|| {
            opened = true;
            Channel::new(key.channel.clone(), self.config.channel, now)
        });
        channel.put(rev, desired, now);
        Ok(if opened { Put::Opened } else { Put::Applied })
    }

    /// Whether it was said before; fails if something else, or something newer, was.
    fn is_repeated(&self, key: &ChannelKey, rev: u64, desired: Option<&DesiredChannel>) -> Result<bool, ChannelError> {
        let (present, is_same) = match (self.open.get(key), self.ended.get(key)) {
            (Some(channel), _) => (channel.rev(), desired == Some(channel.desired())),
            (None, Some(end)) => (end.rev, desired.is_none()),
            (None, None) => return Ok(false),
        };
        let repeated = rev == present && is_same;
        if rev > present || repeated { Ok(repeated) } else { Err(ChannelError::Stale { present }) }
    }

    fn check_room(&self, key: &ChannelKey, desired: &DesiredChannel) -> Result<(), ChannelError> {
        let max = self.config.channel.participations_max;
        if desired.participations.len() > max {
            return Err(ChannelError::Limit(format!("{max} participations in one channel")));
        }
        let (max, present) = (self.config.channels_max, self.open.get(key));
        if self.open.len() >= max && present.is_none() {
            return Err(ChannelError::Limit(format!("{max} channels on one media thread")));
        }
        let OwnerLimits { channels, participations } = self.config.owner;
        let held = self.held.get(&key.owner).copied().unwrap_or_default();
        if held.channels >= channels && present.is_none() {
            return Err(ChannelError::Limit(format!("{channels} channels of one owner on one media thread")));
        }
        // Who wishes for less than before is never refused.
        let before = present.map_or(0, |channel| channel.desired().participations.len());
        let more = desired.participations.len().saturating_sub(before);
        if more > 0 && held.participations + more > participations {
            return Err(ChannelError::Limit(format!(
                "{participations} participations of one owner on one media thread"
            )));
        }
        Ok(())
    }

    /// What is open under this name counts no more.
    fn let_go(&mut self, key: &ChannelKey) {
        let Some(wished) = self.open.get(key).map(|channel| channel.desired().participations.len()) else { return };
        if let Some(held) = self.held.get_mut(&key.owner) {
            held.channels = held.channels.saturating_sub(1);
            held.participations = held.participations.saturating_sub(wished);
            if held.channels == 0 {
                self.held.remove(&key.owner);
            }
        }
    }

    fn end(&mut self, key: &ChannelKey, rev: u64, now: Instant) -> Put {
        let end = End { rev, at: now };
        self.ended.insert(key.clone(), end);
        self.ends.push_back((key.clone(), end));
        while self.ends.len() > self.config.ended_max {
            self.forget_oldest_end();
        }
        self.let_go(key);
        let mut channel = self.open.remove(key);
        if let Some(channel) = &mut channel {
            channel.close();
        }
        Put::Ended(channel)
    }

    fn forget_oldest_end(&mut self) {
        if let Some((key, end)) = self.ends.pop_front()
            && self.ended.get(&key) == Some(&end)
        {
            self.ended.remove(&key);
        }
    }

    /// Whether the bearer of a token may join now.
    pub(crate) fn admission(&self, key: &ChannelKey, claims: &JoinClaims) -> Result<(), JoinRefusal> {
        match (self.open.get(key), self.ended.get(key)) {
            (Some(channel), _) => channel.admission(claims).map(drop),
            (None, Some(end)) if claims.rev <= end.rev => Err(JoinRefusal::ChannelClosed),
            (None, _) => Err(JoinRefusal::NotYet),
        }
    }

    /// Forgets old ends, and closes the channels that nobody is in and nobody cares for. Returns how many.
    pub(crate) fn sweep(&mut self, now: Instant, is_lapsed: impl Fn(&Owner) -> bool) -> usize {
        let is_old = |at: Instant, limit: Duration| now.saturating_duration_since(at) >= limit;
        while self.ends.front().is_some_and(|(_, end)| is_old(end.at, self.config.ended_kept)) {
            self.forget_oldest_end();
        }
        let early = |channel: &Channel| channel.rev() == 0 && is_old(channel.opened_at(), self.config.early_kept);
        let unwanted =
            |(key, channel): &(&ChannelKey, &Channel)| channel.is_empty() && (early(channel) || is_lapsed(&key.owner));
        let closed: Vec<ChannelKey> = self.open.iter().filter(unwanted).map(|(key, _)| key.clone()).collect();
        for key in &closed {
            self.let_go(key);
            self.open.remove(key);
        }
        closed.len()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use signalling::{Admission, ChannelId, DesiredParticipation, ParticipationId, Rights, Sources, UserName};
    use uuid::Uuid;

    const KEPT: Duration = Duration::from_secs(600);
    const EARLY: Duration = Duration::from_secs(120);

    fn book() -> ChannelBook {
        let channel = ChannelConfig {
            lost_after: Duration::from_secs(4),
            gone_after: Duration::from_secs(20),
            join_timeout: Duration::from_secs(10),
            peers_max: 8,
            participations_max: 3,
        };
        let owner = OwnerLimits { channels: 2, participations: 5 };
        let (channels_max, ended_max) = (3, 3);
        ChannelBook::new(BookConfig { channel, channels_max, owner, ended_max, ended_kept: KEPT, early_kept: EARLY })
    }

    fn key(name: &str) -> ChannelKey {
        ChannelKey { owner: Owner::from("app"), channel: ChannelId::from(name) }
    }

    fn wish(users: &[&str]) -> DesiredChannel {
        let participation = |user: &&str| {
            let desired = DesiredParticipation {
                user: UserName::from(*user),
                client: (*user).to_owned(),
                admission: Admission::Admitted,
                rights: Rights::ALL,
                muted: Sources::NONE,
            };
            (id(user), desired)
        };
        DesiredChannel { participations: users.iter().map(participation).collect() }
    }

    fn id(user: &str) -> ParticipationId {
        ParticipationId(Uuid::from_u128(user.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte))))
    }

    fn claims(user: &str, rev: u64) -> JoinClaims {
        JoinClaims {
            iss: String::new(),
            aud: JoinClaims::AUDIENCE.to_owned(),
            jti: String::new(),
            iat: 0,
            exp: 0,
            channel: ChannelId::from("c"),
            participation: id(user),
            user: UserName::from(user),
            client: user.to_owned(),
            rev,
        }
    }

    /// The answer in one word.
    fn put(book: &mut ChannelBook, name: &str, rev: u64, desired: Option<&[&str]>, now: Instant) -> String {
        match book.put(&key(name), rev, desired.map(wish), now) {
            Ok(Put::Opened) => "opened".to_owned(),
            Ok(Put::Applied) => "applied".to_owned(),
            Ok(Put::Same) => "same".to_owned(),
            Ok(Put::Ended(open)) => if open.is_some() { "ended" } else { "noted" }.to_owned(),
            Err(ChannelError::Stale { present }) => format!("stale {present}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_higher_revision_is_applied_the_same_answered_again_and_any_other_refused() {
        let (mut book, now) = (book(), Instant::now());
        let nobody: Option<&[&str]> = Some(&[]);
        let (alice, both): (Option<&[&str]>, Option<&[&str]>) = (Some(&["alice"]), Some(&["alice", "bob"]));
        for (rev, desired, answer) in [
            (0, nobody, "opened"),
            (0, nobody, "same"),
            (0, alice, "stale 0"),
            (0, None, "stale 0"),
            (3, alice, "applied"),
            (3, alice, "same"),
            (3, both, "stale 3"),
            (3, None, "stale 3"),
            (2, alice, "stale 3"),
            (2, None, "stale 3"),
            (5, None, "ended"),
            (5, None, "same"),
            (5, both, "stale 5"),
            (4, both, "stale 5"),
            (4, None, "stale 5"),
            (6, both, "opened"),
            (5, None, "stale 6"),
        ] {
            assert_eq!(put(&mut book, "c", rev, desired, now), answer, "{rev} {desired:?}");
        }
    }

    #[test]
    fn an_end_of_what_was_never_opened_is_kept_too() {
        let (mut book, now) = (book(), Instant::now());
        assert_eq!(put(&mut book, "c", 4, None, now), "noted");
        assert_eq!(put(&mut book, "c", 3, Some(&[]), now), "stale 4");
    }

    #[test]
    fn an_end_is_forgotten_when_no_token_can_last_any_more() {
        let (mut book, now) = (book(), Instant::now());
        put(&mut book, "c", 4, None, now);
        book.sweep(now + KEPT - Duration::from_secs(1), |_| false);
        assert_eq!(put(&mut book, "c", 3, Some(&[]), now), "stale 4");
        book.sweep(now + KEPT, |_| false);
        assert_eq!(put(&mut book, "c", 3, Some(&[]), now), "opened");
    }

    #[test]
    fn of_too_many_ends_the_oldest_is_forgotten_and_one_that_was_opened_again_is_none() {
        let (mut book, now) = (book(), Instant::now());
        for (name, rev, desired) in [("a", 1, None), ("a", 2, Some(&[] as &[&str])), ("b", 1, None), ("c", 1, None)] {
            put(&mut book, name, rev, desired, now);
        }
        assert_eq!(put(&mut book, "d", 1, None, now), "noted");
        assert_eq!(put(&mut book, "a", 1, Some(&[]), now), "stale 2");
        assert_eq!(put(&mut book, "b", 1, Some(&["alice"]), now), "stale 1");
        put(&mut book, "e", 1, None, now);
        assert_eq!(put(&mut book, "b", 1, Some(&["alice"]), now), "opened");
    }

    #[test]
    fn channels_and_participations_have_limits_that_change_nothing_that_is_there() {
        let (mut book, now) = (book(), Instant::now());
        for name in ["a", "b"] {
            put(&mut book, name, 1, Some(&["alice"]), now);
        }
        assert!(put(&mut book, "c", 1, Some(&[]), now).contains("2 channels"));
        assert!(put(&mut book, "a", 2, Some(&["a", "b", "c", "d"]), now).contains("3 participations"));
        assert_eq!(put(&mut book, "a", 1, Some(&["alice"]), now), "same");
        assert_eq!(put(&mut book, "a", 2, Some(&["a", "b", "c"]), now), "applied");
        assert!(put(&mut book, "b", 2, Some(&["a", "b", "c"]), now).contains("5 participations of one owner"));
        let other = |name: &str| ChannelKey { owner: Owner::from("other"), ..key(name) };
        assert!(matches!(book.put(&other("c"), 1, Some(wish(&["a", "b", "c"])), now), Ok(Put::Opened)));
        assert!(book.put(&other("d"), 1, Some(wish(&[])), now).is_err(), "there is room for three in all");
        // What has ended takes no room.
        assert_eq!(put(&mut book, "a", 3, None, now), "ended");
        assert_eq!(put(&mut book, "b", 2, Some(&["a", "b", "c"]), now), "applied");
        assert_eq!(put(&mut book, "e", 1, Some(&["a", "b"]), now), "opened");
        assert_eq!(put(&mut book, "e", 2, Some(&["a"]), now), "applied");
        assert_eq!(book.sweep(now, |_| true), 3);
        assert!(book.held.is_empty());
    }

    #[test]
    fn who_is_not_in_the_wish_is_refused_below_its_revision_and_waits_above_it() {
        let (mut book, now) = (book(), Instant::now());
        let admission = |book: &ChannelBook, user, rev| book.admission(&key("c"), &claims(user, rev));
        assert_eq!(admission(&book, "alice", 1), Err(JoinRefusal::NotYet));
        put(&mut book, "c", 3, Some(&["alice"]), now);
        assert_eq!(admission(&book, "alice", 7), Ok(()));
        assert_eq!(admission(&book, "bob", 3), Err(JoinRefusal::Removed));
        assert_eq!(admission(&book, "bob", 4), Err(JoinRefusal::NotYet));
        let another = JoinClaims { user: UserName::from("mallory"), ..claims("alice", 9) };
        assert_eq!(book.admission(&key("c"), &another), Err(JoinRefusal::Removed));
        put(&mut book, "c", 4, None, now);
        assert_eq!(admission(&book, "alice", 4), Err(JoinRefusal::ChannelClosed));
        assert_eq!(admission(&book, "alice", 5), Err(JoinRefusal::NotYet));
    }

    #[test]
    fn another_owners_channel_of_the_same_name_is_another_channel() {
        let (mut book, now) = (book(), Instant::now());
        put(&mut book, "c", 3, Some(&["alice"]), now);
        let other = ChannelKey { owner: Owner::from("other"), ..key("c") };
        assert!(matches!(book.put(&other, 1, Some(wish(&[])), now), Ok(Put::Opened)));
        assert_eq!(book.list(&other.owner).len(), 1);
        assert_eq!(book.get(&key("c")).unwrap().rev(), 3);
    }

    #[test]
    fn what_nobody_is_in_closes_when_its_owner_is_gone_or_has_never_committed_it() {
        let (mut book, now) = (book(), Instant::now());
        put(&mut book, "a", 0, Some(&[]), now);
        put(&mut book, "b", 1, Some(&[]), now);
        assert_eq!(book.sweep(now + EARLY - Duration::from_secs(1), |_| false), 0);
        assert_eq!(book.sweep(now + EARLY, |_| false), 1);
        assert!(book.get(&key("a")).is_none() && book.get(&key("b")).is_some());
        assert_eq!(book.sweep(now + EARLY, |_| true), 1);
        // It has not ended: its owner may come back, and put it again.
        assert_eq!(put(&mut book, "b", 1, Some(&[]), now), "opened");
    }
}
