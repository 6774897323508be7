//! A meeting on virtual time to which anything happens, and what must hold all the same.

use super::followers::Followers;
use super::world::{World, words};
use meeting::machine::{Event, InvitationState, MediaChange, OutgoingSignal, ParentTopic, Request};
use signalling::{ClientId, DownBody, EndReason, InvitationId, MeetingId, RejectReason, SignalId, Track};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const CLIENTS: [&str; 6] =
    ["alice.phone", "alice.laptop", "bob.phone", "bob.laptop", "carol.phone", "mallory.phone"];
pub(crate) const USERS: [&str; 4] = ["alice", "bob", "carol", "mallory"];

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Ask { client: usize, what: u8, user: usize, ring: usize },
    Media { who: usize, change: u8 },
    Comes(usize),
    Goes(usize),
    SaysGoodbye(usize),
    Pass(u64),
    Restart,
    Busy(usize),
}

/// One act from each four bytes.
pub(crate) fn acts_of(bytes: &[u8]) -> Vec<Act> {
    let pick = |byte: u8, count: usize| usize::from(byte) % count;
    let acts = bytes.as_chunks::<4>().0.iter().map(|&[kind, a, b, c]| match kind % 16 {
        0..8 => Act::Ask { client: pick(a, 6), what: b % 18, user: pick(c, 4), ring: pick(c / 4, 8) },
        8 | 9 => Act::Media { who: pick(a, 12), change: b % 6 },
        10 => Act::Comes(pick(a, 6)),
        11 => Act::Goes(pick(a, 6)),
        12 => Act::SaysGoodbye(pick(a, 6)),
        13 => Act::Pass(u64::from(a % 50)),
        14 => Act::Restart,
        _ => Act::Busy(pick(a, 4)),
    });
    acts.take(200).collect()
}

/// What must hold at all times, learnt from the messages alone.
#[derive(Default)]
struct Checker {
    invitations: BTreeMap<(ClientId, InvitationId), u32>,
    ended: BTreeSet<(ClientId, InvitationId)>,
    finals: BTreeMap<InvitationId, InvitationState>,
    destroyed: bool,
    rev: u64,
    followers: Followers,
}

impl Checker {
    fn check(&mut self, world: &World, sends: &[OutgoingSignal]) {
        for send in sends {
            self.check_send(send);
        }
        let Some(meeting) = &world.meeting else { return };
        assert!(meeting.rev >= self.rev, "rev never falls");
        self.rev = meeting.rev;
        for ring in meeting.invitations.iter().filter(|ring| !ring.state.is_open()) {
            let first = self.finals.entry(ring.id).or_insert_with(|| ring.state.clone());
            assert_eq!(*first, ring.state, "a final state is final");
            for device in &ring.devices {
                self.check_end_was_told(&ring.state, &device.client, ring.id);
            }
        }
        self.followers.take(meeting);
        let users: BTreeSet<_> = meeting.members.iter().map(|member| &member.user).collect();
        assert_eq!(users.len(), meeting.members.len(), "one member a user");
        assert!(meeting.is_over() || !meeting.members.is_empty(), "a meeting with nobody in it is over");
        let hosted = meeting.members.iter().any(|member| member.user == meeting.host);
        assert!(meeting.is_over() || hosted, "the host is in");
        let back = meeting.former.iter().any(|former| users.contains(&former.user));
        assert!(!back, "who is in has not left");
        assert!(!meeting.is_over() || meeting.pending().next().is_none(), "an ended meeting rings nobody");
        self.destroyed |= meeting.end.as_ref().is_some_and(|end| end.reason == EndReason::Destroyed);
    }

    fn check_send(&mut self, send: &OutgoingSignal) {
        if let DownBody::Invitation(ring) = &send.body {
            let count = self.invitations.entry((send.to.clone(), ring.invitation)).or_default();
            *count += 1;
            assert_eq!(*count, 1, "a device is rung once per invitation");
            assert!(!self.ended.contains(&(send.to.clone(), ring.invitation)), "no ring after its end");
        }
        if let (ParentTopic::Ring, DownBody::Ended { invitation: Some(invitation), .. }) = (send.parent, &send.body) {
            self.ended.insert((send.to.clone(), *invitation));
        }
        assert_eq!(send.parent == ParentTopic::Ring, send.collapse.is_some(), "all on ring-down collapses");
        let news = !matches!(send.body, DownBody::Refused { .. } | DownBody::Ended { .. });
        assert!(!(self.destroyed && news), "after destroy there are only answers: {}", words(send));
    }

    fn check_end_was_told(&self, state: &InvitationState, client: &ClientId, ring: InvitationId) {
        if state.end_for(client).is_some() && self.invitations.contains_key(&(client.clone(), ring)) {
            assert!(self.ended.contains(&(client.clone(), ring)), "{client} was rung and never told the end");
        }
    }
}

fn request(world: &World, what: u8, user: usize, ring: usize) -> Request {
    let user = USERS[user];
    let rings = world.meeting.as_ref().map_or(&[][..], |meeting| &meeting.invitations);
    let invitation = rings.get(ring % rings.len().max(1)).map_or(InvitationId(uuid::Uuid::nil()), |ring| ring.id);
    match what {
        0 => Request::Invite { callees: vec![world.callee(user)] },
        1 | 2 => Request::Ringing { invitation },
        3 | 4 => Request::Accept { invitation },
        5 => Request::Reject { invitation, reason: RejectReason::Declined },
        6 => Request::Cancel { callee: Some(user.into()) },
        7 => Request::Cancel { callee: None },
        8 => Request::Join,
        9 => Request::Leave,
        10 => Request::Mute { user: Some(user.into()), track: Track::Audio },
        11 => Request::Unmute { track: Track::Audio },
        12 => Request::Block { user: user.into(), track: Track::Video, blocked: ring.is_multiple_of(2) },
        13 => Request::Kick { user: user.into(), ban_s: 30 },
        14 if ring == 0 => Request::Destroy,
        15 => Request::State,
        16 => Request::GlareCreate { create: MeetingId(uuid::Uuid::nil()), invitation },
        _ => Request::Roster,
    }
}

fn perform(world: &mut World, act: &Act) {
    match act {
        Act::Ask { client, what, user, ring } => {
            let request = request(world, *what, *user, *ring);
            let due = usize::from(request != Request::State);
            let words = format!("{request:?} from {}", CLIENTS[*client]);
            let sends = world.request(CLIENTS[*client], request);
            let answers = answers_to(world.last_request(), &sends);
            let said: Vec<String> =
                answers.iter().map(|answer| format!("{} gets {}", answer.to, super::world::words(answer))).collect();
            assert_eq!(answers.len(), due, "{words} is answered once: {said:?}");
            assert!(answers.iter().all(|answer| answer.to == CLIENTS[*client].into()), "{words}: {said:?}");
        }
        Act::Media { who, change } => media(world, *who, *change),
        Act::Comes(client) => world.comes(CLIENTS[*client]),
        Act::Goes(client) => world.goes(CLIENTS[*client]),
        Act::SaysGoodbye(client) => world.says_goodbye(CLIENTS[*client]),
        Act::Pass(seconds) => world.pass(*seconds),
        Act::Restart => {
            let (connected, online) = (BTreeSet::new(), world.online());
            world.event(Event::Restarted { connected, online });
        }
        Act::Busy(user) => {
            let user = USERS[*user].to_owned();
            if !world.busy.remove(&user) {
                world.busy.insert(user);
            }
        }
    }
}

/// What answers this request among all that was sent; nothing else names a request.
pub(crate) fn answers_to(request: SignalId, sends: &[OutgoingSignal]) -> Vec<&OutgoingSignal> {
    assert!(sends.iter().all(|send| send.in_reply_to.is_none_or(|id| id == request)), "{sends:?}");
    sends.iter().filter(|send| send.in_reply_to.is_some()).collect()
}

fn media(world: &mut World, who: usize, change: u8) {
    let meeting = world.document();
    let devices = meeting.invitations.iter().flat_map(|ring| &ring.devices).map(|device| device.participation);
    let known: Vec<_> = meeting.members.iter().map(|member| member.participation).chain(devices).collect();
    let changes = [
        MediaChange::Joined,
        MediaChange::Lost,
        MediaChange::Back,
        MediaChange::Left,
        MediaChange::Closed,
        MediaChange::Replaced,
    ];
    if let Some(participation) = known.get(who % known.len().max(1)) {
        world.event(Event::Media { participation: *participation, change: changes[usize::from(change)] });
    }
}

/// All that clients got since the last look.
fn drain(world: &mut World) -> Vec<OutgoingSignal> {
    std::mem::take(&mut world.inboxes).into_values().flatten().collect()
}

pub(crate) fn play(acts: &[Act]) {
    let (mut world, mut checker) = (World::new(), Checker::default());
    world.devices.insert("alice".to_owned(), vec!["alice.phone", "alice.laptop"]);
    world.create("alice.phone", &["bob"]);
    for act in acts {
        perform(&mut world, act);
        let sends = drain(&mut world);
        checker.check(&world, &sends);
    }
    world.offline = CLIENTS.map(ClientId::from).into();
    let (connected, online) = (BTreeSet::new(), BTreeSet::new());
    world.event(Event::Restarted { connected, online });
    world.pass(200);
    let sends = drain(&mut world);
    checker.check(&world, &sends);
    assert!(world.document().is_over(), "a meeting that everybody left without a word ends");
    assert!(world.document().engagements().is_empty());
    missed_once(&world);
}

/// One missed entry for each ring that ended without the callee's doing, none for the others.
fn missed_once(world: &World) {
    let mut missed: BTreeMap<InvitationId, u32> = BTreeMap::new();
    for (user, outcome) in &world.missed {
        assert_ne!(*user, outcome.from.0);
        *missed.entry(outcome.invitation).or_default() += 1;
    }
    for ring in &world.document().invitations {
        let due = matches!(ring.state, InvitationState::Ended { .. } | InvitationState::Busy);
        assert_eq!(missed.get(&ring.id).copied().unwrap_or(0), u32::from(due), "{:?}", ring.state);
    }
}
