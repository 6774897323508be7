//! The meeting service, as the API asks it: between the values of the one and of the other.

use accounts::meetings::{
    BanDetails, BlockDetails, LeftDetails, MeetingAct, MeetingDetails, MeetingError, MeetingFuture, MeetingKind,
    MeetingStateName, MeetingSummary, Meetings, MemberDetails, RingDetails, TrackName, Tracks,
};
use catalog::{By, MeetingPlace, MeetingsPage};
use meeting::machine::{Former, Invitation, InvitationState, MediaState, Meeting, Member};
use meeting::operator::{Act, ActError, Found, Listed, Operator};
use serde::Serialize;
use signalling::{Muted, RefusalCode, Track, UserName};
use uuid::Uuid;

pub(super) struct MeetingDesk(pub(super) Operator);

impl Meetings for MeetingDesk {
    fn list(&self, page: MeetingsPage) -> MeetingFuture<'_, Vec<(MeetingPlace, Option<MeetingSummary>)>> {
        Box::pin(async move {
            let rows = self.0.list(page).await.map_err(to_error)?;
            let shown = |Listed { meeting, created_at_ms, inside, rung }: Listed| {
                summary(&meeting, created_at_ms, inside, rung)
            };
            Ok(rows.into_iter().map(|(place, listed)| (place, listed.map(shown))).collect())
        })
    }

    fn find(&self, id: Uuid) -> MeetingFuture<'_, (u64, MeetingDetails)> {
        Box::pin(async move {
            let found = self.0.find(id).await.map_err(to_error)?;
            found.map(|found| self.details(found)).ok_or(MeetingError::Unknown)
        })
    }

    fn act(
        &self,
        id: Uuid,
        act: MeetingAct,
        by: By,
        expected: Option<u64>,
    ) -> MeetingFuture<'_, (u64, MeetingDetails)> {
        Box::pin(async move {
            let found = self.0.act(id, to_act(act), by, expected).await.map_err(to_error)?;
            Ok(self.details(found))
        })
    }
}

impl MeetingDesk {
    fn details(&self, Found { meeting, revision, created_at_ms }: Found) -> (u64, MeetingDetails) {
        let ringing = u32::try_from(meeting.pending().count()).unwrap_or(u32::MAX);
        let gone =
            |former: &Former, kicked| LeftDetails { user: former.user.0.clone(), at_ms: former.left_at_ms, kicked };
        let left = meeting.former.iter().map(|former| gone(former, false));
        let mut left: Vec<_> = left.chain(meeting.kicked.iter().map(|former| gone(former, true))).collect();
        left.sort_by_key(|gone| gone.at_ms);
        let block =
            |(user, blocked): (&UserName, &Muted)| BlockDetails { user: user.0.clone(), blocked: tracks(*blocked) };
        let bans = meeting.bans.iter().filter(|ban| !self.0.is_over(ban.until_ms));
        let details = MeetingDetails {
            summary: summary(&meeting, created_at_ms, meeting.count(), ringing),
            roster: meeting.members.iter().map(|member| shown(&meeting, member)).collect(),
            rings: meeting.invitations.iter().map(ring).collect(),
            left,
            blocks: meeting.blocked.iter().map(block).collect(),
            bans: bans.map(|ban| BanDetails { user: ban.user.0.clone(), until_ms: ban.until_ms }).collect(),
        };
        (revision, details)
    }
}

fn to_act(act: MeetingAct) -> Act {
    match act {
        MeetingAct::Invite { users } => Act::Invite { users: users.into_iter().map(UserName).collect() },
        MeetingAct::Mute { user, track } => Act::Mute { user: UserName(user), track: to_track(track) },
        MeetingAct::AskUnmute { user, track } => Act::AskUnmute { user: UserName(user), track: to_track(track) },
        MeetingAct::Block { user, track, blocked } => {
            Act::Block { user: UserName(user), track: to_track(track), blocked }
        }
        MeetingAct::Kick { user, ban_s } => Act::Kick { user: UserName(user), ban_s },
        MeetingAct::Unban { user } => Act::Unban { user: UserName(user) },
        MeetingAct::End => Act::End,
    }
}

fn to_track(track: TrackName) -> Track {
    match track {
        TrackName::Audio => Track::Audio,
        TrackName::Video => Track::Video,
    }
}

fn to_error(error: ActError) -> MeetingError {
    match error {
        ActError::Unknown => MeetingError::Unknown,
        ActError::UnknownUser(user) => MeetingError::UnknownUser(user.0),
        ActError::Over => MeetingError::Over,
        ActError::Refused { code: RefusalCode::Limit, words } => MeetingError::Limit(words),
        ActError::Refused { words, .. } => MeetingError::NotAllowed(words),
        ActError::Stale { present } => MeetingError::Stale { present },
        ActError::Actor(lost) => MeetingError::Actor(lost),
        ActError::Unavailable(cause) => MeetingError::Unavailable(cause),
    }
}

/// The word that it has on the wire.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn summary(meeting: &Meeting, created_at_ms: u64, members: u32, ringing: u32) -> MeetingSummary {
    let end = meeting.end.as_ref();
    MeetingSummary {
        meeting: meeting.id.to_string(),
        state: if end.is_some() { MeetingStateName::Ended } else { MeetingStateName::Live },
        kind: if meeting.ends_below > 1 { MeetingKind::Call } else { MeetingKind::Meeting },
        media: word(meeting.media),
        title: meeting.title.clone(),
        host: meeting.host.0.clone(),
        creator: meeting.creator.as_ref().unwrap_or(&meeting.host).0.clone(),
        created_at_ms,
        ended_at_ms: end.map(|end| end.at_ms),
        reason: end.map(|end| word(end.reason)),
        members,
        ringing,
    }
}

fn shown(meeting: &Meeting, member: &Member) -> MemberDetails {
    let media = match member.media {
        _ if member.no_media => "no_media",
        MediaState::Absent => "absent",
        MediaState::There => "there",
        MediaState::Lost => "lost",
        MediaState::Closed => "closed",
    };
    MemberDetails {
        user: member.user.0.clone(),
        name: member.name.clone(),
        client_id: member.client.0.clone(),
        media: media.to_owned(),
        media_since_ms: member.media_since_ms,
        online: member.online,
        online_since_ms: member.online_since_ms,
        since_ms: member.answered_at_ms,
        muted: tracks(member.muted),
        blocked: tracks(meeting.blocked(&member.user)),
    }
}

fn tracks(Muted { audio, video }: Muted) -> Tracks {
    Tracks { audio, video }
}

fn ring(invitation: &Invitation) -> RingDetails {
    let state = match invitation.state {
        InvitationState::Invited => "invited",
        InvitationState::Ringing => "ringing",
        InvitationState::Answered { .. } => "answered",
        InvitationState::Declined { .. } => "declined",
        InvitationState::Busy => "busy",
        InvitationState::Ended { .. } => "ended",
    };
    RingDetails {
        user: invitation.user.0.clone(),
        name: invitation.name.clone(),
        by: invitation.by.0.clone(),
        state: state.to_owned(),
        until_ms: invitation.state.is_open().then(|| invitation.deadline_ms()),
    }
}
