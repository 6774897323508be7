//! Who follows the changes of a roster knows the roster.

use crate::world::World;
use signalling::meeting::{Meeting, RosterHistory};
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
            follow(&mut known, &RosterChange::between(&last, meeting));
            assert_eq!(shown(&known), shown(&meeting.roster()), "after one change");
        }
        let history = self.history.get_or_insert_with(|| RosterHistory::new(meeting));
        history.take(meeting);
        self.known.resize(Self::PACES, meeting.roster());
        self.turns += 1;
        let turn = self.turns;
        for (pace, known) in (1..).zip(&mut self.known).filter(|(pace, _)| turn.is_multiple_of(*pace)) {
            if known.rev < history.news() {
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

#[test]
fn a_change_names_who_came_or_changed_and_who_is_gone() {
    let mut world = World::in_call();
    let mut history = RosterHistory::new(world.document());
    let base = world.document().rev;
    world.invite("alice.phone", "carol");
    history.take(world.document());
    world.request("bob.phone", signalling::meeting::Request::Leave);
    history.take(world.document());
    let change = history.since(base).unwrap();
    assert_eq!((change.base, change.rev), (base, world.document().rev));
    assert_eq!(change.members.iter().map(|member| member.user.as_str()).collect::<Vec<_>>(), ["carol"]);
    assert_eq!(change.gone, ["bob".into()]);
    assert_eq!(history.since(change.rev).unwrap().members, []);
}

#[test]
fn of_a_time_before_the_history_nothing_is_known() {
    let world = World::in_call();
    let history = RosterHistory::new(world.document());
    assert_eq!(history.since(world.document().rev - 1), None);
}

#[test]
fn what_is_not_shown_is_no_news() {
    let mut world = World::in_call();
    let mut history = RosterHistory::new(world.document());
    let news = history.news();
    world.goes("bob.phone");
    assert!(world.document().rev > news);
    history.take(world.document());
    assert_eq!(history.news(), news);
}

#[test]
fn users_who_are_gone_are_remembered_up_to_a_bound() {
    let world = World::in_call();
    let mut history = RosterHistory::new(world.document());
    let base = world.document().rev;
    let mut meeting = world.document().clone();
    for number in 0..1_000_u64 {
        meeting.rev += 1;
        let mut guest = meeting.members[0].clone();
        guest.user = UserName(format!("guest-{number}"));
        meeting.members.truncate(2);
        meeting.members.push(guest);
        history.take(&meeting);
    }
    assert_eq!(history.since(base), None, "too long ago");
    let change = history.since(meeting.rev - 100).unwrap();
    assert_eq!((change.members.len(), change.gone.len()), (1, 100));
}
