//! What the terminals of a random walk told their people, and the laws that it must obey whatever happened in between.
//!
//! Events are those of a headless terminal, of all its lives in their order; each life begins with `started`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a person sees on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub is_synchronised: bool,
    /// Meetings by the invitations that ring.
    pub rings: BTreeMap<String, String>,
    pub calls: BTreeSet<String>,
    /// Whether the microphone is off, by call.
    pub is_silent: BTreeMap<String, bool>,
}

impl View {
    /// After these events on a device of `user`.
    pub fn after(events: &[Value], user: &str) -> Self {
        events.iter().fold(Self::default(), |view, event| view.with(event, user))
    }

    fn with(mut self, event: &Value, user: &str) -> Self {
        let (invitation, meeting) = (text(event, "invitation"), text(event, "meeting"));
        match text(event, "event").as_str() {
            "started" => return Self::default(),
            "disconnected" => self.is_synchronised = false,
            "synchronised" => self.is_synchronised = true,
            "ring" => drop(self.rings.insert(invitation, meeting)),
            "ring_ended" | "missed" => drop(self.rings.remove(&invitation)),
            "admitted" => {
                self.rings.retain(|_, of| *of != meeting);
                if self.calls.insert(meeting.clone()) {
                    self.is_silent.insert(meeting, is_silent(&event["roster"], user));
                }
            }
            "ended" if event["user"].is_null() => {
                self.calls.remove(&meeting);
            }
            "muted" if event["track"] == "audio" => drop(self.is_silent.insert(meeting, true)),
            "requested" if event["type"] == "unmute" => self.is_silent.values_mut().for_each(|silent| *silent = false),
            _ => {}
        }
        self
    }
}

/// Whether a roster says that this member's microphone is off.
pub fn is_silent(roster: &Value, user: &str) -> bool {
    let member = roster["members"].as_array().into_iter().flatten().find(|member| member["user"] == user);
    member.is_some_and(|member| member["muted"]["audio"] == true)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    Rings,
    /// The process was killed while it rang.
    Interrupted,
    Over,
}

/// Per invitation and device one ring or one missed entry, and no ring after its end.
pub fn ring_violations(events: &[Value]) -> Vec<String> {
    let (mut rings, mut missed, mut violations) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for event in events {
        let invitation = text(event, "invitation");
        match text(event, "event").as_str() {
            "started" => rings.values_mut().for_each(|(ring, _)| {
                if *ring == Ring::Rings {
                    *ring = Ring::Interrupted;
                }
            }),
            "ring" => {
                let before = rings.insert(invitation.clone(), (Ring::Rings, text(event, "meeting")));
                match before.map(|(ring, _)| ring) {
                    Some(Ring::Over) => violations.push(format!("{invitation} rings after its end")),
                    Some(Ring::Rings) => violations.push(format!("{invitation} rings twice")),
                    Some(Ring::Interrupted) if event["resumed"] != true => {
                        violations.push(format!("{invitation} rings as a new one after a restart"));
                    }
                    _ => {}
                }
            }
            "ring_ended" => drop(rings.insert(invitation, (Ring::Over, String::new()))),
            "missed" => {
                if !missed.insert(invitation.clone()) {
                    violations.push(format!("{invitation} is told as missed twice"));
                }
                rings.insert(invitation, (Ring::Over, String::new()));
            }
            "admitted" => {
                let meeting = text(event, "meeting");
                rings.values_mut().filter(|(_, of)| *of == meeting).for_each(|(ring, _)| *ring = Ring::Over);
            }
            "failed" | "unreadable" => violations.push(format!("the terminal could not go on: {event}")),
            _ => {}
        }
    }
    violations
}

/// An admission that is older than an end of the same meeting does not come after it. Each signal counts once, as it came
/// first.
pub fn order_violations(signals: &[Value]) -> Vec<String> {
    let (mut ends, mut violations) = (BTreeMap::new(), Vec::new());
    for signal in signals {
        let (meeting, rev) = (text(signal, "meeting"), signal["rev"].as_u64().unwrap_or_default());
        match text(signal, "type").as_str() {
            "ended" if signal["invitation"].is_null() && signal["user"].is_null() => drop(ends.insert(meeting, rev)),
            "admitted" if ends.get(&meeting).is_some_and(|end| rev < *end) => {
                violations.push(format!("admitted to {meeting} of revision {rev} after the end of a later one"));
            }
            _ => {}
        }
    }
    violations
}

/// Requests that change nothing: one that is delivered again is answered again.
const QUESTIONS: [&str; 4] = ["state", "contacts", "roster", "history"];

/// Each request on disk, given by id and type, has one answer.
pub fn answer_violations<'a>(requests: impl IntoIterator<Item = (&'a str, &'a str)>, signals: &[Value]) -> Vec<String> {
    let mut answers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for signal in signals {
        if let Some(request) = signal["in_reply_to"].as_str() {
            answers.entry(request).or_default().insert(format!("{} {}", text(signal, "type"), text(signal, "id")));
        }
    }
    let count = |request: &str| answers.get(request).map_or(0, BTreeSet::len);
    let is_well = |request: &str, kind: &str| match count(request) {
        0 => false,
        1 => true,
        _ => QUESTIONS.contains(&kind),
    };
    let asked: BTreeSet<_> = requests.into_iter().collect();
    let wrong = asked.into_iter().filter(|(request, kind)| !is_well(request, kind));
    wrong.map(|(request, kind)| format!("{kind} {request} has the answers {:?}", answers.get(request))).collect()
}

/// What the service has as missed was told on the device.
pub fn missed_violations(outcomes: &[Value], events: &[Value]) -> Vec<String> {
    let is = |event: &&Value| event["event"] == "missed";
    let told: BTreeSet<String> = events.iter().filter(is).map(|event| text(event, "invitation")).collect();
    let untold = outcomes.iter().map(|outcome| text(outcome, "invitation")).filter(|one| !told.contains(one));
    untold.map(|invitation| format!("{invitation} was missed, and nobody was told")).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ring(resumed: bool) -> Value {
        json!({ "event": "ring", "invitation": "i", "meeting": "m", "resumed": resumed })
    }

    fn event(name: &str) -> Value {
        json!({ "event": name, "invitation": "i", "meeting": "m" })
    }

    #[test]
    fn a_ring_that_goes_on_after_a_restart_and_is_then_missed_is_accepted() {
        let events = [event("started"), ring(false), event("started"), ring(true), event("missed")];
        assert_eq!(ring_violations(&events), Vec::<String>::new());
    }

    #[test]
    fn each_bad_life_of_a_ring_is_caught() {
        for (events, words) in [
            (vec![ring(false), ring(false)], "rings twice"),
            (vec![ring(false), event("started"), ring(false)], "as a new one"),
            (vec![ring(false), event("ring_ended"), ring(false)], "after its end"),
            (vec![ring(false), event("admitted"), event("started"), ring(true)], "after its end"),
            (vec![event("missed"), event("started"), ring(false)], "after its end"),
            (vec![event("missed"), event("missed")], "missed twice"),
            (vec![event("failed")], "could not go on"),
        ] {
            let violations = ring_violations(&events);
            assert!(violations.len() == 1 && violations[0].contains(words), "{words}: {violations:?}");
        }
    }

    #[test]
    fn a_view_is_what_the_person_sees() {
        let roster = json!({ "members": [{ "user": "bob", "muted": { "audio": true } }] });
        let admitted = json!({ "event": "admitted", "meeting": "m", "roster": roster });
        let view = View::after(&[event("started"), event("synchronised"), ring(false)], "bob");
        assert!(view.is_synchronised && view.rings.contains_key("i"));
        let view = View::after(&[ring(false), admitted.clone()], "bob");
        assert!(view.rings.is_empty() && view.calls.contains("m") && view.is_silent["m"]);
        let unmute = json!({ "event": "requested", "type": "unmute" });
        assert!(!View::after(&[admitted.clone(), unmute], "bob").is_silent["m"]);
        assert_eq!(View::after(&[admitted.clone(), event("ended")], "bob").calls.len(), 0);
        assert_eq!(View::after(&[admitted, event("started")], "bob"), View::default());
    }

    #[test]
    fn an_older_admission_after_an_end_is_caught_and_a_newer_one_is_not() {
        let signal = |kind: &str, rev: u64| json!({ "type": kind, "meeting": "m", "rev": rev });
        assert_eq!(order_violations(&[signal("admitted", 3), signal("ended", 4), signal("admitted", 6)]).len(), 0);
        assert_eq!(order_violations(&[signal("ended", 4), signal("admitted", 3)]).len(), 1);
    }

    #[test]
    fn a_request_without_an_answer_and_one_with_two_are_caught() {
        let answer = |id: &str, to: &str| json!({ "type": "refused", "id": id, "in_reply_to": to });
        let signals = [answer("1", "a"), answer("1", "a"), answer("2", "b"), answer("3", "b")];
        assert_eq!(answer_violations([("a", "leave"), ("b", "state")], &signals).len(), 0);
        assert_eq!(answer_violations([("b", "leave"), ("c", "state")], &signals).len(), 2);
    }

    #[test]
    fn a_missed_call_that_nobody_was_told_of_is_caught() {
        let outcomes = [json!({ "invitation": "i" })];
        assert_eq!(missed_violations(&outcomes, &[event("missed")]).len(), 0);
        assert_eq!(missed_violations(&outcomes, &[ring(false)]).len(), 1);
    }
}
