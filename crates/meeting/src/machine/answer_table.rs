//! The table of answers: request × situation → answer. Each request gets one answer, on the device that sent it, with
//! `in_reply_to`; no other signal names it.
//!
//! `docs/signalling.md` is generated from these rows; the tests play each of them.

use signalling::{EndReason, RefusalCode};

/// Which requests a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// These, by their `type`.
    Of(&'static [&'static str]),
    /// Every one about a meeting that exists, but for those that name an invitation.
    AboutMeeting,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Admitted,
    Ended(EndReason),
    /// `ended` with the reason that was decided before, as it concerns the sender.
    EndedAsDecided,
    Refused(RefusalCode),
    Ringing,
    Roster,
    /// `roster_changed`, or a whole `roster` where the sender may have missed a change.
    WhatChanged,
    Seen,
    State,
    Contacts,
    History,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    pub request: RequestKind,
    /// When, in words.
    pub when: &'static str,
    pub answer: Answer,
}

const fn row(request: &'static [&'static str], when: &'static str, answer: Answer) -> AnswerRow {
    AnswerRow { request: RequestKind::Of(request), when, answer }
}

const OF_RING: &[&str] = &["ringing", "accept", "reject"];
const OF_HOST: &[&str] = &["block", "unblock", "kick", "destroy", "mute"];
const OF_OTHERS: &[&str] = &["mute", "block", "unblock", "ask_unmute", "kick"];

/// The rows about one request are read in their order; those about many come first.
pub static ANSWERS: [AnswerRow; 50] = [
    AnswerRow {
        request: RequestKind::Any,
        when: "it cannot be read, or asks what makes no sense",
        answer: Answer::Refused(RefusalCode::Invalid),
    },
    AnswerRow {
        request: RequestKind::Any,
        when: "its payload is too large",
        answer: Answer::Refused(RefusalCode::Limit),
    },
    AnswerRow {
        request: RequestKind::Any,
        when: "the login belongs to no user",
        answer: Answer::Refused(RefusalCode::NotAllowed),
    },
    AnswerRow {
        request: RequestKind::Any,
        when: "the user asks too much at once: the first that is too much; what follows is not heard for a while",
        answer: Answer::Refused(RefusalCode::Limit),
    },
    AnswerRow {
        request: RequestKind::AboutMeeting,
        when: "it comes past its `expires_at_ms`",
        answer: Answer::Refused(RefusalCode::Expired),
    },
    AnswerRow {
        request: RequestKind::AboutMeeting,
        when: "there is no such meeting, or the sender has nothing to do with it",
        answer: Answer::Refused(RefusalCode::NotAllowed),
    },
    AnswerRow {
        request: RequestKind::AboutMeeting,
        when: "the sender was in it, or was rung, and it is over",
        answer: Answer::EndedAsDecided,
    },
    AnswerRow {
        request: RequestKind::AboutMeeting,
        when: "the sender is not in it (any more), and it goes on",
        answer: Answer::Refused(RefusalCode::NotMember),
    },
    row(&["create"], "somebody is rung, or nobody was to be", Answer::Admitted),
    row(&["create"], "its only callee rings the sender: admitted to that meeting", Answer::Admitted),
    row(&["create"], "all callees are in other calls", Answer::Ended(EndReason::Declined)),
    row(&["create"], "the sender has cancelled it before", Answer::Ended(EndReason::Cancelled)),
    row(&["create"], "its id is in use", Answer::Refused(RefusalCode::Taken)),
    row(&["create"], "the sender is in another call", Answer::Refused(RefusalCode::AlreadyInCall)),
    row(&["create"], "a callee does not exist", Answer::Refused(RefusalCode::NotAllowed)),
    row(&["create"], "there are too many callees, or it is one create too many", Answer::Refused(RefusalCode::Limit)),
    row(OF_RING, "there is no such invitation for the sender", Answer::Refused(RefusalCode::NotAllowed)),
    row(OF_RING, "another device has answered, or the ring is over", Answer::EndedAsDecided),
    row(OF_RING, "this device has answered, and is in", Answer::Admitted),
    row(&["ringing"], "the ring stands, whoever rang first", Answer::Ringing),
    row(&["accept"], "the ring stands", Answer::Admitted),
    row(&["accept"], "the sender is in another call", Answer::Refused(RefusalCode::AlreadyInCall)),
    row(&["reject"], "the ring stands", Answer::Ended(EndReason::Declined)),
    row(&["invite"], "some are rung, or all are busy, in or rung already", Answer::WhatChanged),
    row(&["invite"], "a callee does not exist, or is banned", Answer::Refused(RefusalCode::NotAllowed)),
    row(&["invite"], "there is no room, or a callee was rung too often", Answer::Refused(RefusalCode::Limit)),
    row(&["cancel"], "the meeting goes on, also where nothing was to be cancelled", Answer::WhatChanged),
    row(&["cancel"], "the call is over by it", Answer::Ended(EndReason::Cancelled)),
    row(&["cancel"], "its create has not come yet", Answer::Ended(EndReason::Cancelled)),
    row(&["cancel"], "its create was a glare, and the ring was accepted besides", Answer::Ended(EndReason::Cancelled)),
    row(&["cancel", "leave"], "its create was a glare: the sender leaves that meeting", Answer::Ended(EndReason::Left)),
    row(&["join"], "the sender is in, on whatever device", Answer::Admitted),
    row(&["join"], "the sender has left, and was not taken out", Answer::Admitted),
    row(&["join"], "the sender has left, and is in another call", Answer::Refused(RefusalCode::AlreadyInCall)),
    row(&["join"], "the sender has left, and there is no room", Answer::Refused(RefusalCode::Limit)),
    row(&["leave"], "the sender is in on this device", Answer::Ended(EndReason::Left)),
    row(&["leave"], "the sender is in on another device, which stays in", Answer::Ended(EndReason::Left)),
    row(&["leave"], "the sender has left before", Answer::Ended(EndReason::Left)),
    row(&["mute", "unmute"], "the own track", Answer::WhatChanged),
    row(OF_HOST, "of another, and the sender is not host", Answer::Refused(RefusalCode::NotHost)),
    row(OF_OTHERS, "that user is not in", Answer::Refused(RefusalCode::NotAllowed)),
    row(OF_OTHERS, "that user is in, and the meeting goes on", Answer::WhatChanged),
    row(&["block", "kick"], "too many are blocked or banned", Answer::Refused(RefusalCode::Limit)),
    row(&["kick"], "a call of two is over by it", Answer::Ended(EndReason::Left)),
    row(&["destroy"], "by the host, on whatever device", Answer::Ended(EndReason::Destroyed)),
    row(&["roster"], "the sender is in", Answer::Roster),
    row(&["state"], "always", Answer::State),
    row(&["contacts"], "always", Answer::Contacts),
    row(&["history"], "always", Answer::History),
    row(&["seen"], "always, also when there is nothing to be seen (any more)", Answer::Seen),
];
