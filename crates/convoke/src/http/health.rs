//! `/healthz`: whether the process runs. `/readyz`: whether it serves.

use accounts::server::{HealthState, PartState};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use catalog::SetAside;
use commitlog::{Log, Need};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
    catalog: watch::Receiver<catalog::Health>,
    set_aside: watch::Receiver<SetAside>,
    log: Log,
    /// What is wrong with revocation lists of client certificates; without lists there is nothing to say.
    lists: Option<watch::Receiver<Option<String>>>,
}

impl Health {
    /// Not ready yet, nor as long as the catalog refuses writes.
    pub fn new(catalog: watch::Receiver<catalog::Health>, set_aside: watch::Receiver<SetAside>, log: Log) -> Self {
        Self { ready: Arc::default(), catalog, set_aside, log, lists: None }
    }

    /// What is wrong with revocation lists of client certificates is an owner's matter; the server serves all the same.
    pub fn with_lists(self, lists: watch::Receiver<Option<String>>) -> Self {
        Self { lists: Some(lists), ..self }
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub fn router(&self) -> Router {
        let health = self.clone();
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(move || health.clone().readyz()))
    }

    async fn readyz(self) -> (StatusCode, String) {
        let (status, words) = match self.unready_reason() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(words) => (StatusCode::SERVICE_UNAVAILABLE, words),
        };
        (status, format!("{words}{}{}", self.full_notice(), self.set_aside_notice()))
    }

    /// As its owner sees it.
    pub fn state(&self) -> HealthState {
        let refusing = self.why_no_writes();
        let SetAside { meetings, messages } = self.set_aside();
        let part = |part, detail: Option<String>| PartState { part, ok: detail.is_none(), detail };
        let waits = |count: u64, what: &str| (count > 0).then(|| format!("set aside for an operator: {count} {what}"));
        let full = self.is_log_full().then(|| "it has no room: new messages are refused".to_owned());
        let mut parts = vec![
            part("catalog", refusing.map(|why| format!("it takes no writes: {why}"))),
            part("log", full),
            part("meetings", waits(meetings, "meetings")),
            part("messages", waits(messages, "messages")),
        ];
        parts.extend(self.lists.as_ref().map(|lists| part("revocation_lists", lists.borrow().clone())));
        HealthState { ready: self.is_ready(), parts }
    }

    pub fn is_log_full(&self) -> bool {
        is_full(&self.log)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.unready_reason().is_none()
    }

    pub(super) fn set_aside(&self) -> SetAside {
        *self.set_aside.borrow()
    }

    /// What waits is delivered and acknowledged all the same.
    fn full_notice(&self) -> &'static str {
        if is_full(&self.log) { "the log has no room: new messages are refused\n" } else { "" }
    }

    /// What an operator should look at while the server serves.
    fn set_aside_notice(&self) -> String {
        let SetAside { meetings, messages } = self.set_aside();
        match meetings + messages {
            0 => String::new(),
            _ => format!("set aside for an operator: meetings {meetings}, messages {messages}\n"),
        }
    }

    fn unready_reason(&self) -> Option<String> {
        if !self.ready.load(Ordering::Acquire) {
            return Some("starting or stopping\n".to_owned());
        }
        self.why_no_writes().map(|why| format!("the catalog takes no writes: {why}\n"))
    }

    fn why_no_writes(&self) -> Option<String> {
        let health = self.catalog.borrow();
        health.failure().or(health.refusal()).map(str::to_owned)
    }
}

/// Whether the log refuses the smallest message.
pub(super) fn is_full(log: &Log) -> bool {
    log.is_full_for(Need::Normal, 0)
}
