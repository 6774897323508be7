//! `/healthz`: the process lives. `/readyz`: it serves.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
    /// Why the catalog takes no writes at the moment.
    refusing: watch::Receiver<Option<String>>,
}

impl Health {
    /// Not ready yet. `refusing`: as long as it says why writes are refused, the server is not ready either.
    pub fn new(refusing: watch::Receiver<Option<String>>) -> Self {
        Self { ready: Arc::default(), refusing }
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub fn router(&self) -> Router {
        let health = self.clone();
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(move || health.clone().readyz()))
    }

    async fn readyz(self) -> (StatusCode, String) {
        match self.trouble() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(words) => (StatusCode::SERVICE_UNAVAILABLE, words),
        }
    }

    fn trouble(&self) -> Option<String> {
        if !self.ready.load(Ordering::Acquire) {
            return Some("starting or stopping\n".to_owned());
        }
        let refusing = self.refusing.borrow();
        refusing.as_ref().map(|why| format!("the catalog takes no writes: {why}\n"))
    }
}
