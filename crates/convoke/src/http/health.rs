//! `/healthz`: whether the process runs. `/readyz`: whether it serves.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use catalog::SetAside;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
    /// Why the catalog takes no writes at the moment.
    refusing: watch::Receiver<Option<String>>,
    set_aside: watch::Receiver<SetAside>,
}

impl Health {
    /// Not ready yet. `refusing`: as long as it says why writes are refused, the server is not ready either.
    pub fn new(refusing: watch::Receiver<Option<String>>, set_aside: watch::Receiver<SetAside>) -> Self {
        Self { ready: Arc::default(), refusing, set_aside }
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub fn router(&self) -> Router {
        let health = self.clone();
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(move || health.clone().readyz()))
    }

    async fn readyz(self) -> (StatusCode, String) {
        match self.unready_reason() {
            None => (StatusCode::OK, format!("ready\n{}", self.set_aside_notice())),
            Some(words) => (StatusCode::SERVICE_UNAVAILABLE, words),
        }
    }

    /// What an operator should look at while the server serves.
    fn set_aside_notice(&self) -> String {
        let SetAside { meetings, messages } = *self.set_aside.borrow();
        match meetings + messages {
            0 => String::new(),
            _ => format!("set aside for an operator: meetings {meetings}, messages {messages}\n"),
        }
    }

    fn unready_reason(&self) -> Option<String> {
        if !self.ready.load(Ordering::Acquire) {
            return Some("starting or stopping\n".to_owned());
        }
        let refusing = self.refusing.borrow();
        refusing.as_ref().map(|why| format!("the catalog takes no writes: {why}\n"))
    }
}
