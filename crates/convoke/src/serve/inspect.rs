//! `GET /api/v1/channels/{channel}`: what the RTC server knows of one channel, for operators (API key).

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use broker::http::ApiKeys;
use catalog::Catalog;
use serde_json::{Value, json};
use signalling::ChannelId;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Inspect {
    pub channels: rtc::ChannelApi,
    pub api_keys: ApiKeys,
    pub catalog: Arc<dyn Catalog>,
}

pub(super) fn router(inspect: Inspect) -> Router {
    Router::new().route("/api/v1/channels/{channel}", get(channel)).with_state(inspect)
}

async fn channel(State(inspect): State<Inspect>, Path(channel): Path<String>, headers: HeaderMap) -> Response {
    if !inspect.may(&headers).await {
        let refusal =
            problem(StatusCode::UNAUTHORIZED, "api_key_required", "send the API key as Authorization: Bearer");
        return ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
    }
    match inspect.channels.describe(ChannelId(channel)).await {
        Ok(description) => Json(description.map(describe)).into_response(),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error.to_string()),
    }
}

impl Inspect {
    async fn may(&self, headers: &HeaderMap) -> bool {
        let given =
            headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        let Some(key) = given else { return false };
        self.api_keys.check(self.catalog.as_ref(), key).await.unwrap_or(false)
    }
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({ "status": status.as_u16(), "code": code, "title": status.canonical_reason(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
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
        "dropped_blocked": t.dropped_no_right,
        "dropped_waiting": t.dropped_waiting,
    })
}
