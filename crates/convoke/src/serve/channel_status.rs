//! `GET /api/v1/channels/{channel}`: what the RTC server knows of one channel, for operators (a key with the scope channels).

use accounts::http::Gate;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use catalog::Scope;
use problem::{Code, Problem};
use serde_json::{Value, json};
use signalling::ChannelId;

#[derive(Clone)]
pub(super) struct ChannelStatus {
    pub channels: rtc::ChannelApi,
    pub gate: Gate,
}

pub(super) fn router(status: ChannelStatus) -> Router {
    Router::new().route("/api/v1/channels/{channel}", get(channel)).with_state(status)
}

async fn channel(
    State(status): State<ChannelStatus>,
    channel: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    if let Err(problem) = status.gate.caller_with(&request.into_parts().0, Scope::Channels).await {
        return problem.into_response();
    }
    // What cannot be a name is the name of no open channel.
    let Ok(Path(channel)) = channel else { return Json(Value::Null).into_response() };
    match status.channels.describe(ChannelId(channel)).await {
        Ok(description) => Json(description.map(describe)).into_response(),
        Err(error) => Problem::new(Code::Unavailable, error.to_string()).into_response(),
    }
}

fn describe(description: rtc::ChannelDescription) -> Value {
    json!({ "participants": description.participants.iter().map(participant).collect::<Vec<_>>() })
}

fn participant(p: &rtc::Participant) -> Value {
    json!({
        "participation": p.participation,
        "user": p.user,
        "waiting": p.waiting,
        "connected": p.connected,
        "cipher": p.cipher,
        "traffic": p.traffic.iter().map(traffic).collect::<Vec<_>>(),
    })
}

fn traffic(t: &rtc::SourceTraffic) -> Value {
    json!({
        "source": t.source,
        "received": t.received,
        "forwarded": t.forwarded,
        "dropped_muted": t.dropped_muted,
        "dropped_blocked": t.dropped_blocked,
        "dropped_waiting": t.dropped_waiting,
    })
}
