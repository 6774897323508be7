//! What the log tells of an act: little, and no name of a device.

use super::Act;
use crate::machine::Meeting;
use catalog::{AuditEntry, By, Kind};
use serde_json::{Value, json};
use signalling::{Muted, Track, UserName};

pub(super) fn entry(act: &Act, by: &By, was: &Meeting, is: &Meeting) -> AuditEntry {
    let (action, before, after) = told(act, was, is);
    let (by, subject) = (by.clone(), is.id.to_string());
    AuditEntry { by, action: action.to_owned(), kind: Kind::Meeting, subject, before, after }
}

/// The action, how it was and how it is.
fn told(act: &Act, was: &Meeting, is: &Meeting) -> (&'static str, Option<Value>, Option<Value>) {
    match act {
        Act::Invite { users } => ("invite", None, Some(json!({ "users": users }))),
        Act::AskUnmute { user, track } => ("ask_unmute", None, Some(json!({ "user": user, "track": track }))),
        Act::Mute { user, track } => {
            let of = |meeting: &Meeting| meeting.member(user).map(|member| state(user, *track, "muted", member.muted));
            ("mute", of(was), of(is))
        }
        Act::Block { user, track, blocked } => {
            let of = |meeting: &Meeting| Some(state(user, *track, "blocked", meeting.blocked(user)));
            (if *blocked { "block" } else { "unblock" }, of(was), of(is))
        }
        Act::Kick { user, ban_s } => {
            let ban = (*ban_s > 0).then(|| json!({ "user": user, "ban_s": ban_s }));
            ("kick", Some(json!({ "user": user, "was": place(was, user) })), ban)
        }
        Act::End => {
            let inside = json!({ "members": was.members.len(), "rings": was.pending().count() });
            ("end", Some(inside), is.end.as_ref().map(|end| json!({ "reason": end.reason })))
        }
    }
}

fn state(user: &UserName, track: Track, name: &str, of: Muted) -> Value {
    let value = match track {
        Track::Audio => of.audio,
        Track::Video => of.video,
    };
    json!({ "user": user, "track": track, name: value })
}

/// Where a user was who is kicked.
fn place(meeting: &Meeting, user: &UserName) -> &'static str {
    if meeting.member(user).is_some() {
        "in"
    } else if meeting.pending_for(user).is_some() {
        "ringing"
    } else {
        "left"
    }
}
