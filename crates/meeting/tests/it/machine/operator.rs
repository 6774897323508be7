//! What an operator does in a meeting that it is not in.

use super::world::World;
use meeting::machine::{Decided, Event, Refusal, Request};
use signalling::{DownBody, EndReason, Muted, RefusalCode, Track, UserName};

fn ask(world: &mut World, request: Request) -> Decided {
    world.decide(Event::Operator { request })
}

fn refused(world: &mut World, request: Request) -> RefusalCode {
    let before = world.document().clone();
    let Decided { refused: Some(Refusal { code, words }), sends, .. } = ask(world, request) else { panic!("done") };
    assert!(!words.is_empty() && sends.is_empty(), "{words}, {sends:?}");
    assert_eq!(*world.document(), before);
    code
}

fn kick(user: &str) -> Request {
    Request::Kick { user: user.into(), ban_s: 0 }
}

fn mute(user: &str) -> Request {
    Request::Mute { user: Some(user.into()), track: Track::Audio }
}

#[test]
fn an_operator_mutes_blocks_and_asks_and_is_named_by_what_is_no_user() {
    let mut world = World::in_call();
    let block = |blocked| Request::Block { user: "bob".into(), track: Track::Video, blocked };
    let asked = Request::AskUnmute { user: "alice".into(), track: Track::Audio };
    let mut told = Vec::new();
    for request in [mute("alice"), block(true), block(false), asked] {
        let decided = ask(&mut world, request);
        assert_eq!(decided.refused, None);
        told.extend(decided.sends.into_iter().map(|send| (send.to.0, send.body, send.in_reply_to)));
    }
    let by = UserName::operator;
    let expected = [
        ("alice.phone", DownBody::Muted { track: Track::Audio, by: by() }),
        ("bob.phone", DownBody::Blocked { track: Track::Video, blocked: true, by: by() }),
        ("bob.phone", DownBody::Blocked { track: Track::Video, blocked: false, by: by() }),
        ("alice.phone", DownBody::UnmuteAsked { track: Track::Audio, by: by() }),
    ];
    assert_eq!(told, expected.map(|(to, body)| (to.to_owned(), body, None)));
    let alice = world.document().member(&"alice".into()).unwrap();
    assert_eq!(alice.muted, Muted { audio: true, video: false });
}

#[test]
fn the_host_is_kicked_by_an_operator_and_the_role_passes_on() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    world.forget();
    let decided = ask(&mut world, kick("alice"));
    let [send] = decided.sends.as_slice() else { panic!("{:?}", decided.sends) };
    let DownBody::Ended { reason, by, .. } = &send.body else { panic!("{send:?}") };
    assert_eq!((send.to.as_str(), *reason, by.clone()), ("alice.phone", EndReason::Kicked, Some(UserName::operator())));
    assert_eq!((world.inside(), world.document().host.as_str()), (vec!["bob.phone", "carol.phone"], "bob"));
    assert_eq!(refused(&mut world, kick("alice")), RefusalCode::NotAllowed);
}

#[test]
fn an_operator_rings_in_the_name_of_the_host_who_hears_what_becomes_of_it() {
    let mut world = World::in_call();
    let carol = world.callee("carol");
    let decided = ask(&mut world, Request::Invite { callees: vec![carol] });
    assert_eq!(decided.refused, None);
    let DownBody::Invitation(ring) = &decided.sends[0].body else { panic!("{:?}", decided.sends) };
    assert_eq!((ring.from.as_str(), ring.from_name.as_str(), ring.members), ("alice", "ALICE", 2));
    world.accept("carol.phone");
    assert_eq!(world.got("alice.phone"), ["accepted(carol)"]);
    assert_eq!(world.inside(), ["alice.phone", "bob.phone", "carol.phone"]);
}

#[test]
fn an_operator_ends_a_meeting_for_all_and_its_rings() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.forget();
    assert_eq!(ask(&mut world, Request::Destroy).refused, None);
    assert!(world.document().end.as_ref().is_some_and(|end| end.reason == EndReason::Destroyed));
    assert_eq!(world.got("bob.phone"), ["ended(destroyed)"]);
    assert_eq!(world.got("alice.phone"), ["ended(carol destroyed)", "ended(destroyed)"][1..]);
    assert_eq!(world.got("carol.phone"), ["ring ended(destroyed, missed)"]);
    for request in [Request::Destroy, mute("alice"), kick("bob"), Request::Invite { callees: Vec::new() }] {
        assert_eq!(refused(&mut world, request), RefusalCode::NotAllowed);
    }
}

#[test]
fn what_an_operator_cannot_do_is_refused_and_changes_nothing() {
    let mut world = World::in_call();
    let dave = Request::Block { user: "dave".into(), track: Track::Audio, blocked: true };
    for request in [mute("dave"), kick("dave"), dave] {
        assert_eq!(refused(&mut world, request), RefusalCode::NotAllowed);
    }
    for of_members in [Request::Join, Request::Leave, Request::Unmute { track: Track::Audio }, Request::Roster] {
        assert_eq!(refused(&mut world, of_members), RefusalCode::Invalid);
    }
    world.rules.members_max = 2;
    let carol = world.callee("carol");
    assert_eq!(refused(&mut world, Request::Invite { callees: vec![carol] }), RefusalCode::Limit);
}

#[test]
fn who_is_not_muted_is_not_asked_to_unmute() {
    let mut world = World::in_call();
    let decided = ask(&mut world, Request::AskUnmute { user: "bob".into(), track: Track::Audio });
    assert_eq!((decided.refused, decided.sends.len(), decided.changed), (None, 0, false));
    let dave = Request::AskUnmute { user: "dave".into(), track: Track::Audio };
    assert_eq!(refused(&mut world, dave), RefusalCode::NotAllowed);
}

#[test]
fn a_ban_is_lifted_by_an_operator_and_by_nobody_else() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    for _ in 0..2 {
        assert_eq!(ask(&mut world, Request::Kick { user: "carol".into(), ban_s: u32::MAX }).refused, None);
        let carol = world.callee("carol");
        assert_eq!(refused(&mut world, Request::Invite { callees: vec![carol] }), RefusalCode::NotAllowed);
        world.forget();
        world.request("alice.phone", Request::Unban { user: "carol".into() });
        assert_eq!(world.got("alice.phone"), ["refused(invalid)"]);
        assert!(ask(&mut world, Request::Unban { user: "carol".into() }).changed);
        let again = ask(&mut world, Request::Unban { user: "carol".into() });
        assert_eq!((again.refused, again.changed), (None, false), "it is so already");
        world.forget();
        world.invite("alice.phone", "carol");
        world.accept("carol.phone");
    }
}
