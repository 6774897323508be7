//! What the log tells of an act: little, and no name of a device.

use super::Act;
use crate::machine::{Invitation, InvitationState, Meeting};
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
        Act::Invite { .. } => ("invite", None, Some(rung(was, is))),
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
        Act::Unban { user } => {
            let until_ms = was.bans.iter().filter(|ban| ban.user == *user).map(|ban| ban.until_ms).max();
            ("unban", Some(json!({ "user": user, "until_ms": until_ms })), None)
        }
        Act::End => {
            let inside = json!({ "members": was.members.len(), "rings": was.pending().count() });
            ("end", Some(inside), is.end.as_ref().map(|end| json!({ "reason": end.reason })))
        }
    }
}

/// Those who are rung by it, and those who would have been but for another call. The others are in, or ring already.
fn rung(was: &Meeting, is: &Meeting) -> Value {
    let new = || is.invitations.iter().filter(|ring| was.invitation(ring.id).is_none());
    let users = |of: fn(&Invitation) -> bool| new().filter(|ring| of(ring)).map(|ring| &ring.user).collect::<Vec<_>>();
    let mut told = json!({ "users": users(|ring| ring.state != InvitationState::Busy) });
    let busy = users(|ring| ring.state == InvitationState::Busy);
    if !busy.is_empty() {
        told["busy"] = json!(busy);
    }
    told
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
