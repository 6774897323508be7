//! Routes for meetings: what goes on, what has ended, and acts in them.

use super::Api;
use super::body::Body;
use super::owner::{
    Asked, Expected, Holder, IfMatch, Items, Meetings, Named, Part, Refused, RefusedOne, Tagged, key_lost,
};
use super::rates::Asking;
use crate::meetings::{
    MeetingAct, MeetingDetails, MeetingError, MeetingFuture, MeetingStateName, MeetingSummary, TrackName,
};
use axum::Json;
use axum::extract::State;
use catalog::{MeetingPlace, MeetingState, MeetingsPage};
use problem::{Code, Problem};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// So long an act waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MeetingsQuery {
    /// Those that go on, or that have ended; both without it.
    state: Option<MeetingStateName>,
    /// Those that this user is in, is rung into or has left, or has in its history.
    user: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InviteRequest {
    /// 1 to 50; who is in or being rung is not rung again.
    users: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackRequest {
    user: String,
    /// audio without it
    #[serde(default)]
    track: TrackName,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnbanRequest {
    user: String,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KickRequest {
    user: String,
    /// For how many seconds the user cannot be invited again.
    #[serde(default)]
    ban_s: u32,
}

/// Lists meetings, those that were created last first. Ended ones are kept for 90 days.
#[utoipa::path(
    get, path = "/api/v1/meetings", tag = "meetings", security(("api_key" = ["meetings"])), params(MeetingsQuery),
    responses((status = 200, body = Items<MeetingSummary>), Refused)
)]
pub(super) async fn list_meetings(
    State(api): State<Arc<Api>>,
    _: Holder<Meetings>,
    Asked(query): Asked<MeetingsQuery>,
) -> Result<Json<Items<MeetingSummary>>, Problem> {
    let limit = Part { after: None, limit: query.limit }.limit()?;
    let state = query.state.map(|state| match state {
        MeetingStateName::Live => MeetingState::Live,
        MeetingStateName::Ended => MeetingState::Ended,
    });
    let before = query.after.as_deref().map(place).transpose()?;
    let page = MeetingsPage { state, user: query.user, before, limit: limit + 1 };
    let mut rows = api.state.meetings.list(page).await.map_err(|error| refusal("", error))?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_more).map(|(place, _)| format!("{}.{}", place.created_at_ms, place.id));
    Ok(Json(Items { items: rows.into_iter().filter_map(|(_, meeting)| meeting).collect(), next }))
}

fn place(after: &str) -> Result<MeetingPlace, Problem> {
    let place = after.split_once('.').and_then(|(at_ms, id)| {
        let created_at_ms = at_ms.parse().ok().filter(|at_ms| i64::try_from(*at_ms).is_ok())?;
        Some(MeetingPlace { created_at_ms, id: Uuid::try_parse(id).ok()? })
    });
    place.ok_or_else(|| Problem::new(Code::InvalidQuery, "after is no `next` of this list; begin without it"))
}

/// A meeting: who is in, who is rung until when, how it has ended.
#[utoipa::path(
    get, path = "/api/v1/meetings/{meeting}", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path)), responses((status = 200, body = MeetingDetails, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_meeting(
    State(api): State<Arc<Api>>,
    _: Holder<Meetings>,
    Named(meeting): Named<String>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    let id = Uuid::try_parse(&meeting).map_err(|_| refusal(&meeting, MeetingError::Unknown))?;
    answered(&meeting, api.state.meetings.find(id)).await
}

/// Who acts, and in which meeting.
struct Acting {
    api: Arc<Api>,
    holder: Holder<Meetings>,
    meeting: String,
    expected: Option<u64>,
}

impl Acting {
    async fn act(self, act: MeetingAct) -> Result<Tagged<MeetingDetails>, Problem> {
        let Self { api, holder, meeting, expected } = self;
        let id = Uuid::try_parse(&meeting).map_err(|_| refusal(&meeting, MeetingError::Unknown))?;
        let by = holder.by();
        api.rates.take(Asking::ActInMeeting, by.actor.to_string(), api.state.gate.elapsed())?;
        let turn = timeout(TURN_WITHIN, Arc::clone(&api.acts).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let words = "very many act in meetings at once; try again in a moment";
            return Err(Problem::new(Code::Unavailable, words).retry_after(1));
        };
        // The act goes on when the caller hangs up, and keeps its turn as long.
        let task = tokio::spawn(async move {
            let _turn = turn;
            api.state.meetings.act(id, act, by, expected).await
        });
        let lost = || Err(MeetingError::Unavailable("the act was not finished".to_owned()));
        answered(&meeting, Box::pin(async move { task.await.unwrap_or_else(|_| lost()) })).await
    }
}

async fn answered(
    meeting: &str,
    answer: MeetingFuture<'_, (u64, MeetingDetails)>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    let (revision, details) = answer.await.map_err(|error| refusal(meeting, error))?;
    Ok(Tagged(revision, details))
}

fn refusal(meeting: &str, error: MeetingError) -> Problem {
    match error {
        MeetingError::Unknown => {
            Problem::new(Code::NotFound, format!("there is no meeting {meeting} here; see the list of them"))
        }
        MeetingError::UnknownUser(user) => {
            Problem::new(Code::UnknownUser, format!("there is no user {user}; see the list of users"))
        }
        MeetingError::Over => {
            Problem::new(Code::MeetingOver, "the meeting is over: nothing of it can be changed; see the live ones")
        }
        MeetingError::Limit(words) => Problem::new(Code::Limit, words),
        MeetingError::NotAllowed(words) => Problem::new(Code::NotAllowed, words),
        MeetingError::Stale { present } => {
            let words =
                format!("the meeting {meeting} was changed meanwhile: its ETag is \"{present}\" now; read it again");
            Problem::new(Code::Stale, words)
        }
        MeetingError::Actor(lost) => key_lost(lost),
        MeetingError::Unavailable(cause) => {
            tracing::warn!(cause, "the meeting service did not serve a request");
            let words = "the meeting service did not answer; try again in a moment";
            Problem::new(Code::Unavailable, words).retry_after(1)
        }
    }
}

/// Rings users into a meeting, in the name of its host.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/invite", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = InviteRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn invite_to_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(InviteRequest { users }): Body<InviteRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::Invite { users }).await
}

/// Mutes the track of a member, until that person unmutes: of video the camera and the shared screen.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/mute", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = TrackRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn mute_in_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(TrackRequest { user, track }): Body<TrackRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::Mute { user, track }).await
}

/// Asks a member to unmute: nobody's microphone is opened from outside. Who is not muted is not asked.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/unmute", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = TrackRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn unmute_in_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(TrackRequest { user, track }): Body<TrackRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::AskUnmute { user, track }).await
}

/// Blocks the track of a member, until the block is lifted: of video the camera and the shared screen.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/block", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = TrackRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn block_in_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(TrackRequest { user, track }): Body<TrackRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::Block { user, track, blocked: true }).await
}

/// Lifts the block of a track, also of a user who is away.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/unblock", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = TrackRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn unblock_in_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(TrackRequest { user, track }): Body<TrackRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::Block { user, track, blocked: false }).await
}

/// Takes a member out, or ends its ring; a call of two is over by it.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/kick", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = KickRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn kick_from_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(KickRequest { user, ban_s }): Body<KickRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::Kick { user, ban_s }).await
}

/// Lifts the bans of a user, who may be invited again.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/unban", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), request_body = UnbanRequest,
    responses((status = 200, body = MeetingDetails), Refused, RefusedOne)
)]
pub(super) async fn unban_in_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
    Body(UnbanRequest { user }): Body<UnbanRequest>,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::Unban { user }).await
}

/// Ends a meeting for all who are in it, and its rings. One that is over stays as it is.
#[utoipa::path(
    post, path = "/api/v1/meetings/{meeting}/end", tag = "meetings", security(("api_key" = ["meetings"])),
    params(("meeting" = String, Path), IfMatch), responses((status = 200, body = MeetingDetails, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn end_meeting(
    State(api): State<Arc<Api>>,
    holder: Holder<Meetings>,
    Named(meeting): Named<String>,
    Expected(expected): Expected,
) -> Result<Tagged<MeetingDetails>, Problem> {
    Acting { api, holder, meeting, expected }.act(MeetingAct::End).await
}
