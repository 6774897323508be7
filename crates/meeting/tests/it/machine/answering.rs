//! Each row of the table of answers, played; and the same request from another device of the sender's user.

use super::play::answers_to;
use super::world::World;
use meeting::machine::answer_table::{ANSWERS, Answer, RequestKind};
use meeting::machine::{OutgoingSignal, Request, Rules};
use signalling::{DownBody, EndReason, InvitationId, MeetingId, RejectReason, Track};
use std::collections::BTreeSet;
use uuid::Uuid;

const TRACK: Track = Track::Audio;

/// Alice, Bob and Carol are in.
fn three() -> World {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    world
}

fn of_user(kind: &str, user: &str) -> Request {
    let user = user.into();
    match kind {
        "mute" => Request::Mute { user: Some(user), track: TRACK },
        "block" => Request::Block { user, track: TRACK, blocked: true },
        "unblock" => Request::Block { user, track: TRACK, blocked: false },
        "ask_unmute" => Request::AskUnmute { user, track: TRACK },
        "kick" => Request::Kick { user, ban_s: 0 },
        _ => about(kind),
    }
}

fn about(kind: &str) -> Request {
    match kind {
        "invite" => Request::Invite { callees: Vec::new() },
        "cancel" => Request::Cancel { callee: None },
        "join" => Request::Join,
        "leave" => Request::Leave,
        "mute" => Request::Mute { user: None, track: TRACK },
        "unmute" => Request::Unmute { track: TRACK },
        "destroy" => Request::Destroy,
        "roster" => Request::Roster,
        other => of_user(other, "bob"),
    }
}

fn of_ring(kind: &str, invitation: InvitationId) -> Request {
    match kind {
        "ringing" => Request::Ringing { invitation },
        "accept" => Request::Accept { invitation },
        _ => Request::Reject { invitation, reason: RejectReason::Declined },
    }
}

const ABOUT: [&str; 12] = [
    "invite",
    "cancel",
    "join",
    "leave",
    "mute",
    "unmute",
    "block",
    "unblock",
    "ask_unmute",
    "kick",
    "destroy",
    "roster",
];

/// What the request was sent and what came of it; `None`: the service decides this row, not the machine.
fn play(kind: &str, when: &str) -> Option<(World, Vec<OutgoingSignal>)> {
    let of_two = ["the ring stands", "the call is over by it", "a call of two is over by it"].contains(&when)
        || when.starts_with("its only callee");
    let mut world = if of_two { World::calling() } else { three() };
    let sends = match (kind, when) {
        ("create", "somebody is rung, or nobody was to be") => {
            world = World::new();
            world.create("alice.phone", &["bob"])
        }
        ("create", "its only callee rings the sender: admitted to that meeting") => {
            let (create, invitation) = (MeetingId(world.id()), world.invitation_of("bob.phone"));
            world.request("bob.phone", Request::GlareCreate { create, invitation })
        }
        ("create", "all callees are in other calls") => {
            world = World::new();
            world.busy.insert("bob".to_owned());
            world.create("alice.phone", &["bob"])
        }
        ("create", "the sender has cancelled it before") => {
            world = World::new();
            world.cancel_early("alice.phone");
            world.create("alice.phone", &["bob"])
        }
        ("create", "its id is in use") => world.create("mallory.phone", &["bob"]),
        ("create", "there are too many callees, or it is one create too many") => {
            world = World::new();
            world.rules.members_max = 1;
            world.create("alice.phone", &["bob"])
        }
        (kind, "there is no such invitation for the sender") => {
            world.request("carol.phone", of_ring(kind, InvitationId(Uuid::nil())))
        }
        (kind, "another device has answered, or the ring is over") => {
            let invitation = world.invitation_of("bob.laptop");
            world.request("bob.laptop", of_ring(kind, invitation))
        }
        (kind, "this device has answered, and is in") => {
            let invitation = world.invitation_of("bob.phone");
            world.request("bob.phone", of_ring(kind, invitation))
        }
        ("ringing", "the ring stands, whoever rang first") => {
            world = World::calling();
            world.ringing("bob.phone");
            world.ringing("bob.laptop")
        }
        (kind, "the ring stands") => {
            let invitation = world.invitation_of("bob.phone");
            world.request("bob.phone", of_ring(kind, invitation))
        }
        ("invite", "some are rung, or all are busy, in or rung already") => {
            world.busy.insert("dave".to_owned());
            world.invite("bob.phone", "dave")
        }
        ("invite", "a callee does not exist, or is banned") => {
            world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 60 });
            world.invite("bob.phone", "carol")
        }
        ("invite", "there is no room, or a callee was rung too often") => {
            world.rules.members_max = 3;
            world.invite("bob.phone", "dave")
        }
        ("cancel", "the meeting goes on, also where nothing was to be cancelled") => {
            world.request("alice.phone", about("cancel"))
        }
        ("cancel", "the call is over by it") => world.request("alice.laptop", about("cancel")),
        ("cancel", "its create has not come yet") => {
            world = World::new();
            world.cancel_early("alice.phone")
        }
        ("join", "the sender is in, on whatever device") => world.request("bob.laptop", Request::Join),
        ("join", "the sender has left, and was not taken out") => {
            world.request("bob.phone", Request::Leave);
            world.request("bob.laptop", Request::Join)
        }
        ("join", "the sender has left, and there is no room") => {
            world.request("bob.phone", Request::Leave);
            world.rules.members_max = 2;
            world.request("bob.phone", Request::Join)
        }
        ("leave", "the sender is in on this device") => world.request("bob.phone", Request::Leave),
        ("leave", "the sender is in on another device, which stays in") => world.request("bob.laptop", Request::Leave),
        ("leave", "the sender has left before") => {
            world.request("bob.phone", Request::Leave);
            world.request("bob.phone", Request::Leave)
        }
        (kind, "the own track") => world.request("bob.laptop", about(kind)),
        (kind, "of another, and the sender is not host") => world.request("bob.phone", of_user(kind, "carol")),
        (kind, "that user is not in") => world.request("alice.phone", of_user(kind, "mallory")),
        (kind, "that user is in, and the meeting goes on") => world.request("alice.laptop", of_user(kind, "carol")),
        ("block", "too many are blocked or banned") => {
            for n in 0..Rules::BLOCKED_MAX {
                let user = format!("guest{n}");
                world.invite("alice.phone", &user);
                world.accept(&format!("{user}.phone"));
                world.request("alice.phone", of_user("block", &user));
                world.request(&format!("{user}.phone"), Request::Leave);
            }
            world.request("alice.phone", of_user("block", "bob"))
        }
        ("kick", "too many are blocked or banned") => {
            let ban = |user: &str| Request::Kick { user: user.into(), ban_s: 60 };
            for n in 0..Rules::BANS_MAX {
                let user = format!("guest{n}");
                world.invite("alice.phone", &user);
                world.request("alice.phone", ban(&user));
            }
            world.request("alice.phone", ban("bob"))
        }
        ("kick", "a call of two is over by it") => {
            world.accept("bob.phone");
            world.request("alice.laptop", of_user("kick", "bob"))
        }
        ("destroy", "by the host, on whatever device") => world.request("alice.laptop", Request::Destroy),
        ("roster", "the sender is in") => world.request("bob.laptop", Request::Roster),
        (kind, "there is no such meeting, or the sender has nothing to do with it") => {
            world.request("mallory.phone", about(kind))
        }
        (kind, "the sender was in it, or was rung, and it is over") => {
            world.request("alice.phone", Request::Destroy);
            world.request("bob.laptop", about(kind))
        }
        ("join" | "leave", "the sender is not in it (any more), and it goes on") => {
            world.request("alice.phone", of_user("kick", "bob"));
            world.request("bob.phone", about(kind))
        }
        (kind, "the sender is not in it (any more), and it goes on") => {
            world.request("bob.phone", Request::Leave);
            world.request("bob.phone", about(kind))
        }
        _ => return None,
    };
    Some((world, sends))
}

fn fits(answer: Answer, body: &DownBody) -> bool {
    match (answer, body) {
        (Answer::Ended(due), DownBody::Ended { reason, user: None, .. }) => due == *reason,
        (Answer::EndedAsDecided, DownBody::Ended { reason, user: None, .. }) => {
            matches!(reason, EndReason::AnsweredElsewhere | EndReason::Destroyed)
        }
        (Answer::Refused(due), DownBody::Refused { code, .. }) => due == *code,
        (Answer::Admitted, DownBody::Admitted { .. })
        | (Answer::Ringing, DownBody::Ringing { .. })
        | (Answer::Roster, DownBody::Roster(_))
        | (Answer::WhatChanged, DownBody::Roster(_) | DownBody::RosterChanged(_)) => true,
        _ => false,
    }
}

/// Rows that the machine does not decide; the service's tests play them.
fn is_of_service(kind: &str, when: &str) -> bool {
    let by_catalog =
        when.contains("in another call") || when.contains("does not exist") || when.contains("was a glare");
    matches!(kind, "state" | "contacts" | "history" | "seen") || by_catalog
}

#[test]
fn each_row_is_what_the_machine_does() {
    let mut played = BTreeSet::new();
    for row in &ANSWERS {
        let kinds = match row.request {
            RequestKind::Of(kinds) => kinds,
            RequestKind::AboutMeeting if row.when.contains("expires_at_ms") => continue,
            RequestKind::AboutMeeting => &ABOUT,
            RequestKind::Any => continue,
        };
        for kind in kinds {
            let Some((world, sends)) = play(kind, row.when) else {
                assert!(is_of_service(kind, row.when), "nobody plays {kind}: {}", row.when);
                continue;
            };
            let answers = answers_to(world.last_request(), &sends);
            assert_eq!(answers.len(), 1, "{kind}, {}", row.when);
            assert!(fits(row.answer, &answers[0].body), "{kind}, {}: {:?}", row.when, answers[0].body);
            played.insert(*kind);
        }
    }
    assert!(ABOUT.iter().chain(&["create", "ringing", "accept", "reject"]).all(|kind| played.contains(kind)));
}

#[test]
fn a_refusal_says_nothing_of_the_meeting_to_a_stranger() {
    let (_, sends) = play("roster", "there is no such meeting, or the sender has nothing to do with it").unwrap();
    assert_eq!(sends.len(), 1);
    assert_eq!(sends[0].rev, None, "a meeting that does not exist has no revision");
}
