//! Signals of the service, made of the words of a script.

use serde_json::{Map, Value, json};
use signalling::Down;
use std::collections::HashMap;
use uuid::Uuid;

/// The real ids behind the short names, and what was said of each invitation last.
pub(super) struct Names {
    me: String,
    ids: HashMap<String, Uuid>,
    next: u128,
    invitations: HashMap<String, Map<String, Value>>,
}

impl Names {
    pub(super) fn new(me: &str) -> Self {
        Self { me: me.to_owned(), ids: HashMap::new(), next: 0, invitations: HashMap::new() }
    }

    pub(super) fn id(&mut self, name: &str) -> Uuid {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.new_id();
        self.bind(name, id);
        id
    }

    pub(super) fn known(&self, name: &str) -> Option<Uuid> {
        self.ids.get(name).copied()
    }

    pub(super) fn bind(&mut self, name: &str, id: Uuid) {
        self.ids.insert(name.to_owned(), id);
    }

    /// The name of an id, or the id itself.
    pub(super) fn name(&self, id: Uuid) -> String {
        self.ids.iter().find(|(_, known)| **known == id).map_or_else(|| id.to_string(), |(name, _)| name.clone())
    }

    /// Version 7, rising.
    pub(super) fn new_id(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 | self.next)
    }

    /// The message of a step at this moment of the service's clock.
    pub(super) fn down(&mut self, step: &Map<String, Value>, now_ms: u64) -> Result<Down, String> {
        let kind = text(step, "signal")?;
        let mut down = self.body(kind, step, now_ms)?;
        let on_ring_down = kind == "invitation" || down.get("invitation").is_some();
        let expires_in_ms = number(step, "expires_in_ms", if on_ring_down { 45_000 } else { 20_000 });
        let id = match step.get("id").and_then(Value::as_str) {
            Some(name) => self.id(name),
            None => self.new_id(),
        };
        down.insert("v".into(), 1.into());
        down.insert("type".into(), kind.into());
        down.insert("id".into(), json!(id));
        down.insert("sent_at_ms".into(), (now_ms - number(step, "sent_ago_ms", 0)).into());
        down.insert("expires_at_ms".into(), now_ms.saturating_add_signed(expires_in_ms as i64).into());
        let has_revision = step.contains_key("rev") || !matches!(kind, "state" | "refused" | "seen");
        down.entry("rev").or_insert(if has_revision { number(step, "rev", 1).into() } else { Value::Null });
        for (from, to) in [("meeting", "meeting"), ("to", "in_reply_to")] {
            if let Some(name) = step.get(from).and_then(Value::as_str) {
                down.insert(to.into(), json!(self.id(name)));
            }
        }
        serde_json::from_value(down.into()).map_err(|error| format!("{kind}: {error}"))
    }

    fn body(&mut self, kind: &str, step: &Map<String, Value>, now_ms: u64) -> Result<Map<String, Value>, String> {
        let body = match kind {
            "invitation" => self.ring(step, now_ms, false)?,
            "ended" => self.ended(step, now_ms)?,
            "seen" => json!({ "invitation": self.id(text(step, "invitation")?), "rev": number(step, "rev", 1) }),
            "admitted" => self.admitted(step)?,
            "roster" => self.roster(step)?,
            "roster_changed" => self.roster_changed(step)?,
            "refused" => json!({ "code": step.get("code"), "words": "no" }),
            "state" => self.state(step, now_ms)?,
            "muted" | "blocked" | "unmute_asked" | "waiting" | "ringing" | "accepted" | "busy" | "rejected" => {
                let fields = ["track", "by", "blocked", "user", "reason"];
                let given = fields.into_iter().filter_map(|name| Some((name.to_owned(), step.get(name)?.clone())));
                let mut body: Map<_, _> = given.collect();
                if kind == "waiting" {
                    body.insert("until_ms".into(), (now_ms + 45_000).into());
                }
                body.into()
            }
            other => return Err(format!("there is no signal {other}")),
        };
        let Value::Object(body) = body else { return Err(format!("{kind} is no object")) };
        Ok(body)
    }

    fn ring(&mut self, given: &Map<String, Value>, now_ms: u64, ringing: bool) -> Result<Value, String> {
        let name = text(given, "invitation")?;
        let mut fields = self.invitations.get(name).cloned().unwrap_or_default();
        fields.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        let until_ms = now_ms.saturating_add_signed(signed(&fields, "rings_for_ms", 45_000));
        let until_ms = if given.contains_key("rings_for_ms") || !fields.contains_key("until_ms") {
            until_ms
        } else {
            number(&fields, "until_ms", 0)
        };
        fields.insert("until_ms".into(), until_ms.into());
        self.invitations.insert(name.to_owned(), fields.clone());
        let meeting = self.id(text(&fields, "meeting")?);
        Ok(json!({
            "invitation": self.id(name), "rev": number(&fields, "rev", 1), "meeting": meeting,
            "from": text(&fields, "from")?, "from_name": text(&fields, "from")?,
            "media": fields.get("media").cloned().unwrap_or_else(|| "video".into()),
            "ring_until_ms": until_ms, "join": self.join(meeting),
            "ringing": given.get("ringing").cloned().unwrap_or_else(|| ringing.into()), "members": 1, "names": [],
        }))
    }

    fn ended(&mut self, step: &Map<String, Value>, now_ms: u64) -> Result<Value, String> {
        let reason = text(step, "reason")?;
        let rev = number(step, "rev", 1);
        let Some(name) = step.get("invitation").and_then(Value::as_str) else {
            return Ok(json!({ "rev": rev, "reason": reason, "user": step.get("user"), "by": step.get("by") }));
        };
        self.invitations.entry(name.to_owned()).or_insert_with(|| step.clone());
        let missed = step.get("missed") == Some(&Value::Bool(true));
        let outcome = if missed { self.outcome(name, Some(rev), now_ms)? } else { Value::Null };
        Ok(
            json!({ "invitation": self.id(name), "rev": rev, "reason": reason, "by": step.get("by"), "outcome": outcome }),
        )
    }

    fn outcome(&mut self, name: &str, rev: Option<u64>, now_ms: u64) -> Result<Value, String> {
        let fields = self.invitations.get(name).cloned().unwrap_or_default();
        let (from, meeting) = (fields.get("from"), fields.get("meeting"));
        let from = from.cloned().unwrap_or_else(|| "alice".into());
        let meeting = meeting.and_then(Value::as_str).unwrap_or("m1").to_owned();
        Ok(json!({
            "invitation": self.id(name), "meeting": self.id(&meeting),
            "rev": rev.unwrap_or_else(|| number(&fields, "rev", 1) + 1), "from": from, "from_name": from,
            "media": "video", "kind": "missed", "at_ms": now_ms,
        }))
    }

    fn admitted(&mut self, step: &Map<String, Value>) -> Result<Value, String> {
        let meeting = self.id(text(step, "meeting")?);
        Ok(json!({ "join": self.join(meeting), "roster": self.roster(step)? }))
    }

    fn roster(&mut self, step: &Map<String, Value>) -> Result<Value, String> {
        let users = texts(step, "users")?;
        let host = users.iter().find(|user| !user.contains(" ringing") && !user.contains(" invited"));
        let host = host.and_then(|user| user.split(' ').next());
        let members = users.iter().map(|user| self.member(user)).collect::<Vec<_>>();
        Ok(json!({ "rev": number(step, "rev", 1), "host": host, "members": members }))
    }

    fn roster_changed(&mut self, step: &Map<String, Value>) -> Result<Value, String> {
        let members = texts(step, "users")?.iter().map(|user| self.member(user)).collect::<Vec<_>>();
        Ok(json!({
            "base": number(step, "base", 0), "rev": number(step, "rev", 1), "host": step.get("host").and_then(Value::as_str).unwrap_or("alice"),
            "members": members, "gone": texts(step, "gone")?,
        }))
    }

    fn member(&mut self, words: &str) -> Value {
        let mut words = words.split(' ');
        let user = words.next().unwrap_or_default();
        let (mut state, mut off) = ("in", Map::new());
        while let Some(word) = words.next() {
            match word {
                "muted" | "blocked" => {
                    let tracks = off.entry(word).or_insert_with(|| json!({}));
                    tracks[words.next().unwrap_or_default()] = true.into();
                }
                other => {
                    state = match other {
                        "invited" => "invited",
                        "ringing" => "ringing",
                        "joining" => "joining",
                        "lost" => "lost",
                        "no_media" => "no_media",
                        _ => "in",
                    }
                }
            }
        }
        let mut member = json!({ "user": user, "name": user, "state": state });
        if !matches!(state, "ringing" | "invited") {
            member["participation"] = json!(self.id(&format!("participation of {user}")));
        }
        off.into_iter().for_each(|(word, tracks)| member[word] = tracks);
        member
    }

    fn state(&mut self, step: &Map<String, Value>, now_ms: u64) -> Result<Value, String> {
        let read_ms = now_ms - number(step, "read_ago_ms", 0);
        let mut rings = Vec::new();
        for ring in items(step, "rings") {
            let fields = named(ring, "invitation");
            rings.push(self.ring(&fields, now_ms, true)?);
        }
        let mut outcomes = Vec::new();
        for outcome in items(step, "outcomes") {
            let fields = named(outcome, "invitation");
            let rev = fields.get("rev").and_then(Value::as_u64);
            outcomes.push(self.outcome(text(&fields, "invitation")?, rev, now_ms)?);
        }
        let mut joinable = Vec::new();
        for meeting in items(step, "joinable") {
            let fields = named(meeting, "meeting");
            let meeting = self.id(text(&fields, "meeting")?);
            let rev = number(&fields, "rev", 1);
            joinable.push(json!({ "meeting": meeting, "rev": rev, "media": "video", "members": 2 }));
        }
        let call = match step.get("call") {
            Some(Value::Object(call)) => self.standing(call)?,
            _ => Value::Null,
        };
        Ok(json!({
            "now_ms": read_ms, "user": self.me, "name": self.me, "rings": rings, "rings_left_out": step.get("left_out") == Some(&json!(true)),
            "call": call, "joinable": joinable,
            "outcomes": outcomes,
        }))
    }

    fn standing(&mut self, call: &Map<String, Value>) -> Result<Value, String> {
        let meeting = self.id(text(call, "meeting")?);
        let here = call.get("here") != Some(&Value::Bool(false));
        let join = if here { self.join(meeting) } else { Value::Null };
        Ok(json!({ "meeting": meeting, "media": "video", "here": here, "join": join, "roster": self.roster(call)? }))
    }

    fn join(&mut self, meeting: Uuid) -> Value {
        let me = self.me.clone();
        let participation = self.id(&format!("participation of {me}"));
        json!({
            "endpoints": ["http://127.0.0.1:9"], "app": "convoke", "channel": meeting, "user": me,
            "participation": participation, "token": "t", "profile": "call", "turn": [],
        })
    }
}

fn named(item: &Value, name: &str) -> Map<String, Value> {
    match item {
        Value::Object(fields) => fields.clone(),
        word => Map::from_iter([(name.to_owned(), word.clone())]),
    }
}

fn items<'a>(step: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    step.get(name).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn text<'a>(step: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    step.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is missing"))
}

fn texts(step: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    items(step, name).map(|item| item.as_str().map(str::to_owned).ok_or_else(|| format!("{name}: {item}"))).collect()
}

pub(super) fn number(step: &Map<String, Value>, name: &str, otherwise: u64) -> u64 {
    step.get(name).and_then(Value::as_i64).map_or(otherwise, |number| number as u64)
}

pub(super) fn signed(step: &Map<String, Value>, name: &str, otherwise: i64) -> i64 {
    step.get(name).and_then(Value::as_i64).unwrap_or(otherwise)
}
