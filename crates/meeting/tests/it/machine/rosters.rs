//! The history of a roster: what a terminal that knows an older one lacks.

use super::world::World;
use meeting::machine::RosterHistory;
use signalling::UserName;

#[test]
fn a_change_names_who_came_or_changed_and_who_is_gone() {
    let mut world = World::in_call();
    let mut history = RosterHistory::new(world.document());
    let base = world.document().rev;
    world.invite("alice.phone", "carol");
    history.update(world.document());
    world.request("bob.phone", meeting::machine::Request::Leave);
    history.update(world.document());
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
    let news = history.changed_at_rev();
    world.goes("bob.phone");
    assert!(world.document().rev > news);
    history.update(world.document());
    assert_eq!(history.changed_at_rev(), news);
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
        history.update(&meeting);
    }
    assert_eq!(history.since(base), None, "too long ago");
    let change = history.since(meeting.rev - 100).unwrap();
    assert_eq!((change.members.len(), change.gone.len()), (1, 100));
}
