//! `GET /metrics`: what the process counts, for Prometheus (OpenMetrics 1.0 text), on a listener of its own.
//!
//! Nothing is collected between two requests: the numbers are those that the parts keep anyway.

use super::{Health, ListenerCounts};
use accounts::http::RefusalCounts;
use accounts::revocation::Revocation;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use broker::Broker;
use catalog::SetAside;
use commitlog::Log;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::fs;
use std::sync::Arc;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whom the numbers come from.
pub struct Metrics {
    pub broker: Arc<Broker>,
    pub log: Log,
    pub health: Health,
    pub revocation: Revocation,
    pub refusals: RefusalCounts,
    /// By the name of each listener.
    pub listeners: Vec<(&'static str, Arc<ListenerCounts>)>,
    pub descriptors_max: u64,
}

impl Metrics {
    /// For the listener of `/metrics` alone.
    pub fn router(self) -> Router {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let registry = Arc::new(registry);
        Router::new().route("/metrics", get(move || std::future::ready(answer(&registry))))
    }

    fn encode_broker(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.broker.stats().figures().iter().try_for_each(|figure| {
            let name = format!("convoke_broker_{}", figure.name);
            let kind = if figure.is_total { Kind::Total } else { Kind::Now };
            encode(encoder, kind, &name, figure.help, figure.value)
        })
    }

    fn encode_log(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let segments = self.log.segments();
        let count = segments.end() - segments.start() + 1;
        now(
            encoder,
            "convoke_log_segments",
            "Segments of the log, from the oldest to the one that is appended to.",
            count,
        )?;
        let first = self.log.segments().start() - 1;
        encode(
            encoder,
            Kind::Total,
            "convoke_log_given_back",
            "Segments that the log has given back since it was made.",
            first,
        )?;
        let full = u64::from(super::health::is_full(&self.log));
        now(encoder, "convoke_log_full", "1 while the log has no room for new messages.", full)
    }

    fn encode_health(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let SetAside { meetings, messages } = self.health.set_aside();
        let ready = u64::from(self.health.is_ready());
        now(encoder, "convoke_ready", "1 while the server serves all that it is asked, as /readyz says.", ready)?;
        now(encoder, "convoke_set_aside_meetings", "Meetings that cannot be read and wait for an operator.", meetings)?;
        now(encoder, "convoke_set_aside_messages", "Messages that cannot be sent and wait for an operator.", messages)
    }

    fn encode_revocation(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let figures = self.revocation.figures();
        now(
            encoder,
            "convoke_revocations_waiting",
            "Keys, credentials and devices whose connections are to end and have not ended.",
            figures.waiting,
        )?;
        let done = "Keys, credentials and devices whose connections have ended with their right.";
        encode(encoder, Kind::Total, "convoke_revocations_done", done, figures.done)?;
        let again = "Times that such an end was tried again, because the broker or the catalog had not answered.";
        encode(encoder, Kind::Total, "convoke_revocations_tried_again", again, figures.tried_again)
    }

    /// Not for each key: a name would be a label.
    fn encode_refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests to the API that were refused: 401, 403 and 429.";
        let name = "convoke_api_refusals";
        let mut family = encoder.encode_descriptor(name, help, None, Kind::Total.metric_type())?;
        for (reason, count) in self.refusals.totals() {
            Kind::Total.encode(count, family.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }

    fn encode_listeners(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Read = fn(&ListenerCounts) -> u64;
        let figures: [(Kind, &str, &str, Read); 3] = [
            (Kind::Now, "connections", "Connections.", ListenerCounts::connections),
            (
                Kind::Total,
                "all_in_use",
                "Times that all of them were in use, so that further ones wait.",
                ListenerCounts::all_in_use,
            ),
            (Kind::Total, "not_accepted", "Times that none could be accepted.", ListenerCounts::not_accepted),
        ];
        for (kind, name, help, value) in figures {
            let name = format!("convoke_http_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, kind.metric_type())?;
            for (listener, counts) in &self.listeners {
                kind.encode(value(counts), family.encode_family(&[("listener", *listener)])?)?;
            }
        }
        Ok(())
    }

    fn encode_process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            now(encoder, "process_resident_memory_bytes", "Memory of the process.", bytes)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            now(encoder, "process_open_fds", "Open files and connections.", open.count() as u64)?;
        }
        now(encoder, "process_max_fds", "Files and connections that may be open.", self.descriptors_max)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_health(&mut encoder)?;
        self.encode_broker(&mut encoder)?;
        self.encode_log(&mut encoder)?;
        self.encode_revocation(&mut encoder)?;
        self.encode_refusals(&mut encoder)?;
        self.encode_listeners(&mut encoder)?;
        self.encode_process(&mut encoder)
    }
}

/// What a number says.
#[derive(Clone, Copy)]
enum Kind {
    /// How much there is.
    Now,
    /// How often something was, from the start on.
    Total,
}

impl Kind {
    fn metric_type(self) -> MetricType {
        match self {
            Self::Now => MetricType::Gauge,
            Self::Total => MetricType::Counter,
        }
    }

    fn encode(self, value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Now => ConstGauge::new(value.cast_signed()).encode(encoder),
            Self::Total => ConstCounter::new(value).encode(encoder),
        }
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, kind: Kind, name: &str, help: &str, value: u64) -> fmt::Result {
    kind.encode(value, encoder.encode_descriptor(name, help, None, kind.metric_type())?)
}

fn now(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encode(encoder, Kind::Now, name, help, value)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn answer(registry: &Registry) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, registry) {
        Ok(()) => ([(CONTENT_TYPE, TEXT)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
