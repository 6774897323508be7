//! Changes of the roster as it is shown: what a terminal lacks that knows an older one.

use crate::machine::document::Meeting;
use signalling::{Member, Roster, RosterChange, UserName};
use std::collections::BTreeMap;

/// Users that are gone are remembered for terminals that do not know it yet, at most so many.
const GONE_MAX: usize = 400;

/// The newest roster of a meeting, and when each entry became what it is. Pure.
#[derive(Clone, Debug)]
pub struct RosterHistory {
    roster: Roster,
    /// The revision of the last change of each user's entry, also of users who are gone.
    changed: BTreeMap<UserName, u64>,
    /// All changes after this revision are known.
    since: u64,
    /// The revision of the last change of anything that is shown.
    changed_at_rev: u64,
}

impl RosterHistory {
    /// A history that begins with this document.
    pub fn new(meeting: &Meeting) -> Self {
        let roster = meeting.roster();
        Self { since: meeting.rev, changed_at_rev: meeting.rev, changed: BTreeMap::new(), roster }
    }

    /// The meeting is this now; a document that is not newer than the last one changes nothing.
    pub fn update(&mut self, meeting: &Meeting) {
        let rev = meeting.rev;
        if rev <= self.roster.rev {
            return;
        }
        let now = meeting.roster();
        let users = differing(&self.roster, &now);
        if !users.is_empty() || now.host != self.roster.host {
            self.changed_at_rev = rev;
        }
        self.changed.extend(users.into_iter().map(|user| (user, rev)));
        self.roster = now;
        self.forget_gone();
    }

    /// The revision of the last change of anything that is shown.
    pub fn changed_at_rev(&self) -> u64 {
        self.changed_at_rev
    }

    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What a terminal that knows the roster of `base` lacks; `None`: the history does not reach back so far.
    pub fn since(&self, base: u64) -> Option<RosterChange> {
        if base < self.since {
            return None;
        }
        let (mut members, mut gone) = (Vec::new(), Vec::new());
        let by_user = by_user(&self.roster);
        for (user, _) in self.changed.iter().filter(|(_, rev)| **rev > base) {
            match by_user.get(user) {
                Some(member) => members.push((*member).clone()),
                None => gone.push(user.clone()),
            }
        }
        let host = self.roster.host.clone()?;
        Some(RosterChange { base, rev: self.roster.rev.max(base), host, members, gone })
    }

    fn forget_gone(&mut self) {
        let present = by_user(&self.roster);
        let gone = self.changed.iter().filter(|(user, _)| !present.contains_key(user));
        let mut gone: Vec<(u64, UserName)> = gone.map(|(user, rev)| (*rev, user.clone())).collect();
        if gone.len() <= GONE_MAX {
            return;
        }
        gone.sort_unstable();
        for (rev, user) in gone.drain(..gone.len() - GONE_MAX) {
            self.changed.remove(&user);
            self.since = self.since.max(rev);
        }
    }
}

/// What makes the roster of `before` the roster of `after`.
pub fn roster_change(before: &Meeting, after: &Meeting) -> RosterChange {
    let (before, after) = (before.roster(), after.roster());
    let users = differing(&before, &after);
    let by_user = by_user(&after);
    let (there, gone): (Vec<_>, Vec<_>) = users.into_iter().partition(|user| by_user.contains_key(user));
    let members = there.iter().filter_map(|user| by_user.get(user)).map(|member| (*member).clone()).collect();
    RosterChange { base: before.rev, rev: after.rev, host: after.host.clone().unwrap_or_default(), members, gone }
}

fn by_user(roster: &Roster) -> BTreeMap<&UserName, &Member> {
    roster.members.iter().map(|member| (&member.user, member)).collect()
}

/// Users whose entries are not the same in both.
fn differing(one: &Roster, other: &Roster) -> Vec<UserName> {
    let (one, other) = (by_user(one), by_user(other));
    let users = one.keys().chain(other.keys().filter(|user| !one.contains_key(*user)));
    users.filter(|user| one.get(*user) != other.get(*user)).map(|user| (*user).clone()).collect()
}
