//! Scripts on virtual time: what comes in, and what is done about it, in order.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod crashes;

use super::*;
use crate::store::RingPhase;
use signalling::signal::VERSION;
use signalling::{
    EndReason, JoinParameters, Media, Member, MemberState, Muted, Outcome, OutcomeKind, ParticipationId, Profile,
    RejectReason, Ring, Roster, StandingCall,
};
use std::collections::BTreeMap;
use uuid::Uuid;

const INVITATION: InvitationId = InvitationId(Uuid::from_u128(0x1a));
const MEETING: MeetingId = MeetingId(Uuid::from_u128(0x3e));
const MINE: ParticipationId = ParticipationId(Uuid::from_u128(0x71));
const START: u64 = 1_000_000;
/// The service's clock is this much ahead.
const AHEAD: u64 = 7_000;

/// A terminal whose shell carries out stores and keeps everything else for the test to look at.
struct Device {
    core: Core,
    now_ms: u64,
    ids: u128,
    /// What the ring store holds.
    disk: BTreeMap<InvitationId, RingEntry>,
    effects: Vec<Effect>,
    deliveries: u64,
    wall_ahead_ms: u64,
    /// On signals to come; as usual if `None`.
    rev: Option<u64>,
    expires_at_ms: Option<u64>,
}

impl Device {
    fn new() -> Self {
        Self::with_disk(BTreeMap::new())
    }

    fn with_disk(disk: BTreeMap<InvitationId, RingEntry>) -> Self {
        let core = Core::new(disk.values().copied(), true);
        Self {
            core,
            now_ms: START,
            ids: 0x1000,
            disk,
            effects: Vec::new(),
            deliveries: 0,
            wall_ahead_ms: 0,
            rev: None,
            expires_at_ms: None,
        }
    }

    /// SIGKILL: only the disk is left.
    fn killed(self) -> Self {
        Self { ids: self.ids + 0x1000, now_ms: self.now_ms + 500, ..Self::with_disk(self.disk) }
    }

    fn handle_input(&mut self, input: Input) -> &mut Self {
        self.let_core(|core, now| core.handle_input(input, now))
    }

    fn handle_timeout(&mut self) -> &mut Self {
        self.let_core(Core::handle_timeout)
    }

    /// Lets the core handle something now; stores are carried out.
    fn let_core(&mut self, handle: impl FnOnce(&mut Core, &mut Moment<'_>)) -> &mut Self {
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            Uuid::from_u128(*ids)
        };
        let wall_ms = self.now_ms + self.wall_ahead_ms;
        handle(&mut self.core, &mut Moment { wall_ms, mono_ms: self.now_ms, new_id: &mut new_id });
        let effects: Vec<_> = std::iter::from_fn(|| self.core.poll_effect()).collect();
        let stores = effects.iter().filter_map(|e| if let Effect::Store(entry) = e { Some(*entry) } else { None });
        self.disk.extend(stores.map(|entry| (entry.invitation, entry)));
        self.effects = effects;
        self
    }

    fn connect(&mut self) -> &mut Self {
        self.handle_input(Input::Connected { session_present: true, endpoint: "mqtts://x".into(), tls: None })
    }

    fn disconnect(&mut self) -> &mut Self {
        self.handle_input(Input::Disconnected { reason: "gone".into(), retry_ms: 0 })
    }

    fn signal(&mut self, body: DownBody) -> &mut Self {
        self.receive(body, false, None)
    }

    /// What comes again was sent a while ago.
    fn receive(&mut self, body: DownBody, dup: bool, in_reply_to: Option<SignalId>) -> &mut Self {
        let sent_at_ms = self.service_ms() - if dup { 1_000 } else { 0 };
        self.receive_sent_at(sent_at_ms, body, dup, in_reply_to)
    }

    fn receive_sent_at(
        &mut self,
        sent_at_ms: u64,
        body: DownBody,
        dup: bool,
        in_reply_to: Option<SignalId>,
    ) -> &mut Self {
        self.deliveries += 1;
        let envelope = Envelope {
            v: VERSION,
            id: SignalId(Uuid::from_u128(u128::from(self.deliveries))),
            meeting: Some(MEETING),
            sent_at_ms,
            expires_at_ms: self.expires_at_ms.unwrap_or(self.service_ms() + 45_000),
            in_reply_to,
            rev: self.rev,
        };
        let delivery = Some(Delivery(self.deliveries));
        self.handle_input(Input::Signal(Box::new(ReceivedSignal { down: Down { envelope, body }, dup, delivery })))
    }

    fn service_ms(&self) -> u64 {
        self.now_ms + AHEAD
    }

    /// The service answers the last state request.
    fn state(&mut self, rings: Vec<Ring>, call: Option<StandingCall>, outcomes: Vec<Outcome>) -> &mut Self {
        let asked = self.core.state_request.as_ref().unwrap().request;
        let now_ms = self.service_ms();
        let state = State {
            now_ms,
            user: "bob".into(),
            name: "Bob".into(),
            rings,
            rings_left_out: false,
            call,
            joinable: vec![],
            outcomes,
        };
        self.now_ms += 1;
        self.receive(DownBody::State(Box::new(state)), false, Some(asked))
    }

    /// Connects and learns that nothing stands.
    fn synchronised(&mut self) -> &mut Self {
        self.connect().state(vec![], None, vec![])
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now_ms += ms;
        self.handle_timeout()
    }

    fn wait_until(&mut self, now_ms: u64) -> &mut Self {
        self.wait(now_ms - self.now_ms)
    }

    fn command(&mut self, command: Command) -> &mut Self {
        self.handle_input(Input::Command(command))
    }

    /// Short words for the last effects, in order; `state` and `synchronised` events are left out.
    fn did(&self) -> Vec<String> {
        self.effects.iter().filter_map(word).collect()
    }

    fn asked(&self, kind: &str) -> SignalId {
        let published = self.effects.iter().find_map(|e| match e {
            Effect::Publish(up) if up.body.kind() == kind => Some(up.envelope.id),
            _ => None,
        });
        published.unwrap()
    }
}

fn word(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Store(entry) => format!("store {:?} {}", entry.phase, entry.rev),
        Effect::Acknowledge(_) => "puback".into(),
        Effect::Publish(up) => format!("publish {}", up.body.kind()),
        Effect::JoinMedia(join) if join.waiting => "warm".into(),
        Effect::JoinMedia(join) => format!("join muted {}{}", join.muted.audio as u8, join.muted.video as u8),
        Effect::AdmitMedia(_) => "admit".into(),
        Effect::MuteMedia(_, track, muted) => format!("mute {track:?} {muted}"),
        Effect::NameSenders(..) => "names".into(),
        Effect::CloseMedia(_) => "close".into(),
        Effect::Notify(Event::State(_) | Event::Synchronised {}) => return None,
        Effect::Notify(Event::Ring(ring)) => format!("RING{}", if ring.resumed { " resumed" } else { "" }),
        Effect::Notify(event) => {
            let json = serde_json::to_value(event).unwrap();
            let reason = json["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
            format!("{}{reason}", json["event"].as_str().unwrap().to_uppercase())
        }
    })
}

fn join() -> JoinParameters {
    JoinParameters {
        endpoints: vec!["http://x".into()],
        app: "convoke".into(),
        channel: MEETING.into(),
        user: "bob".into(),
        participation: MINE,
        token: "t".into(),
        profile: Profile::Meeting,
        turn: vec![],
    }
}

fn roster(rev: u64) -> Roster {
    let alice = Member {
        user: "alice".into(),
        name: "Alice".into(),
        participation: Some(ParticipationId(Uuid::from_u128(0x70))),
        state: MemberState::In,
        muted: Muted::default(),
        blocked: Muted::default(),
    };
    Roster { rev, host: Some("alice".into()), members: vec![alice] }
}

fn ring(rev: u64) -> Ring {
    Ring {
        invitation: INVITATION,
        rev,
        meeting: MEETING,
        from: "alice".into(),
        from_name: "Alice".into(),
        media: Media::Video,
        title: None,
        ring_until_ms: START + AHEAD + 45_000,
        join: join(),
        ringing: true,
        members: 1,
        names: vec!["Alice".into()],
    }
}

fn invitation(rev: u64) -> DownBody {
    DownBody::Invitation(Box::new(ring(rev)))
}

fn outcome(rev: u64) -> Outcome {
    Outcome {
        invitation: INVITATION,
        meeting: MEETING,
        rev,
        from: "alice".into(),
        from_name: "Alice".into(),
        media: Media::Video,
        kind: OutcomeKind::Missed,
        at_ms: START,
    }
}

fn ended(rev: u64, reason: EndReason, outcome: Option<Outcome>) -> DownBody {
    DownBody::Ended { invitation: Some(INVITATION), user: None, rev, reason, by: None, outcome }
}

fn meeting_ended(reason: EndReason) -> DownBody {
    DownBody::Ended { invitation: None, user: None, rev: 9, reason, by: None, outcome: None }
}

fn admitted() -> DownBody {
    DownBody::Admitted { join: join(), roster: roster(4) }
}

fn standing() -> Option<StandingCall> {
    Some(StandingCall { meeting: MEETING, media: Media::Video, here: true, join: Some(join()), roster: roster(4) })
}

fn request(body: UpBody) -> Command {
    Command::Request { meeting: Some(MEETING), body }
}

const ACCEPT: Command = Command::Accept { invitation: INVITATION };

// Rings.

#[test]
fn an_invitation_is_stored_then_acknowledged_then_rings() {
    let mut bob = Device::new();
    bob.synchronised();
    assert_eq!(bob.signal(invitation(1)).did(), ["store Ring 1", "puback", "RING", "publish ringing", "warm"]);
}

#[test]
fn it_rings_before_any_state_answer_since_the_broker_keeps_no_dead_invitation() {
    let mut bob = Device::new();
    bob.connect();
    assert_eq!(bob.signal(invitation(1)).did()[2], "RING");
}

#[test]
fn the_same_or_an_older_invitation_is_acknowledged_and_nothing_else() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(3));
    for rev in [3, 2, 1] {
        assert_eq!(bob.signal(invitation(rev)).did(), ["puback"], "rev {rev}");
    }
}

#[test]
fn a_newer_copy_of_a_ring_is_the_same_ring() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    assert_eq!(bob.signal(invitation(2)).did(), ["store Ring 2", "puback"]);
}

#[test]
fn an_invitation_past_its_time_is_asked_about_and_does_not_ring_by_itself() {
    let mut bob = Device::new();
    bob.synchronised();
    bob.now_ms = START + 45_001;
    assert_eq!(bob.signal(invitation(1)).did(), ["store Held 1", "puback", "publish state"]);
    bob.now_ms += 1;
    assert_eq!(bob.state(vec![], None, vec![outcome(2)]).did(), ["puback", "store Missed 2", "MISSED"]);
}

#[test]
fn time_is_the_services_not_this_machines() {
    for (late_ms, expected) in [(44_000, "RING"), (45_100, "publish state")] {
        let mut bob = Device::new();
        bob.synchronised();
        bob.now_ms = START + late_ms;
        assert_eq!(bob.signal(invitation(1)).did()[2], expected);
    }
}

#[test]
fn a_repeated_invitation_is_stored_as_held_and_acknowledged_and_the_state_answer_decides_also_after_a_kill() {
    let table: [(Vec<Ring>, Vec<Outcome>, &[&str]); 3] = [
        (vec![ring(1)], vec![], &["puback", "store Ring 1", "RING", "publish ringing", "warm"]),
        (vec![], vec![outcome(2)], &["puback", "store Missed 2", "MISSED"]),
        (vec![], vec![], &["puback", "store Done 1"]),
    ];
    for (rings, outcomes, expected) in table {
        let mut bob = Device::new();
        bob.connect();
        assert_eq!(bob.receive(invitation(1), true, None).did(), ["store Held 1", "puback"]);
        bob.now_ms += 10;
        let mut killed = Device::with_disk(bob.disk.clone());
        killed.now_ms = bob.now_ms;
        for mut bob in [bob, killed] {
            if bob.core.state_request.is_none() {
                bob.connect();
            } else {
                assert_eq!(bob.state(vec![], None, vec![]).did(), ["puback", "publish state"], "asked before it came");
            }
            assert_eq!(bob.state(rings.clone(), None, outcomes.clone()).did(), expected);
        }
    }
}

#[test]
fn a_newer_copy_of_what_is_held_that_was_never_delivered_rings() {
    let mut bob = Device::new();
    bob.connect().receive(invitation(1), true, None);
    assert_eq!(bob.signal(invitation(1)).did(), ["puback"], "the same");
    assert_eq!(bob.receive(invitation(2), true, None).did(), ["store Held 2", "puback"]);
    assert_eq!(bob.signal(invitation(3)).did()[..3], ["store Ring 3", "puback", "RING"]);
}

#[test]
fn a_repeat_that_is_newer_than_the_answer_waits_for_another_answer() {
    let mut bob = Device::new();
    bob.connect();
    let asked = bob.core.state_request.as_ref().unwrap().request;
    let now_ms = bob.service_ms() - 100;
    bob.receive_sent_at(now_ms, invitation(1), true, None);
    let state = State {
        now_ms,
        user: "bob".into(),
        name: "Bob".into(),
        rings: vec![],
        rings_left_out: false,
        call: None,
        joinable: vec![],
        outcomes: vec![],
    };
    bob.receive(DownBody::State(Box::new(state)), false, Some(asked));
    assert_eq!(bob.did(), ["puback", "publish state"]);
    bob.now_ms += 200;
    assert_eq!(bob.state(vec![ring(1)], None, vec![]).did()[2], "RING");
}

#[test]
fn a_state_answer_may_miss_what_was_sent_between_its_question_and_itself() {
    let mut bob = Device::new();
    bob.connect();
    bob.now_ms += 50;
    bob.receive_sent_at(bob.service_ms() - 20, invitation(1), true, None);
    bob.now_ms += 50;
    assert_eq!(bob.state(vec![], None, vec![]).did(), ["puback", "publish state"]);
    bob.now_ms += 50;
    assert_eq!(bob.state(vec![ring(1)], None, vec![]).did()[2], "RING");
}

#[test]
fn a_state_answer_says_nothing_about_an_invitation_that_was_sent_after_it() {
    let mut bob = Device::new();
    bob.connect();
    let asked = bob.core.state_request.as_ref().unwrap().request;
    let now_ms = bob.service_ms();
    bob.now_ms += 5;
    bob.signal(invitation(1));
    let state = State {
        now_ms,
        user: "bob".into(),
        name: "Bob".into(),
        rings: vec![],
        rings_left_out: false,
        call: None,
        joinable: vec![],
        outcomes: vec![],
    };
    assert_eq!(bob.receive(DownBody::State(Box::new(state)), false, Some(asked)).did(), ["puback"]);
    assert_eq!(bob.disk[&INVITATION].phase, RingPhase::Ring);
}

#[test]
fn after_a_kill_a_standing_ring_goes_on_as_the_same_ring() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    let mut bob = bob.killed();
    bob.connect();
    assert_eq!(bob.receive(invitation(1), true, None).did(), ["puback"], "it was stored, so the repeat is known");
    assert_eq!(bob.state(vec![ring(2)], None, vec![]).did()[2], "RING resumed");
}

/// As the state shows it while the service has heard of no ringing.
fn unheard() -> Ring {
    Ring { ringing: false, ..ring(2) }
}

#[test]
fn a_ring_of_which_the_service_has_not_heard_says_so_again() {
    let mut bob = Device::new();
    bob.connect().signal(invitation(1));
    assert_eq!(bob.state(vec![unheard()], None, vec![]).did(), ["puback", "publish ringing"]);
    assert_eq!(bob.connect().state(vec![ring(3)], None, vec![]).did(), ["puback"]);
    bob.command(ACCEPT);
    assert_eq!(bob.connect().state(vec![unheard()], None, vec![]).did(), ["puback"], "the answer says more");
}

#[test]
fn after_a_kill_a_ring_that_ended_is_missed_once_or_ends_in_silence() {
    for (outcomes, expected) in [(vec![outcome(5)], "MISSED"), (vec![], "RING_ENDED")] {
        let mut bob = Device::new();
        bob.synchronised().signal(invitation(1));
        let mut bob = bob.killed();
        bob.connect().state(vec![], None, outcomes.clone());
        assert_eq!(bob.did().last().unwrap(), expected);
        let mut bob = bob.killed();
        bob.connect().state(vec![], None, outcomes);
        assert_eq!(bob.did(), ["puback"], "told once");
    }
}

#[test]
fn a_kill_between_any_two_effects_never_makes_two_rings_or_two_missed_calls() {
    for cut in 0..5 {
        let mut bob = Device::new();
        bob.synchronised();
        let before = bob.disk.clone();
        bob.signal(invitation(1));
        let rang_before = cut > 2;
        let stored = cut > 0;
        let acknowledged = cut > 1;
        if !stored {
            bob.disk = before;
        }
        let mut bob = bob.killed();
        bob.connect();
        let mut rings = usize::from(rang_before);
        let mut resumed = 0;
        if !acknowledged {
            bob.receive(invitation(1), true, None);
        }
        bob.now_ms += 1;
        bob.state(vec![ring(1)], None, vec![]);
        rings += bob.did().iter().filter(|did| *did == "RING").count();
        resumed += bob.did().iter().filter(|did| *did == "RING resumed").count();
        assert_eq!((rings + resumed).min(1), 1, "cut {cut}: it rings");
        assert!(rings <= 1, "cut {cut}: a ring that was heard goes on as the same one");
    }
}

#[test]
fn the_end_of_a_ring_is_stored_before_its_puback_and_silences_it() {
    let table = [
        (EndReason::AnsweredElsewhere, None, vec!["store Done 3", "puback", "RING_ENDED answered_elsewhere"]),
        (EndReason::Cancelled, Some(outcome(3)), vec!["store Missed 3", "puback", "MISSED"]),
    ];
    for (reason, outcome, expected) in table {
        let mut bob = Device::new();
        bob.synchronised().signal(invitation(1));
        let did = bob.signal(ended(3, reason, outcome)).did();
        assert_eq!(did[0], "close", "the warm path");
        assert_eq!(did[1..], expected);
        assert_eq!(bob.core.ringing(), None);
    }
}

#[test]
fn an_end_without_its_ring_is_one_missed_call() {
    let mut bob = Device::new();
    bob.synchronised();
    let end = || ended(3, EndReason::NoAnswer, Some(outcome(3)));
    assert_eq!(bob.signal(end()).did(), ["store Missed 3", "puback", "MISSED"]);
    assert_eq!(bob.receive(end(), true, None).did(), ["puback"]);
    assert_eq!(bob.signal(invitation(1)).did(), ["puback"], "its ring came late and is older");
}

#[test]
fn an_older_end_changes_nothing() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(4));
    assert_eq!(bob.signal(ended(4, EndReason::Cancelled, None)).did(), ["puback"]);
    assert_eq!(bob.core.ringing(), Some(INVITATION));
}

#[test]
fn an_end_that_overtakes_the_held_invitation_decides() {
    let mut bob = Device::new();
    bob.connect().receive(invitation(1), true, None);
    let did = bob.receive(ended(2, EndReason::Cancelled, Some(outcome(2))), true, None).did();
    assert_eq!(did, ["store Missed 2", "puback", "MISSED"]);
    assert_eq!(bob.state(vec![], None, vec![outcome(2)]).did(), ["puback"]);
}

#[test]
fn a_ring_whose_end_was_never_heard_stops_ten_seconds_past_its_deadline() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    bob.disconnect();
    bob.wait_until(START + 45_001);
    assert!(bob.wait(9_999).did().is_empty());
    assert_eq!(bob.wait(1).did(), ["close", "store Missed 1", "MISSED"]);
    assert_eq!(bob.connect().state(vec![], None, vec![outcome(6)]).did(), ["puback", "store Missed 6"], "told once");
}

#[test]
fn a_ring_past_its_deadline_is_asked_about_and_goes_on_as_long_as_it_stands() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    assert_eq!(bob.wait_until(START + 45_001).did(), ["publish state"]);
    for _ in 0..2 {
        assert_eq!(bob.state(vec![ring(2)], None, vec![]).did(), ["puback"]);
        assert!(bob.wait(9_999).did().is_empty());
        assert_eq!(bob.wait(1).did(), ["publish state"]);
    }
    assert_eq!(bob.state(vec![], None, vec![outcome(3)]).did(), ["puback", "close", "store Missed 3", "MISSED"]);
}

#[test]
fn a_ring_that_was_answered_waits_for_the_services_word_however_long_it_is_away() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    bob.command(ACCEPT).disconnect();
    assert!(bob.wait(120_000).did().is_empty());
    let did = bob.connect().state(vec![], standing(), vec![]).did();
    assert_eq!(did, ["puback", "store Done 1", "ADMITTED", "admit", "names"]);
}

#[test]
fn an_answer_that_the_broker_refused_may_be_given_again() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    let accept = bob.command(ACCEPT).asked("accept");
    assert_eq!(bob.core.ringing(), None);
    bob.handle_input(Input::NotSent(accept));
    assert_eq!(bob.core.ringing(), Some(INVITATION));
}

#[test]
fn seen_on_another_device_is_seen_here() {
    let mut bob = Device::new();
    bob.synchronised().signal(ended(3, EndReason::NoAnswer, Some(outcome(3))));
    let seen = DownBody::Seen { invitation: INVITATION, rev: 4 };
    assert_eq!(bob.signal(seen.clone()).did(), ["store Done 4", "puback", "SEEN"]);
    assert_eq!(bob.signal(seen).did(), ["puback"]);
    bob.disconnect();
    assert_eq!(bob.connect().state(vec![], None, vec![outcome(3)]).did(), ["puback"], "an older word");
}

// Answers.

#[test]
fn connected_is_shown_only_after_admitted_and_on_the_warm_path() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    assert_eq!(bob.command(ACCEPT).did(), ["publish accept"]);
    let did = bob.signal(admitted()).did();
    assert_eq!(did, ["puback", "store Done 1", "ADMITTED", "admit", "names"]);
}

#[test]
fn a_warm_path_that_failed_costs_nothing_but_the_time_to_join() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    assert_eq!(bob.handle_input(Input::Media(MediaId(0), MediaInput::Over("x".into()))).did(), Vec::<String>::new());
    bob.command(ACCEPT);
    assert_eq!(bob.signal(admitted()).did()[2..], ["ADMITTED", "join muted 00", "names"]);
}

#[test]
fn an_accept_that_lost_ends_the_ring() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    bob.command(ACCEPT);
    let did = bob.signal(ended(3, EndReason::AnsweredElsewhere, None)).did();
    assert_eq!(did, ["close", "store Done 3", "puback", "RING_ENDED answered_elsewhere"]);
}

#[test]
fn a_refused_accept_ends_the_ring() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    let accept = bob.command(ACCEPT).asked("accept");
    let refused = DownBody::Refused { code: RefusalCode::NotAllowed, words: "gone".into() };
    assert_eq!(
        bob.receive(refused, false, Some(accept)).did(),
        ["puback", "REFUSED", "close", "store Done 1", "RING_ENDED"]
    );
}

#[test]
fn a_reject_closes_the_warm_path_at_once() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    let reject = Command::Reject { invitation: INVITATION, reason: RejectReason::Declined };
    assert_eq!(bob.command(reject).did(), ["publish reject", "close"]);
    let did = bob.signal(ended(2, EndReason::Declined, None)).did();
    assert_eq!(did, ["store Done 2", "puback", "RING_ENDED declined"]);
}

#[test]
fn a_state_that_overtakes_the_answer_to_an_accept_does_not_end_the_ring() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    bob.command(ACCEPT).disconnect();
    assert_eq!(bob.connect().state(vec![], None, vec![]).did(), ["puback"]);
    assert_eq!(bob.signal(admitted()).did()[2], "ADMITTED");
}

#[test]
fn after_a_kill_in_mid_answer_the_state_admits() {
    let mut bob = Device::new();
    bob.synchronised().signal(invitation(1));
    bob.command(ACCEPT);
    let mut bob = bob.killed();
    let did = bob.connect().state(vec![], standing(), vec![]).did();
    assert_eq!(did, ["puback", "store Done 1", "RING_ENDED", "ADMITTED", "join muted 00", "names"]);
}

// Calls.

fn call(media: Media) -> Command {
    Command::Call { meeting: MEETING, callees: vec!["bob".into()], media, title: None }
}

/// In a call, with a media path that stands.
fn in_call() -> Device {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Video)).asked("create");
    alice.receive(admitted(), false, Some(create));
    alice.handle_input(Input::Media(MediaId(0), MediaInput::Joined { cipher: "GCM", after_ms: 5 }));
    alice
}

#[test]
fn a_caller_is_admitted_and_joins() {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Video)).asked("create");
    let did = alice.receive(admitted(), false, Some(create)).did();
    assert_eq!(did, ["puback", "ADMITTED", "join muted 00", "names"]);
}

#[test]
fn in_an_audio_call_video_is_off_on_both_sides_and_the_roster_is_to_say_so() {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Audio)).asked("create");
    let did = alice.receive(admitted(), false, Some(create)).did();
    assert_eq!(did, ["puback", "ADMITTED", "join muted 01", "names", "publish mute"]);
    let mut bob = Device::new();
    bob.synchronised().signal(DownBody::Invitation(Box::new(Ring { media: Media::Audio, ..ring(1) })));
    bob.command(ACCEPT);
    let did = bob.signal(admitted()).did();
    assert_eq!(did[2..], ["ADMITTED", "mute Video true", "admit", "names", "publish mute"]);
}

#[test]
fn a_terminal_that_was_killed_comes_back_as_muted_as_the_roster_says() {
    let mut call = standing().unwrap();
    call.roster.members[0].user = "bob".into();
    call.roster.members[0].muted = Muted { audio: true, video: false };
    let mut bob = Device::new();
    assert_eq!(bob.connect().state(vec![], Some(call), vec![]).did()[2], "join muted 10");
}

#[test]
fn a_create_whose_answer_was_lost_ends_by_the_state_that_does_not_know_it_and_is_taken_back() {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Video)).asked("create");
    alice.disconnect().connect();
    assert_eq!(alice.state(vec![], None, vec![]).did(), ["puback", "publish cancel", "ENDED failed"]);
    assert_eq!(alice.core.current_meeting(), None);
    let cancel = alice.asked("cancel");
    assert_eq!(alice.receive(meeting_ended(EndReason::CallerGone), false, Some(cancel)).did(), ["puback"], "told once");
    assert_ne!(create, cancel);
}

#[test]
fn a_create_whose_answer_was_lost_goes_on_if_the_state_knows_it() {
    let mut alice = Device::new();
    alice.synchronised().command(call(Media::Audio));
    let did = alice.disconnect().connect().state(vec![], standing(), vec![]).did();
    assert_eq!(did, ["puback", "ADMITTED", "join muted 01", "names", "publish mute"]);
    let rejoined = |e: &Effect| matches!(e, Effect::Notify(Event::Admitted { rejoined: true, .. }));
    assert!(!alice.effects.iter().any(rejoined));
}

#[test]
fn a_state_that_was_asked_for_before_the_create_says_nothing_about_it() {
    let mut alice = Device::new();
    alice.connect().command(call(Media::Video));
    assert_eq!(alice.state(vec![], None, vec![]).did(), ["puback"]);
    assert_eq!(alice.core.current_meeting(), Some(MEETING));
}

#[test]
fn a_create_that_became_an_accept_goes_on_as_the_other_call_though_its_answer_was_lost() {
    let mut alice = Device::new();
    let other = MeetingId(Uuid::from_u128(0x99));
    let create = Command::Call { meeting: other, callees: vec!["bob".into()], media: Media::Video, title: None };
    alice.synchronised().command(create).disconnect().connect();
    let did = alice.state(vec![], standing(), vec![]).did();
    assert_eq!(did, ["puback", "ADMITTED", "join muted 00", "names"], "nothing is taken back");
    assert_eq!(alice.core.current_meeting(), Some(MEETING));
}

#[test]
fn a_create_that_the_broker_refused_ends_the_call() {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Video)).asked("create");
    assert_eq!(alice.handle_input(Input::NotSent(create)).did(), ["ENDED failed"]);
    assert_eq!(alice.core.current_meeting(), None);
}

#[test]
fn leaving_whose_answer_was_lost_is_over_by_the_state_and_said_again_if_the_service_has_not_heard_it() {
    let mut alice = in_call();
    alice.command(request(UpBody::Leave {})).disconnect().connect();
    assert_eq!(alice.state(vec![], standing(), vec![]).did(), ["puback", "publish leave"]);
    alice.disconnect().connect();
    assert_eq!(alice.state(vec![], None, vec![]).did(), ["puback", "ENDED left"]);
    assert_eq!(alice.core.current_meeting(), None);
}

#[test]
fn a_refused_create_ends_the_call() {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Video)).asked("create");
    let refused = DownBody::Refused { code: RefusalCode::AlreadyInCall, words: "busy".into() };
    assert_eq!(alice.receive(refused, false, Some(create)).did(), ["puback", "REFUSED", "ENDED failed"]);
    assert_eq!(alice.core.current_meeting(), None);
}

#[test]
fn glare_ends_in_the_meeting_of_the_first_create() {
    let mut alice = Device::new();
    let other = MeetingId(Uuid::from_u128(0x99));
    let create = Command::Call { meeting: other, callees: vec!["bob".into()], media: Media::Audio, title: None };
    let create = alice.synchronised().command(create).asked("create");
    alice.signal(invitation(1));
    let did = alice.receive(admitted(), false, Some(create)).did();
    assert_eq!(did[..6], ["puback", "store Done 1", "ADMITTED", "mute Video true", "admit", "names"]);
    assert_eq!(alice.core.current_meeting(), Some(MEETING));
}

#[test]
fn a_lost_media_path_asks_for_fresh_parameters_for_ever_with_pauses() {
    let mut alice = in_call();
    for (media, pause) in (0..).zip([0, 500, 1000, 2000, 4000, 4000, 4000]) {
        let lost = Input::Media(MediaId(media), MediaInput::Over("gone".into()));
        let did = alice.handle_input(lost).did();
        assert_eq!(did[0], "MEDIA_LOST gone");
        if pause > 0 {
            assert_eq!(did.len(), 1);
            assert!(alice.wait(pause - 1).did().is_empty());
            alice.wait(1);
        }
        let join = alice.asked("join");
        assert_eq!(
            alice.receive(admitted(), false, Some(join)).did(),
            ["puback", "ADMITTED", "join muted 00", "names"]
        );
    }
}

#[test]
fn a_join_without_an_answer_is_asked_again() {
    let mut alice = in_call();
    alice.handle_input(Input::Media(MediaId(0), MediaInput::Over("gone".into())));
    assert_eq!(alice.wait(5_000).did(), ["publish join"]);
}

#[test]
fn after_a_server_restart_the_state_brings_fresh_parameters() {
    let mut alice = in_call();
    alice.disconnect();
    assert_eq!(
        alice.handle_input(Input::Media(MediaId(0), MediaInput::Over("gone".into()))).did(),
        ["MEDIA_LOST gone"]
    );
    let did = alice.connect().state(vec![], standing(), vec![]).did();
    assert_eq!(did, ["puback", "ADMITTED", "join muted 00", "names"]);
}

#[test]
fn a_quiet_media_path_is_doubted_by_asking_and_replaced_if_the_call_stands() {
    let mut alice = in_call();
    alice.disconnect().connect().state(vec![], standing(), vec![]);
    assert_eq!(alice.did(), ["puback"], "the path stands");
    assert_eq!(alice.handle_input(Input::Media(MediaId(0), MediaInput::Quiet)).did(), ["publish state"]);
    assert_eq!(
        alice.state(vec![], standing(), vec![]).did(),
        ["puback", "ADMITTED", "close", "join muted 00", "names"]
    );
}

#[test]
fn a_path_that_is_heard_again_stays() {
    let mut alice = in_call();
    alice.handle_input(Input::Media(MediaId(0), MediaInput::Quiet));
    alice.handle_input(Input::Media(MediaId(0), MediaInput::Resumed));
    assert_eq!(alice.state(vec![], standing(), vec![]).did(), ["puback"]);
}

#[test]
fn a_call_that_ended_while_away_is_over() {
    let mut alice = in_call();
    alice.now_ms += 10;
    assert_eq!(alice.disconnect().connect().state(vec![], None, vec![]).did(), ["puback", "close", "ENDED failed"]);
    assert_eq!(alice.core.current_meeting(), None);
}

#[test]
fn after_a_kill_a_standing_call_is_rejoined_by_itself() {
    let alice = in_call();
    let mut alice = alice.killed();
    let did = alice.connect().state(vec![], standing(), vec![]).did();
    assert_eq!(did, ["puback", "ADMITTED", "join muted 00", "names"]);
    let rejoined = |e: &Effect| matches!(e, Effect::Notify(Event::Admitted { rejoined: true, .. }));
    assert!(alice.effects.iter().any(rejoined));
}

#[test]
fn a_call_on_another_device_is_told_once() {
    let mut alice = Device::new();
    let elsewhere = || standing().map(|call| StandingCall { here: false, join: None, ..call });
    assert_eq!(alice.connect().state(vec![], elsewhere(), vec![]).did(), ["puback", "IN_CALL_ELSEWHERE"]);
    alice.disconnect();
    assert_eq!(alice.connect().state(vec![], elsewhere(), vec![]).did(), ["puback"]);
}

#[test]
fn leaving_closes_the_media_path_at_once_and_nothing_brings_it_back() {
    let mut alice = in_call();
    assert_eq!(alice.command(request(UpBody::Leave {})).did(), ["close", "publish leave"]);
    assert_eq!(alice.signal(admitted()).did(), ["puback"]);
    assert_eq!(alice.signal(meeting_ended(EndReason::Left)).did(), ["puback", "ENDED left", "publish state"]);
}

#[test]
fn an_own_end_for_all_is_told_as_one_though_the_answer_to_a_state_request_overtakes_it() {
    let mut alice = in_call();
    alice.command(request(UpBody::Destroy {}));
    alice.disconnect();
    assert_eq!(alice.connect().state(vec![], None, vec![]).did(), ["puback", "ENDED destroyed"]);
}

#[test]
fn an_end_for_all_that_was_refused_is_no_end_by_this_user() {
    let mut alice = in_call();
    alice.command(request(UpBody::Destroy {}));
    alice.disconnect();
    assert_eq!(alice.connect().state(vec![], standing(), vec![]).did(), ["puback", "publish leave"]);
    alice.disconnect();
    assert_eq!(alice.connect().state(vec![], None, vec![]).did(), ["puback", "ENDED left"]);
}

#[test]
fn a_destroyed_meeting_is_told_and_its_path_closed() {
    let mut alice = in_call();
    assert_eq!(
        alice.signal(meeting_ended(EndReason::Destroyed)).did(),
        ["puback", "close", "ENDED destroyed", "publish state"]
    );
}

#[test]
fn who_called_meanwhile_is_a_missed_call_after_the_call() {
    let mut alice = in_call();
    alice.signal(meeting_ended(EndReason::Left));
    let busy = Outcome { kind: OutcomeKind::MissedBusy, ..outcome(3) };
    assert_eq!(alice.state(vec![], None, vec![busy]).did(), ["puback", "store Missed 3", "MISSED"]);
}

#[test]
fn a_late_end_of_an_earlier_ring_does_not_end_the_call() {
    let mut alice = in_call();
    let did = alice.receive(ended(1, EndReason::Cancelled, None), true, None).did();
    assert_eq!(did, ["store Done 1", "puback"]);
    assert_eq!(alice.core.current_meeting(), Some(MEETING));
}

#[test]
fn one_callees_end_leaves_the_call() {
    let mut alice = in_call();
    let user = Some("carol".into());
    let end = DownBody::Ended { invitation: None, user, rev: 9, reason: EndReason::NoAnswer, by: None, outcome: None };
    assert_eq!(alice.signal(end).did(), ["puback", "ENDED no_answer"]);
    assert_eq!(alice.core.current_meeting(), Some(MEETING));
}

#[test]
fn muting_acts_here_at_once_and_outlives_a_rejoin() {
    let mut alice = in_call();
    let mute = UpBody::Mute { user: None, track: Track::Audio };
    assert_eq!(alice.command(request(mute)).did(), ["mute Audio true", "publish mute"]);
    alice.handle_input(Input::Media(MediaId(0), MediaInput::Over("gone".into())));
    let join = alice.asked("join");
    assert_eq!(alice.receive(admitted(), false, Some(join)).did()[2], "join muted 10");
    let unmute = UpBody::Unmute { track: Track::Audio };
    assert_eq!(alice.command(request(unmute)).did(), ["mute Audio false", "publish unmute"]);
}

#[test]
fn the_hosts_mute_acts_here_and_a_block_does_not() {
    let mut alice = in_call();
    let muted = DownBody::Muted { track: Track::Video, by: "bob".into() };
    assert_eq!(alice.signal(muted).did(), ["puback", "mute Video true", "MUTED"]);
    let blocked = DownBody::Blocked { track: Track::Audio, blocked: true, by: "bob".into() };
    assert_eq!(alice.signal(blocked).did(), ["puback", "BLOCKED"]);
}

#[test]
fn an_older_roster_is_ignored() {
    let mut alice = in_call();
    assert_eq!(alice.signal(DownBody::Roster(roster(3))).did(), ["puback"]);
    assert_eq!(alice.signal(DownBody::Roster(roster(5))).did(), ["puback", "names", "ROSTER"]);
}

#[test]
fn a_state_request_without_an_answer_is_repeated_while_connected() {
    let mut alice = Device::new();
    alice.connect();
    assert!(alice.wait(4_999).did().is_empty());
    assert_eq!(alice.wait(1).did(), ["publish state"]);
    alice.disconnect();
    assert_eq!(alice.core.poll_timeout_ms(), None);
}

#[test]
fn requests_expire_by_the_services_clock() {
    let mut alice = Device::new();
    alice.synchronised().command(call(Media::Video));
    let Effect::Publish(up) = &alice.effects[0] else { unreachable!("a create") };
    assert!(alice.service_ms() + 30_000 - up.envelope.expires_at_ms <= 1, "the answer took 1 ms");
}

// Clocks, repeats and watches.

#[test]
fn a_ring_that_begins_while_the_clock_is_a_guess_is_not_missed_by_that_guess() {
    let mut bob = Device::new();
    bob.connect().signal(invitation(1));
    bob.disconnect();
    for _ in 0..12 {
        assert!(bob.wait(10_000).did().is_empty());
    }
    assert_eq!(bob.core.ringing(), Some(INVITATION), "nobody has said that it is over");
    bob.wait(60_000);
    assert_eq!(bob.wait(10_000).did().last().unwrap(), "MISSED", "no call rings that long");
}

#[test]
fn a_step_of_the_wall_clock_asks_for_the_state_and_moves_no_deadline() {
    let mut bob = Device::new();
    bob.synchronised();
    let deadline = bob.signal(invitation(1)).core.poll_timeout_ms();
    bob.wall_ahead_ms = 86_400_000;
    assert_eq!(bob.handle_timeout().did(), ["publish state"]);
    bob.state(vec![ring(1)], None, vec![]);
    assert_eq!(bob.core.poll_timeout_ms(), deadline);
}

#[test]
fn an_admission_that_expired_on_its_way_is_asked_about() {
    let mut alice = Device::new();
    let create = alice.synchronised().command(call(Media::Video)).asked("create");
    alice.now_ms += 60_000;
    let late = alice.service_ms() - 10;
    alice.expires_at_ms = Some(late);
    assert_eq!(alice.receive(admitted(), false, Some(create)).did(), ["puback", "publish state"]);
    alice.expires_at_ms = None;
    assert_eq!(alice.state(vec![], standing(), vec![]).did()[1], "ADMITTED");
}

#[test]
fn who_was_to_be_rung_ten_minutes_ago_is_not_rung_by_a_repeated_request() {
    for (away_ms, expected) in [(1_000, "publish invite"), (600_000, "REFUSED")] {
        let mut alice = in_call();
        let invite = alice.command(request(UpBody::Invite { callees: vec!["carol".into()] })).asked("invite");
        let late = DownBody::Refused { code: RefusalCode::Expired, words: String::new() };
        assert_eq!(alice.receive(late, false, Some(invite)).did(), ["puback", "publish state"]);
        alice.disconnect().now_ms += away_ms;
        alice.connect().state(vec![], standing(), vec![]);
        assert!(alice.did().contains(&expected.into()), "{:?}", alice.did());
        assert_eq!(alice.did().contains(&"publish invite".into()), away_ms == 1_000);
    }
}

#[test]
fn a_late_mute_counts_if_the_roster_that_is_known_says_so_too() {
    for (audio, expected) in [(true, vec!["puback", "mute Audio true", "MUTED"]), (false, vec!["puback"])] {
        let mut alice = in_call();
        let mut roster = roster(6);
        roster.members[0].user = "bob".into();
        roster.members[0].muted = Muted { audio, video: false };
        alice.signal(DownBody::Roster(roster));
        alice.rev = Some(5);
        assert_eq!(alice.signal(DownBody::Muted { track: Track::Audio, by: "x".into() }).did(), expected);
    }
}

#[test]
fn contacts_are_watched_until_they_are_not() {
    let mut bob = Device::new();
    assert_eq!(bob.synchronised().command(Command::Watch(true)).did(), ["publish contacts"]);
    assert!(bob.wait(59_999).did().is_empty());
    assert_eq!(bob.wait(1).did(), ["publish contacts"]);
    bob.disconnect();
    assert!(bob.wait(60_000).did().is_empty());
    assert_eq!(bob.connect().did(), ["CONNECTED", "publish state", "publish contacts"]);
    bob.state(vec![], None, vec![]);
    let Effect::Publish(up) = bob.command(Command::Watch(false)).effects.remove(0) else { unreachable!("a request") };
    assert_eq!(up.body, UpBody::Contacts { watch_s: Some(0) });
    assert_eq!(bob.core.poll_timeout_ms(), None);
}
