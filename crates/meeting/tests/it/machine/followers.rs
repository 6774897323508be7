//! Terminals that follow a roster by its changes, and must know it after each.

use meeting::machine::{Meeting, RosterHistory, roster_change};
use signalling::{Member, Roster, RosterChange, UserName};
use std::collections::BTreeMap;

/// Terminals that are told at different paces.
#[derive(Default)]
pub(crate) struct Followers {
    history: Option<RosterHistory>,
    last: Option<Meeting>,
    known: Vec<Roster>,
    turns: usize,
}

impl Followers {
    const PACES: usize = 5;

    pub(crate) fn take(&mut self, meeting: &Meeting) {
        if let Some(last) = self.last.replace(meeting.clone()) {
            let mut known = last.roster();
            follow(&mut known, &roster_change(&last, meeting));
            assert_eq!(shown(&known), shown(&meeting.roster()), "after one change");
        }
        let history = self.history.get_or_insert_with(|| RosterHistory::new(meeting));
        history.update(meeting);
        self.known.resize(Self::PACES, meeting.roster());
        self.turns += 1;
        let turn = self.turns;
        for (pace, known) in (1..).zip(&mut self.known).filter(|(pace, _)| turn.is_multiple_of(*pace)) {
            if known.rev < history.changed_at_rev() {
                follow(known, &history.since(known.rev).unwrap());
            }
            assert_eq!(shown(known), shown(&meeting.roster()), "told every {pace}");
        }
    }
}

/// What a terminal does with a change that it can follow.
fn follow(known: &mut Roster, change: &RosterChange) {
    assert!(change.base <= known.rev, "a gap");
    let gone = |user: &UserName| change.gone.contains(user) || change.members.iter().any(|member| member.user == *user);
    known.members.retain(|member| !gone(&member.user));
    known.members.extend(change.members.iter().cloned());
    (known.host, known.rev) = (Some(change.host.clone()), change.rev);
}

fn shown(roster: &Roster) -> (Option<UserName>, BTreeMap<UserName, Member>) {
    let members = roster.members.iter().map(|member| (member.user.clone(), member.clone())).collect();
    (roster.host.clone(), members)
}
