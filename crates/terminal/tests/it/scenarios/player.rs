//! The world of one terminal: its person, its clocks and disk, the broker with its inbox, and the service.

use super::script::{Scenario, replaced};
use super::signals::{Names, number, signed, text};
use serde_json::{Map, Value, json};
use signalling::{Down, DownBody, InvitationId, MeetingId, Roster, SignalId, Up, UpBody};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use terminal::Event;
use terminal::core::{Command, Core, Delivery, Effect, Input, Moment, ReceivedSignal};
use terminal::store::RingEntry;

/// The service's clock at the start.
const START_MS: u64 = 1_800_000_000_000;

pub(super) struct Player {
    names: Names,
    free: Vec<String>,
    /// True time, which is the service's, and what the terminal's wall clock is ahead of it.
    now_ms: u64,
    ahead_ms: i64,
    window: usize,
    core: Core,
    disk: BTreeMap<InvitationId, RingEntry>,
    connected: bool,
    inbox: Vec<Message>,
    deliveries: u64,
    acknowledged: usize,
    /// Requests that wait for a connection, and those that were sent and not named yet.
    unsent: VecDeque<Up>,
    sent: Vec<Up>,
    stands: Option<Map<String, Value>>,
    shown: Vec<Value>,
    /// What the person has before the eyes.
    rosters: BTreeMap<MeetingId, Vec<String>>,
    inside: BTreeSet<MeetingId>,
    ringing: BTreeSet<InvitationId>,
    missed: BTreeSet<InvitationId>,
    joinable: Vec<MeetingId>,
}

/// In the inbox until its PUBACK.
struct Message {
    down: Down,
    urgent: bool,
    dup: bool,
    /// Its place among all that was handed out, on the first connection.
    handed_out: Option<u64>,
    /// On this connection.
    delivery: Option<Delivery>,
}

impl Player {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            names: Names::new(&scenario.me),
            free: scenario.free.clone(),
            now_ms: START_MS,
            ahead_ms: scenario.clock_ms.as_i64().unwrap_or(0),
            window: scenario.window.as_u64().unwrap_or(32) as usize,
            core: Core::new([], true),
            disk: BTreeMap::new(),
            connected: false,
            inbox: Vec::new(),
            deliveries: 0,
            acknowledged: 0,
            unsent: VecDeque::new(),
            sent: Vec::new(),
            stands: None,
            shown: Vec::new(),
            rosters: BTreeMap::new(),
            inside: BTreeSet::new(),
            ringing: BTreeSet::new(),
            missed: BTreeSet::new(),
            joinable: Vec::new(),
        }
    }

    pub(super) fn play(&mut self, steps: &[Value]) -> Result<(), String> {
        self.play_all(steps)?;
        self.nothing_is_left().map_err(|error| format!("at the end: {error}"))
    }

    fn play_all(&mut self, steps: &[Value]) -> Result<(), String> {
        for (at, step) in steps.iter().enumerate() {
            let fields = step.as_object().ok_or("a step is an object")?;
            self.step(fields).map_err(|error| format!("step {} {step}: {error}", at + 1))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let verbs = [
            "do",
            "wait",
            "nothing",
            "clock",
            "stands",
            "person",
            "signal",
            "repeat",
            "sends",
            "shows",
            "acknowledged",
        ];
        let verb = verbs.into_iter().find(|verb| step.contains_key(*verb));
        let verb = verb.ok_or_else(|| format!("no such step: {}", Value::from(step.clone())))?;
        if !matches!(verb, "sends" | "shows" | "acknowledged" | "repeat") {
            self.nothing_is_left()?;
        }
        match verb {
            "do" => self.act(step)?,
            "wait" => self.wait(number(step, "wait", 0)),
            "nothing" => {
                self.wait(number(step, "nothing", 0));
                self.nothing_is_left()?;
            }
            "clock" => self.ahead_ms += signed(step, "clock", 0),
            "stands" => self.stands = step["stands"].as_object().cloned(),
            "person" => self.person(step)?,
            "signal" => self.send(step)?,
            "repeat" => self.repeat(step)?,
            "sends" => self.sends(step)?,
            "shows" => self.shows(step)?,
            _ => self.acknowledged(step)?,
        }
        self.run();
        Ok(())
    }

    /// Everything that was shown and sent was named.
    fn nothing_is_left(&self) -> Result<(), String> {
        if let Some(shown) = self.shown.first() {
            return Err(format!("shown and not named: {shown}"));
        }
        match self.sent.iter().find(|up| !self.free.iter().any(|free| free == up.body.kind())) {
            Some(up) => Err(format!("sent and not named: {}", serde_json::to_value(up).unwrap())),
            None => Ok(()),
        }
    }

    // What happens.

    fn act(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        match text(step, "do")? {
            "connect" => self.connect(step.get("session") != Some(&Value::Bool(false))),
            "disconnect" => self.disconnect(),
            "restart" => self.restart(),
            other => return Err(format!("nobody can {other}")),
        }
        Ok(())
    }

    fn connect(&mut self, session_present: bool) {
        self.connected = true;
        for up in std::mem::take(&mut self.unsent) {
            self.arrive(up);
        }
        self.handle_input(Input::Connected { session_present, endpoint: "mqtts://server".into(), tls: None });
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.inbox.iter_mut().for_each(|message| message.delivery = None);
        self.handle_input(Input::Disconnected { reason: "gone".into(), retry_ms: 0 });
    }

    fn restart(&mut self) {
        self.connected = false;
        self.inbox.iter_mut().for_each(|message| message.delivery = None);
        self.unsent.clear();
        self.rosters.clear();
        self.inside.clear();
        self.ringing.clear();
        self.joinable.clear();
        self.core = Core::new(self.disk.values().copied(), true);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        self.run();
        while let Some(due) = self.core.poll_timeout_ms().map(|mono_ms| START_MS + mono_ms)
            && due <= until
        {
            self.now_ms = due.max(self.now_ms);
            self.let_core(Core::handle_timeout);
            self.run();
        }
        self.now_ms = until;
    }

    fn person(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let command = match text(step, "person")? {
            "call" => Command::Call {
                meeting: MeetingId(self.names.new_id()),
                callees: vec![text(step, "user")?.into()],
                media: serde_json::from_value(step.get("media").cloned().unwrap_or_else(|| "video".into())).unwrap(),
                title: None,
            },
            "accept" => Command::Accept { invitation: self.invitation(step)? },
            "reject" => {
                Command::Reject { invitation: self.invitation(step)?, reason: signalling::RejectReason::Declined }
            }
            "seen" => Command::Request { meeting: None, body: UpBody::Seen { invitation: self.invitation(step)? } },
            word => {
                let body = json!({ "type": word, "track": step.get("track") });
                let body =
                    serde_json::from_value(body).map_err(|error| format!("the person cannot {word}: {error}"))?;
                Command::Request { meeting: Some(MeetingId(self.names.id(text(step, "meeting")?))), body }
            }
        };
        self.handle_input(Input::Command(command));
        Ok(())
    }

    fn invitation(&mut self, step: &Map<String, Value>) -> Result<InvitationId, String> {
        Ok(InvitationId(self.names.id(text(step, "invitation")?)))
    }

    fn repeat(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let steps = step["steps"].as_array().ok_or("steps are missing")?;
        let index = text(step, "index").unwrap_or("k").to_owned();
        for k in 1..=number(step, "repeat", 0) {
            let values = Map::from_iter([(index.clone(), Value::from(k))]);
            let steps: Vec<_> = steps.iter().map(|step| replaced(step, &values)).collect();
            self.play_all(&steps)?;
        }
        Ok(())
    }

    // The service and the broker.

    fn send(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let down = self.names.down(step, self.now_ms)?;
        self.keep(down, step.get("dup") == Some(&Value::Bool(true)));
        Ok(())
    }

    fn keep(&mut self, down: Down, dup: bool) {
        let urgent = matches!(
            down.body,
            DownBody::Invitation(_) | DownBody::Seen { .. } | DownBody::Ended { invitation: Some(_), .. }
        );
        self.inbox.push(Message { down, urgent, dup, handed_out: None, delivery: None });
    }

    /// Until nothing more can be handed out.
    fn run(&mut self) {
        while let Some(at) = self.next_message() {
            self.deliveries += 1;
            let delivery = Delivery(self.deliveries);
            let message = &mut self.inbox[at];
            let dup = message.dup || message.handed_out.is_some();
            message.handed_out.get_or_insert(delivery.0);
            message.delivery = Some(delivery);
            let down = message.down.clone();
            self.handle_input(Input::Signal(Box::new(ReceivedSignal { down, dup, delivery: Some(delivery) })));
        }
    }

    fn next_message(&self) -> Option<usize> {
        let in_flight = self.inbox.iter().filter(|message| message.delivery.is_some()).count();
        if !self.connected || in_flight >= self.window {
            return None;
        }
        let waiting = self.inbox.iter().enumerate().filter(|(_, message)| message.delivery.is_none());
        let order = |(at, message): &(usize, &Message)| (message.handed_out.unwrap_or(u64::MAX), !message.urgent, *at);
        waiting.min_by_key(order).map(|(at, _)| at)
    }

    /// A request reaches the service.
    fn arrive(&mut self, up: Up) {
        let is_state = matches!(up.body, UpBody::State {});
        let step = match &self.stands {
            Some(stands) if is_state => {
                let mut step = stands.clone();
                step.insert("signal".into(), "state".into());
                step
            }
            _ if up.envelope.meeting.is_some() && up.envelope.expires_at_ms <= self.now_ms => {
                let refused = json!({ "signal": "refused", "code": "expired" });
                refused.as_object().cloned().unwrap_or_default()
            }
            _ => return self.sent.push(up),
        };
        let mut down = self.names.down(&step, self.now_ms).unwrap();
        down.envelope.in_reply_to = Some(up.envelope.id);
        down.envelope.meeting = up.envelope.meeting;
        self.keep(down, false);
    }

    // The terminal.

    fn handle_input(&mut self, input: Input) {
        self.let_core(|core, now| core.handle_input(input, now));
    }

    /// Lets the core handle something now, and carries its effects out.
    fn let_core(&mut self, handle: impl FnOnce(&mut Core, &mut Moment<'_>)) {
        let names = &mut self.names;
        let mut new_id = || names.new_id();
        let wall_ms = self.now_ms.saturating_add_signed(self.ahead_ms);
        let mono_ms = self.now_ms - START_MS;
        handle(&mut self.core, &mut Moment { wall_ms, mono_ms, new_id: &mut new_id });
        while let Some(effect) = self.core.poll_effect() {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Store(entry) => drop(self.disk.insert(entry.invitation, entry)),
            Effect::Acknowledge(delivery) => {
                self.acknowledged += 1;
                self.inbox.retain(|message| message.delivery != Some(delivery));
            }
            Effect::Publish(up) if self.connected => self.arrive(up),
            Effect::Publish(up) => self.unsent.push_back(up),
            Effect::Notify(event) => self.tell(event),
            _ => {}
        }
    }

    fn tell(&mut self, event: Event) {
        let shown = match event {
            Event::Ring(ring) => {
                self.ringing.insert(ring.invitation);
                json!({ "shows": "ring", "invitation": ring.invitation, "resumed": ring.resumed })
            }
            // A program that was restarted is told of the end of what rang before; the person has not seen it since.
            Event::RingEnded { invitation, reason } if self.ringing.remove(&invitation) => {
                json!({ "shows": "ring_over", "invitation": invitation, "reason": reason })
            }
            Event::Missed(missed) => {
                self.missed.insert(missed.invitation);
                json!({ "shows": "missed", "invitation": missed.invitation })
            }
            Event::Seen { invitation } if self.missed.contains(&invitation) => {
                json!({ "shows": "seen", "invitation": invitation })
            }
            Event::Admitted { meeting, roster, .. } => {
                let users = words(&roster);
                if !self.inside.insert(meeting) {
                    return self.tell(Event::Roster { meeting, roster });
                }
                self.rosters.insert(meeting, users.clone());
                json!({ "shows": "in_call", "meeting": meeting, "users": users })
            }
            Event::Ended { meeting, user: None, reason, .. } => {
                self.inside.remove(&meeting);
                json!({ "shows": "call_over", "meeting": meeting, "reason": reason })
            }
            Event::Roster { meeting, roster } => {
                let users = words(&roster);
                if self.rosters.insert(meeting, users.clone()).as_ref() == Some(&users) {
                    return;
                }
                json!({ "shows": "roster", "meeting": meeting, "users": users })
            }
            Event::Muted { meeting, track, .. } => json!({ "shows": "muted", "meeting": meeting, "track": track }),
            Event::UnmuteAsked { meeting, track, .. } => {
                json!({ "shows": "unmute_asked", "meeting": meeting, "track": track })
            }
            Event::Waiting { meeting, user, .. } => progress(meeting, &user, "waiting"),
            Event::Ringing { meeting, user } => progress(meeting, &user, "ringing"),
            Event::Accepted { meeting, user } => progress(meeting, &user, "accepted"),
            Event::Rejected { meeting, user, .. } => progress(meeting, &user, "rejected"),
            Event::Busy { meeting, user } => progress(meeting, &user, "busy"),
            Event::Ended { meeting, user: Some(user), .. } => progress(meeting, &user, "over"),
            Event::InCallElsewhere { meeting } => json!({ "shows": "elsewhere", "meeting": meeting }),
            Event::State(state) => {
                let joinable: Vec<_> = state.joinable.iter().map(|joinable| joinable.meeting).collect();
                if std::mem::replace(&mut self.joinable, joinable.clone()) == joinable {
                    return;
                }
                json!({ "shows": "joinable", "meetings": joinable })
            }
            _ => return,
        };
        self.shown.push(self.in_names(&shown));
    }

    /// With the short names in place of ids.
    fn in_names(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => text.parse().map_or_else(|_| value.clone(), |id| self.names.name(id).into()),
            Value::Array(items) => items.iter().map(|item| self.in_names(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), self.in_names(field))).collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }

    // What is said of it.

    fn shows(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let mut wanted = step.clone();
        if wanted["shows"] == "ring" {
            wanted.entry("resumed").or_insert(false.into());
        }
        let fits = |shown: &Value| wanted.iter().all(|(name, value)| shown.get(name) == Some(value));
        // A meeting may have got its name since.
        let renamed: Vec<_> = self.shown.iter().map(|shown| self.in_names(shown)).collect();
        let at = renamed.iter().position(fits).ok_or_else(|| format!("shown is {}", Value::from(renamed)))?;
        self.shown.remove(at);
        Ok(())
    }

    fn sends(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let kind = text(step, "sends")?;
        let found = self.sent.iter().position(|up| up.body.kind() == kind);
        let at = found.ok_or_else(|| format!("sent is {}", serde_json::to_value(&self.sent).unwrap()))?;
        let up = self.sent.remove(at);
        if let (Some(name), Some(meeting)) = (step.get("meeting").and_then(Value::as_str), up.envelope.meeting)
            && self.names.known(name).is_none()
        {
            self.names.bind(name, meeting.0);
        }
        let said = self.in_names(&serde_json::to_value(&up).unwrap());
        for field in ["meeting", "invitation", "user", "track", "reason"] {
            if step.get(field).is_some_and(|wanted| said.get(field) != Some(wanted)) {
                return Err(format!("sent is {said}"));
            }
        }
        if let Some(other) = step.get("not_same_id_as").and_then(Value::as_str)
            && self.names.known(other) == Some(up.envelope.id.0)
        {
            return Err(format!("it has the id of {other}"));
        }
        if let Some(name) = step.get("as").and_then(Value::as_str) {
            let SignalId(id) = up.envelope.id;
            self.names.bind(name, id);
        }
        Ok(())
    }

    fn acknowledged(&mut self, step: &Map<String, Value>) -> Result<(), String> {
        let wanted = number(step, "acknowledged", 0) as usize;
        match std::mem::take(&mut self.acknowledged) {
            count if count == wanted => Ok(()),
            count => Err(format!("{count} were acknowledged")),
        }
    }
}

fn progress(meeting: MeetingId, user: &signalling::UserName, is: &str) -> Value {
    json!({ "shows": "progress", "meeting": meeting, "user": user, "is": is })
}

/// Each user, with what is not as usual.
fn words(roster: &Roster) -> Vec<String> {
    let mut users: Vec<_> = roster
        .members
        .iter()
        .map(|member| {
            let member = serde_json::to_value(member).unwrap();
            let mut words = vec![member["user"].as_str().unwrap_or_default().to_owned()];
            words.extend(member["state"].as_str().filter(|state| *state != "in").map(str::to_owned));
            for what in ["muted", "blocked"] {
                let off = ["audio", "video"].into_iter().filter(|track| member[what][track] == true);
                off.for_each(|track| words.extend([what.to_owned(), track.to_owned()]));
            }
            words.join(" ")
        })
        .collect();
    users.sort();
    users
}
