//! `GET /api/v1/server`: what a page may know of its server before a login.
//!
//! A page over plain HTTP gets neither camera nor microphone, except on this machine. So it gets the port of HTTPS and
//! keeps its own host: no redirect, which would loop behind a proxy that ends TLS itself.

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

pub fn about_route(https_port: u16) -> Router {
    let answer = move || async move { about(https_port) };
    Router::new().route("/api/v1/server", get(answer))
}

fn about(https_port: u16) -> impl IntoResponse {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    (headers, Json(json!({ "https_port": https_port })))
}
