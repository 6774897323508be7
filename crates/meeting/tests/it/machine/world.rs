//! A meeting on virtual time with the inboxes of all clients. Clients are written `user.device`.

use meeting::machine::{
    Actor, Callee, Context, Create, Decided, Event, HistoryEntry, MediaChange, Meeting, OutgoingSignal, ParentTopic,
    Request, Rules, TimerKind,
};
use signalling::{
    ClientId, DownBody, EndReason, InvitationId, Media, MeetingId, ParticipationId, RefusalCode, Roster, SignalId,
    UserName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use uuid::Uuid;

pub(crate) struct World {
    pub(crate) now_ms: u64,
    /// Moments of which it is in doubt whether they are over.
    pub(crate) held_ms: Range<u64>,
    pub(crate) is_settled: bool,
    pub(crate) rules: Rules,
    pub(crate) meeting: Option<Meeting>,
    /// Everything that was sent to a client and not taken yet.
    pub(crate) inboxes: BTreeMap<ClientId, Vec<OutgoingSignal>>,
    /// Each roster that was another than the one before.
    pub(crate) rosters: Vec<Roster>,
    /// Users with their kinds of missed calls.
    pub(crate) missed: Vec<(String, signalling::Outcome)>,
    /// What became a part of somebody's history.
    pub(crate) past: Vec<HistoryEntry>,
    /// user → devices
    pub(crate) devices: BTreeMap<String, Vec<&'static str>>,
    pub(crate) offline: BTreeSet<ClientId>,
    pub(crate) busy: BTreeSet<String>,
    last_request: SignalId,
    ids: u128,
}

pub(crate) fn user_of(client: &str) -> UserName {
    client.split('.').next().unwrap().into()
}

impl World {
    pub(crate) fn new() -> Self {
        let devices =
            [("alice", vec!["alice.phone"]), ("bob", vec!["bob.phone", "bob.laptop"]), ("carol", vec!["carol.phone"])];
        Self {
            now_ms: 1_000_000,
            held_ms: 0..0,
            is_settled: false,
            rules: Rules::default(),
            meeting: None,
            inboxes: BTreeMap::new(),
            rosters: Vec::new(),
            missed: Vec::new(),
            past: Vec::new(),
            devices: devices.map(|(user, devices)| (user.to_owned(), devices)).into(),
            offline: BTreeSet::new(),
            busy: BTreeSet::new(),
            last_request: SignalId(Uuid::nil()),
            ids: 1 << 64,
        }
    }

    /// Alice has called Bob, and everything up to then is taken.
    pub(crate) fn calling() -> Self {
        let mut world = Self::new();
        world.create("alice.phone", &["bob"]);
        world.forget();
        world
    }

    /// Bob has answered on his phone, and everything up to then is taken.
    pub(crate) fn in_call() -> Self {
        let mut world = Self::calling();
        world.accept("bob.phone");
        world.forget();
        world
    }

    pub(crate) fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub(crate) fn actor(&mut self, client: &str) -> Actor {
        let user = user_of(client);
        let online = !self.offline.contains(&ClientId::from(client));
        let request = SignalId(self.id());
        self.last_request = request;
        Actor { name: user.as_str().to_uppercase(), user, client: client.into(), online, request }
    }

    /// The id of the last request that was made.
    pub(crate) fn last_request(&self) -> SignalId {
        self.last_request
    }

    pub(crate) fn callee(&self, user: &str) -> Callee {
        let devices: Vec<ClientId> =
            self.devices.get(user).into_iter().flatten().map(|device| ClientId::from(*device)).collect();
        let online = devices.iter().any(|device| !self.offline.contains(device));
        Callee { user: user.into(), name: user.to_uppercase(), devices, online, busy: self.busy.contains(user) }
    }

    fn with<T>(&mut self, act: impl FnOnce(Option<&Meeting>, Context<'_>) -> T) -> T {
        let (mut ids, rules, meeting) = (self.ids, self.rules.clone(), self.meeting.clone());
        let mut next = || {
            ids += 1;
            Uuid::from_u128(ids)
        };
        let (now_ms, held_ms, is_settled) = (self.now_ms, self.held_ms.clone(), self.is_settled);
        let context = Context { now_ms, held_ms, is_settled, rules: &rules, ids: &mut next };
        let result = act(meeting.as_ref(), context);
        self.ids = ids;
        result
    }

    fn take_decided(&mut self, decided: Decided) -> Vec<OutgoingSignal> {
        if decided.changed {
            self.note_roster(&decided.meeting);
            self.meeting = Some(decided.meeting);
        }
        self.missed.extend(decided.missed.into_iter().map(|missed| (missed.user.0, missed.outcome)));
        self.past.extend(decided.past);
        for send in &decided.sends {
            self.inboxes.entry(send.to.clone()).or_default().push(send.clone());
        }
        decided.sends
    }

    fn note_roster(&mut self, now: &Meeting) {
        let (before, now) = (self.meeting.as_ref().map(Meeting::roster), now.roster());
        if before.is_none_or(|before| before.members != now.members) {
            self.rosters.push(now);
        }
    }

    pub(crate) fn create(&mut self, client: &str, callees: &[&str]) -> Vec<OutgoingSignal> {
        let actor = self.actor(client);
        let callees = callees.iter().map(|user| self.callee(user)).collect();
        let create = Create { id: MeetingId(Uuid::from_u128(7)), callees, media: Media::Video, title: None };
        let decided = self.with(|existing, context| Meeting::handle_create(create, actor, existing, context));
        self.take_decided(decided)
    }

    pub(crate) fn cancel_early(&mut self, client: &str) -> Vec<OutgoingSignal> {
        let actor = self.actor(client);
        let decided =
            self.with(|_, context| Meeting::handle_early_cancel(MeetingId(Uuid::from_u128(7)), actor, context));
        self.take_decided(decided)
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<OutgoingSignal> {
        let decided = self.with(|meeting, context| meeting.unwrap().handle_event(event, context));
        self.take_decided(decided)
    }

    pub(crate) fn decide(&mut self, event: Event) -> Decided {
        let decided = self.with(|meeting, context| meeting.unwrap().handle_event(event, context));
        self.take_decided(decided.clone());
        decided
    }

    pub(crate) fn request(&mut self, client: &str, request: Request) -> Vec<OutgoingSignal> {
        let actor = self.actor(client);
        self.event(Event::Request { actor, request })
    }

    pub(crate) fn invite(&mut self, client: &str, user: &str) -> Vec<OutgoingSignal> {
        let callees = vec![self.callee(user)];
        self.request(client, Request::Invite { callees })
    }

    /// The last invitation of the client's user.
    pub(crate) fn invitation_of(&self, client: &str) -> InvitationId {
        let user = user_of(client);
        self.document().invitations.iter().rev().find(|ring| ring.user == user).unwrap().id
    }

    pub(crate) fn ringing(&mut self, client: &str) -> Vec<OutgoingSignal> {
        let invitation = self.invitation_of(client);
        self.request(client, Request::Ringing { invitation })
    }

    pub(crate) fn accept(&mut self, client: &str) -> Vec<OutgoingSignal> {
        let invitation = self.invitation_of(client);
        self.request(client, Request::Accept { invitation })
    }

    /// Lets time pass; timers fire when they are due.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let until_ms = self.now_ms + seconds * 1_000;
        while let Some(due_ms) = self.next_timer().filter(|due_ms| *due_ms <= until_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            let online = self.online();
            self.event(Event::Due { online });
        }
        self.now_ms = until_ms;
    }

    fn next_timer(&self) -> Option<u64> {
        let meeting = self.meeting.as_ref()?;
        let due_ms = meeting.timers(&self.rules).into_iter().map(|timer| timer.due_ms);
        due_ms.filter(|due_ms| !self.held_ms.contains(due_ms)).min()
    }

    pub(crate) fn timer_kinds(&self) -> Vec<TimerKind> {
        self.document().timers(&self.rules).iter().map(|timer| timer.kind).collect()
    }

    pub(crate) fn online(&self) -> BTreeSet<ClientId> {
        let all = self.document().members.iter().map(|member| member.client.clone());
        all.filter(|client| !self.offline.contains(client)).collect()
    }

    pub(crate) fn comes(&mut self, client: &str) {
        self.offline.remove(&ClientId::from(client));
        self.event(Event::Online { client: client.into(), online: true });
    }

    pub(crate) fn goes(&mut self, client: &str) {
        self.offline.insert(client.into());
        self.event(Event::Online { client: client.into(), online: false });
    }

    /// Its page is closed: DISCONNECT.
    pub(crate) fn says_goodbye(&mut self, client: &str) {
        self.offline.insert(client.into());
        self.event(Event::CleanDisconnect { client: client.into() });
    }

    /// Its login is ended.
    pub(crate) fn is_removed(&mut self, client: &str) -> Vec<OutgoingSignal> {
        self.offline.insert(client.into());
        self.event(Event::Removed { client: client.into() })
    }

    pub(crate) fn media(&mut self, client: &str, change: MediaChange) -> Vec<OutgoingSignal> {
        let participation = self.participation(client);
        self.event(Event::Media { participation, change })
    }

    /// As a member, or as a device that rings.
    pub(crate) fn participation(&self, client: &str) -> ParticipationId {
        let client = ClientId::from(client);
        let meeting = self.document();
        let member = meeting.members.iter().find(|member| member.client == client).map(|member| member.participation);
        let device = || meeting.invitations.iter().find_map(|ring| ring.device(&client)).unwrap().participation;
        member.unwrap_or_else(device)
    }

    pub(crate) fn document(&self) -> &Meeting {
        self.meeting.as_ref().unwrap()
    }

    pub(crate) fn forget(&mut self) {
        self.inboxes.clear();
        self.rosters.clear();
    }

    /// What a client has got since it was last asked, in short words.
    pub(crate) fn got(&mut self, client: &str) -> Vec<String> {
        let sends = self.inboxes.remove(&ClientId::from(client)).unwrap_or_default();
        sends.iter().map(words).collect()
    }

    pub(crate) fn inside(&self) -> Vec<&str> {
        self.document().members.iter().map(|member| member.client.as_str()).collect()
    }
}

/// `topic: type(detail)`, the topic only for rings.
pub(crate) fn words(send: &OutgoingSignal) -> String {
    let ring = if send.parent == ParentTopic::Ring { "ring " } else { "" };
    let detail = match &send.body {
        DownBody::Ended { user: Some(user), reason, .. } => format!("({user} {})", reason_word(*reason)),
        DownBody::Ended { reason, outcome, .. } => {
            format!("({}{})", reason_word(*reason), if outcome.is_some() { ", missed" } else { "" })
        }
        DownBody::Refused { code, .. } => format!("({})", code_word(*code)),
        DownBody::Rejected { user, reason } => format!("({user} {reason:?})"),
        DownBody::Waiting { user, .. }
        | DownBody::Ringing { user }
        | DownBody::Accepted { user }
        | DownBody::Busy { user } => format!("({user})"),
        _ => String::new(),
    };
    format!("{ring}{}{detail}", send.body.kind())
}

fn reason_word(reason: EndReason) -> String {
    serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned()
}

fn code_word(code: RefusalCode) -> String {
    serde_json::to_value(code).unwrap().as_str().unwrap().to_owned()
}
