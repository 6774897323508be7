//! `convoke meetings`: meetings that go on or have ended, and acts in them.

use super::call::{Call, Removal};
use super::table::{Column, moment, text};
use super::time::Span;
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List meetings, the newest first; ended ones are kept for 90 days.
    List {
        /// Those that go on, or that have ended.
        #[arg(long)]
        state: Option<State>,
        /// Those of this user.
        #[arg(long)]
        user: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Show a meeting: who is in, who is rung until when, how it has ended.
    Show {
        /// The id, as the list has it.
        meeting: String,
    },
    /// Ring users into a meeting, in the name of its host.
    Invite {
        meeting: String,
        #[arg(required = true, num_args = 1..=50, value_name = "USER")]
        users: Vec<String>,
    },
    /// Mute a member; the person may unmute. --video is all that can be seen, a shared screen too.
    Mute(Member),
    /// Ask a member who is muted to unmute: nobody's microphone is opened from outside.
    Unmute(Member),
    /// Block a member: nothing of the track passes until the block is lifted, with --video neither camera nor screen.
    Block(Member),
    /// Lift a block, also of a user who is away.
    Unblock(Member),
    /// Take a member out, or end its ring; a call of two is over by it.
    Kick {
        meeting: String,
        user: String,
        /// For so long the user cannot be invited again (90s, 10m, 1h).
        #[arg(long, value_name = "TIME")]
        ban: Option<Span>,
        #[command(flatten)]
        removal: Removal,
    },
    /// Lift a ban: the user may be invited again.
    Unban { meeting: String, user: String },
    /// End a meeting for all who are in it.
    End {
        meeting: String,
        #[command(flatten)]
        removal: Removal,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum State {
    Live,
    Ended,
}

/// Whose track of which meeting.
#[derive(Debug, Args)]
pub(crate) struct Member {
    meeting: String,
    user: String,
    /// The camera, not the microphone.
    #[arg(long)]
    video: bool,
}

const LIST: &[Column] = &[
    Column::new("MEETING", "meeting", text),
    Column::new("STATE", "", state),
    Column::new("KIND", "kind", text),
    Column::new("HOST", "host", text),
    Column::new("IN", "members", text),
    Column::new("RINGING", "ringing", text),
    Column::new("CREATED", "created_at_ms", moment),
    Column::new("ENDED", "ended_at_ms", moment),
];
const CARD: &[Column] = &[
    Column::new("MEETING", "meeting", text),
    Column::new("STATE", "", state),
    Column::new("KIND", "kind", text),
    Column::new("MEDIA", "media", text),
    Column::new("TITLE", "title", text),
    Column::new("CREATOR", "creator", text),
    Column::new("HOST", "host", text),
    Column::new("CREATED", "created_at_ms", moment),
    Column::new("ENDED", "ended_at_ms", moment),
    Column::new("IN", "roster", roster),
    Column::new("RINGS", "rings", rings),
    Column::new("LEFT", "left", left),
    Column::new("BLOCKED", "blocks", blocks),
    Column::new("BANNED", "bans", bans),
];
const NOTHING: &str = "There are no such meetings.";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { state, user, limit } => {
                let state = state.map(|state| match state {
                    State::Live => "live",
                    State::Ended => "ended",
                });
                Call::list("meetings", LIST, limit, NOTHING).with("state", state).with("user", user)
            }
            Self::Show { meeting } => Call::show(format!("the meeting {meeting}"), &["meetings", &meeting], CARD),
            Self::Invite { meeting, users } => {
                let (what, path) = (format!("invite into the meeting {meeting}"), ["meetings", &meeting, "invite"]);
                Call::told_of(what, &path, json!({ "users": users }), users, invited)
            }
            Self::Mute(member) => member.act("mute", "is muted, until that person unmutes"),
            Self::Unmute(member) => member.act("unmute", "is asked to unmute if muted"),
            Self::Block(member) => member.act("block", "is blocked"),
            Self::Unblock(member) => member.act("unblock", "is not blocked any more"),
            Self::Kick { meeting, user, ban, removal } => {
                let what = format!("Take {user} out of the meeting {meeting}");
                let body = json!({ "user": user, "ban_s": ban.map_or(0, |ban| ban.seconds) });
                let said = format!("{user} is out of the meeting.");
                let call = Call::order(&what, &["meetings", &meeting, "kick"], &removal, text).done(said);
                Call { body: Some(body), ..call }
            }
            Self::Unban { meeting, user } => {
                let (what, path) = (format!("lift the ban of {user}"), ["meetings", &meeting, "unban"]);
                let said = format!("{user} may be invited again.");
                Call::change(what, Method::POST, &path, json!({ "user": user }), said)
            }
            Self::End { meeting, removal } => {
                let what = format!("End the meeting {meeting} for all");
                let said = "The meeting is over.".to_owned();
                Call::order(&what, &["meetings", &meeting, "end"], &removal, text).done(said)
            }
        })
    }
}

impl Member {
    fn act(self, verb: &str, said: &str) -> Call {
        let Self { meeting, user, video } = self;
        let (track, of) = if video { ("video", "camera") } else { ("audio", "microphone") };
        let what = format!("{verb} {user} in the meeting {meeting}");
        let body = json!({ "user": user, "track": track });
        Call::change(what, Method::POST, &["meetings", &meeting, verb], body, format!("{user} {said}: {of}."))
    }
}

fn state(meeting: &Value) -> String {
    match meeting["reason"].as_str() {
        Some(_) => format!("ended ({})", text(&meeting["reason"])),
        None => text(&meeting["state"]),
    }
}

/// Each entry in words, with commas.
fn each(entries: &Value, words: impl Fn(&Value) -> String) -> String {
    entries.as_array().into_iter().flatten().map(words).collect::<Vec<_>>().join(", ")
}

fn roster(members: &Value) -> String {
    each(members, |member| {
        let flags = [("muted", "audio", "muted"), ("muted", "video", "camera off")];
        let blocks = [("blocked", "audio", "blocked"), ("blocked", "video", "camera blocked")];
        let said = flags.into_iter().chain(blocks).filter(|(of, track, _)| member[of][track] == true);
        let said: String = said.map(|(.., word)| format!(", {word}")).collect();
        let device = text(&member["client_id"]);
        format!("{} ({device}; media {}{said})", text(&member["user"]), text(&member["media"]))
    })
}

fn rings(rings: &Value) -> String {
    each(rings, |ring| {
        let until =
            if ring["until_ms"].is_u64() { format!(" until {}", moment(&ring["until_ms"])) } else { String::new() };
        format!("{} ({}{until})", text(&ring["user"]), text(&ring["state"]))
    })
}

fn left(left: &Value) -> String {
    let kicked = |entry: &Value| if entry["kicked"] == true { ", kicked" } else { "" };
    each(left, |entry| format!("{} ({}{})", text(&entry["user"]), moment(&entry["at_ms"]), kicked(entry)))
}

fn blocks(blocks: &Value) -> String {
    each(blocks, |block| {
        let tracks = [("audio", "microphone"), ("video", "video")].into_iter();
        let tracks: Vec<_> = tracks.filter(|(track, _)| block["blocked"][track] == true).map(|(_, of)| of).collect();
        format!("{} ({})", text(&block["user"]), tracks.join(" and "))
    })
}

fn bans(bans: &Value) -> String {
    each(bans, |ban| format!("{} (until {})", text(&ban["user"]), moment(&ban["until_ms"])))
}

/// How it is now with those who were to be rung: not each is, who was in, was rung already, or is in another call.
fn invited(meeting: &Value, users: &[String]) -> Vec<String> {
    let entries = |list: &str| meeting[list].as_array().cloned().unwrap_or_default();
    let (roster, rings) = (entries("roster"), entries("rings"));
    let words = |user: &String| {
        if roster.iter().any(|member| member["user"] == **user) {
            return "is in the meeting".to_owned();
        }
        // The last one counts.
        let ring = rings.iter().rev().find(|ring| ring["user"] == **user);
        match ring.and_then(|ring| ring["state"].as_str()) {
            Some("invited") => "is rung".to_owned(),
            Some("ringing") => "rings".to_owned(),
            Some("busy") => "is in another call, and finds a missed one".to_owned(),
            Some(state) => format!("is not rung ({state})"),
            None => "is not rung".to_owned(),
        }
    };
    users.iter().map(|user| format!("{user} {}", words(user))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::table::card;

    #[test]
    fn a_card_says_who_is_in_and_who_is_rung_until_when() {
        let no = json!({ "audio": false, "video": false });
        let ann = json!({ "user": "ann", "client_id": "GID_a@@@1", "media": "there", "muted": { "audio": true, "video": false }, "blocked": no });
        let rings =
            json!([{ "user": "bob", "state": "ringing", "until_ms": 1000 }, { "user": "cleo", "state": "busy" }]);
        let blocks = json!([{ "user": "dan", "blocked": { "audio": true, "video": true } }]);
        let bans = json!([{ "user": "eve", "until_ms": 1000 }]);
        let meeting = json!({ "state": "live", "roster": [ann], "rings": rings, "left": [{ "user": "dan", "at_ms": 2000, "kicked": true }], "blocks": blocks, "bans": bans });
        let lines = card(&CARD[9..], &meeting);
        let expected = [
            "in       ann (GID_a@@@1; media there, muted)",
            "rings    bob (ringing until 1970-01-01 00:00:01Z), cleo (busy)",
            "left     dan (1970-01-01 00:00:02Z, kicked)",
            "blocked  dan (microphone and video)",
            "banned   eve (until 1970-01-01 00:00:01Z)",
        ];
        assert_eq!(lines, expected);
        assert_eq!(state(&json!({ "state": "ended", "reason": "destroyed" })), "ended (destroyed)");
    }

    #[test]
    fn of_each_who_was_invited_it_is_said_how_it_is() {
        let rings = json!([
            { "user": "bob", "state": "busy" }, { "user": "cleo", "state": "declined" },
            { "user": "cleo", "state": "invited" }, { "user": "dan", "state": "ringing" }
        ]);
        let meeting = json!({ "roster": [{ "user": "ann" }], "rings": rings });
        let users = ["ann", "bob", "cleo", "dan", "eve"].map(str::to_owned);
        let expected = [
            "ann is in the meeting",
            "bob is in another call, and finds a missed one",
            "cleo is rung",
            "dan rings",
            "eve is not rung",
        ];
        assert_eq!(invited(&meeting, &users), expected);
    }
}
