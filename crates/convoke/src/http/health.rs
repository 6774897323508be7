//! `/healthz`: the process lives. `/readyz`: it serves.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub fn router(&self) -> Router {
        let health = self.clone();
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(move || health.clone().readyz()))
    }

    async fn readyz(self) -> (StatusCode, &'static str) {
        if self.ready.load(Ordering::Acquire) {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n")
        }
    }
}
