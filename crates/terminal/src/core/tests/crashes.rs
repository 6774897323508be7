//! Random lives of a terminal, a broker and a service: deliveries, repeats, lost connections, late answers, clocks that
//! are set, and kills between any two effects. What must hold in all of them: one ring or one missed call per invitation, never a stale
//! ring, nothing acknowledged that is not on disk, and nothing that stands is forgotten.

use super::super::*;
use crate::store::RingPhase;
use signalling::signal::VERSION;
use signalling::{EndReason, JoinParameters, Media, Outcome, OutcomeKind, ParticipationId, Profile, Ring};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

const SEEDS: u64 = 3_000;
const STEPS: usize = 150;
const INVITATIONS: u128 = 8;

/// xorshift64*: a seed gives the same run each time.
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % count
    }
}

/// What the service knows of one invitation.
#[derive(Clone, Copy)]
enum ServiceRecord {
    Open { rev: u64 },
    Over { rev: u64, missed: bool },
}

/// A message in the inbox of the terminal.
struct Kept {
    invitation: u128,
    down: Down,
    /// It was on some connection before.
    sent: bool,
    /// Its delivery on this connection.
    delivery: Option<Delivery>,
}

#[derive(Default)]
struct Seen {
    rings: BTreeMap<u128, usize>,
    missed: BTreeMap<u128, usize>,
}

struct Simulation {
    random: Random,
    now_ms: u64,
    /// What the wall clock of the terminal is ahead.
    ahead_ms: i64,
    rev: u64,
    truth: BTreeMap<u128, ServiceRecord>,
    inbox: VecDeque<Kept>,
    /// State requests that reached the service, and answers under way.
    asked: VecDeque<SignalId>,
    answers: VecDeque<Down>,
    core: Core,
    connected: bool,
    disk: BTreeMap<InvitationId, RingEntry>,
    seen: Seen,
    ids: u128,
    down_ids: std::cell::Cell<u128>,
    deliveries: u64,
    kills: usize,
    /// A message of the broker is being handled.
    delivering: bool,
}

fn invitation_id(invitation: u128) -> InvitationId {
    InvitationId(Uuid::from_u128(0xa000 + invitation))
}

fn meeting_id(invitation: u128) -> MeetingId {
    MeetingId(Uuid::from_u128(0xb000 + invitation))
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now_ms: 100_000_000_000,
            ahead_ms: 0,
            rev: 0,
            truth: BTreeMap::new(),
            inbox: VecDeque::new(),
            asked: VecDeque::new(),
            answers: VecDeque::new(),
            core: Core::new([], false),
            connected: false,
            disk: BTreeMap::new(),
            seen: Seen::default(),
            ids: 0x1_0000,
            down_ids: std::cell::Cell::new(1),
            deliveries: 0,
            kills: 0,
            delivering: false,
        }
    }

    fn step(&mut self) {
        self.now_ms += 1 + self.random.below(300);
        match self.random.below(20) {
            0 | 1 => self.service_rings(),
            2 => self.service_ends(),
            3..=5 => self.broker_delivers(),
            6 | 7 => self.service_answers(),
            8..=10 => self.answer_arrives(),
            11 => self.network_breaks(),
            12 => self.handle_timeout(),
            13 => self.kill_now(),
            14 => self.ahead_ms = [0, 30_000, -30_000, 86_400_000, -86_400_000][self.random.below(5) as usize],
            _ if !self.connected => self.connect(),
            _ => {}
        }
    }

    // The service.

    fn service_rings(&mut self) {
        let next = self.truth.len() as u128;
        if next < INVITATIONS {
            self.rev += 1;
            self.truth.insert(next, ServiceRecord::Open { rev: self.rev });
            let ring = self.ring(next, self.rev);
            self.send(next, DownBody::Invitation(Box::new(ring)));
        }
    }

    fn service_ends(&mut self) {
        let open = self.truth.iter().find(|(_, truth)| matches!(truth, ServiceRecord::Open { .. })).map(|(id, _)| *id);
        let Some(invitation) = open else { return };
        self.rev += 1;
        let missed = self.random.below(2) == 0;
        self.truth.insert(invitation, ServiceRecord::Over { rev: self.rev, missed });
        let outcome = missed.then(|| self.outcome(invitation, self.rev));
        let reason = if missed { EndReason::Cancelled } else { EndReason::AnsweredElsewhere };
        let ended = Some(invitation_id(invitation));
        self.send(
            invitation,
            DownBody::Ended { invitation: ended, user: None, rev: self.rev, reason, by: None, outcome },
        );
    }

    /// Into the inbox; what waits under the same key and was never sent is dropped.
    fn send(&mut self, invitation: u128, body: DownBody) {
        self.inbox.retain(|kept| kept.invitation != invitation || kept.sent);
        let down = self.down(Some(meeting_id(invitation)), None, body);
        self.inbox.push_back(Kept { invitation, down, sent: false, delivery: None });
    }

    fn service_answers(&mut self) {
        let Some(request) = self.asked.pop_front() else { return };
        let rings = self.truth.iter().filter_map(|(id, truth)| match truth {
            ServiceRecord::Open { rev } => Some(self.ring(*id, *rev)),
            ServiceRecord::Over { .. } => None,
        });
        let outcomes = self.truth.iter().filter_map(|(id, truth)| match truth {
            ServiceRecord::Over { rev, missed: true } => Some(self.outcome(*id, *rev)),
            _ => None,
        });
        let state = State {
            now_ms: self.now_ms,
            user: "bob".into(),
            name: "Bob".into(),
            rings: rings.collect(),
            rings_left_out: false,
            call: None,
            joinable: vec![],
            outcomes: outcomes.collect(),
        };
        let down = self.down(None, Some(request), DownBody::State(Box::new(state)));
        self.answers.push_back(down);
        self.now_ms += 1;
    }

    // The broker and the network.

    fn broker_delivers(&mut self) {
        if !self.connected {
            return;
        }
        self.deliveries += 1;
        let delivery = Delivery(self.deliveries);
        let Some(kept) = self.inbox.iter_mut().find(|kept| kept.delivery.is_none()) else { return };
        let dup = std::mem::replace(&mut kept.sent, true);
        kept.delivery = Some(delivery);
        let down = kept.down.clone();
        self.delivering = true;
        self.handle_input(Input::Signal(Box::new(ReceivedSignal { down, dup, delivery: Some(delivery) })));
        self.delivering = false;
    }

    fn answer_arrives(&mut self) {
        if !self.connected {
            return;
        }
        let Some(down) = self.answers.pop_front() else { return };
        self.handle_input(Input::Signal(Box::new(ReceivedSignal { down, dup: false, delivery: None })));
    }

    fn network_breaks(&mut self) {
        if self.connected {
            self.disconnect();
            self.handle_input(Input::Disconnected { reason: "gone".into(), retry_ms: 0 });
        }
    }

    fn connect(&mut self) {
        self.connected = true;
        self.handle_input(Input::Connected { session_present: true, endpoint: String::new(), tls: None });
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.inbox.iter_mut().for_each(|kept| kept.delivery = None);
    }

    // The terminal.

    fn handle_input(&mut self, input: Input) {
        self.let_core(|core, now| core.handle_input(input, now));
    }

    fn handle_timeout(&mut self) {
        self.let_core(Core::handle_timeout);
    }

    fn kill_now(&mut self) {
        self.kills += 1;
        self.disconnect();
        self.core = Core::new(self.disk.values().copied(), false);
    }

    /// Carries effects out one by one; sometimes the process is killed between two of them.
    fn let_core(&mut self, handle: impl FnOnce(&mut Core, &mut Moment<'_>)) {
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            Uuid::from_u128(*ids)
        };
        let wall_ms = self.now_ms.saturating_add_signed(self.ahead_ms);
        handle(&mut self.core, &mut Moment { wall_ms, mono_ms: self.now_ms, new_id: &mut new_id });
        let killed_before = if self.random.below(16) == 0 { self.random.below(5) as usize } else { usize::MAX };
        let mut at = 0;
        while let Some(effect) = self.core.poll_effect() {
            if at == killed_before {
                return self.kill_now();
            }
            self.carry_out(effect);
            at += 1;
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Store(entry) => drop(self.disk.insert(entry.invitation, entry)),
            Effect::Acknowledge(delivery) => self.acknowledge(delivery),
            Effect::Publish(up) if matches!(up.body, UpBody::State {}) => self.asked.push_back(up.envelope.id),
            Effect::Notify(Event::Ring(ring)) if !ring.resumed => {
                assert!(!(ring.dup && self.delivering), "a repeat rang before the service had confirmed it");
                *self.seen.rings.entry(ring.invitation.0.as_u128() - 0xa000).or_default() += 1;
            }
            Effect::Notify(Event::Missed(missed)) => {
                *self.seen.missed.entry(missed.invitation.0.as_u128() - 0xa000).or_default() += 1;
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, delivery: Delivery) {
        let Some(at) = self.inbox.iter().position(|kept| kept.delivery == Some(delivery)) else { return };
        let kept = self.inbox.remove(at).unwrap();
        let stored = self.disk.get(&invitation_id(kept.invitation)).map(|entry| entry.rev);
        let rev = match kept.down.body {
            DownBody::Invitation(ring) => ring.rev,
            DownBody::Ended { rev, .. } => rev,
            _ => 0,
        };
        assert!(stored >= Some(rev), "acknowledged and not on disk");
    }

    /// Everything arrives, without further faults.
    fn deliver_everything(&mut self) {
        for _ in 0..60 {
            self.now_ms += 10;
            if !self.connected {
                self.connect();
            }
            self.broker_delivers();
            self.service_answers();
            self.answer_arrives();
            if self.asked.is_empty() && self.answers.is_empty() && self.core.state_request.is_some() {
                self.now_ms += STATE_RETRY_MS;
                self.handle_timeout();
            }
        }
    }

    fn check(&self, seed: u64) {
        for count in self.seen.rings.values().chain(self.seen.missed.values()) {
            assert_eq!(*count, 1, "seed {seed}: told twice");
        }
        for (invitation, truth) in &self.truth {
            let known = self.disk.get(&invitation_id(*invitation)).map(|entry| entry.phase);
            let rings = self.core.rings.rings_now(invitation_id(*invitation));
            let (expected, should_ring) = match truth {
                ServiceRecord::Open { .. } => (RingPhase::Ring, true),
                ServiceRecord::Over { missed: true, .. } => (RingPhase::Missed, false),
                ServiceRecord::Over { missed: false, .. } => (RingPhase::Done, false),
            };
            assert_eq!((known, rings), (Some(expected), should_ring), "seed {seed}, invitation {invitation}");
        }
        assert!(self.inbox.is_empty(), "seed {seed}: the broker still waits for a PUBACK");
    }

    // Messages.

    fn down(&self, meeting: Option<MeetingId>, in_reply_to: Option<SignalId>, body: DownBody) -> Down {
        let (sent_at_ms, expires_at_ms) = (self.now_ms, self.now_ms + 3_600_000);
        let id = SignalId(Uuid::from_u128(self.down_ids.replace(self.down_ids.get() + 1)));
        Down { envelope: Envelope { v: VERSION, id, meeting, sent_at_ms, expires_at_ms, in_reply_to, rev: None }, body }
    }

    fn ring(&self, invitation: u128, rev: u64) -> Ring {
        let join = JoinParameters {
            endpoints: vec![],
            app: String::new(),
            channel: meeting_id(invitation).into(),
            user: "bob".into(),
            participation: ParticipationId(Uuid::from_u128(invitation)),
            token: String::new(),
            profile: Profile::Call,
            turn: vec![],
        };
        Ring {
            invitation: invitation_id(invitation),
            rev,
            meeting: meeting_id(invitation),
            from: "alice".into(),
            from_name: "Alice".into(),
            media: Media::Video,
            title: None,
            ring_until_ms: 200_000_000_000,
            join,
            ringing: true,
            members: 1,
            names: vec![],
        }
    }

    fn outcome(&self, invitation: u128, rev: u64) -> Outcome {
        Outcome {
            invitation: invitation_id(invitation),
            meeting: meeting_id(invitation),
            rev,
            from: "alice".into(),
            from_name: "Alice".into(),
            media: Media::Video,
            kind: OutcomeKind::Missed,
            at_ms: self.now_ms,
        }
    }
}

#[test]
fn in_every_life_an_invitation_rings_once_or_is_missed_once() {
    let (mut kills, mut rings, mut missed) = (0, 0, 0);
    for seed in 1..=SEEDS {
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.step();
        }
        simulation.deliver_everything();
        simulation.check(seed);
        kills += simulation.kills;
        rings += simulation.seen.rings.len();
        missed += simulation.seen.missed.len();
    }
    assert!(kills > 10_000 && rings > 1_000 && missed > 1_000, "it happened: {kills} {rings} {missed}");
}
