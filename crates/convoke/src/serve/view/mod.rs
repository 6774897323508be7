//! The server as its owner sees it: nothing is kept for this, each part is asked when the owner asks.

mod certificates;
mod disk;
mod settings;

pub(super) use certificates::describe as describe_certificates;
use certificates::describe_clients;

use crate::config::Config;
use crate::http::{Health, ListenerCounts};
use crate::serve::descriptors::Descriptors;
use crate::serve::endpoints::BoundAddresses;
use accounts::certificate::ClientAuthority;
use accounts::clients::Turn;
use accounts::queue_names::QueueTopicType;
use accounts::server::{
    CertificateState, DataState, LimitState, ListenerState, LogState, QUEUE_TOPICS_MAX, QueueGroupState,
    QueueTopicState, ServerState, ServerView, Setting,
};
use broker::{Broker, Stats};
use clock::Clock;
use commitlog::Log;
use disk::{DirectorySize, free_of};
use queue::{Engine, GroupProgress, TopicDescription, TopicType};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// The parts that are asked.
pub(super) struct View {
    pub(super) started: Instant,
    pub(super) started_at_ms: u64,
    pub(super) clock: Clock,
    pub(super) broker: Arc<Broker>,
    pub(super) queue: Engine,
    pub(super) log: Log,
    pub(super) health: Health,
    pub(super) bound: BoundAddresses,
    pub(super) certificates: Vec<CertificateState>,
    /// Whose client certificates let devices in.
    pub(super) clients: Option<ClientAuthority>,
    pub(super) settings: Vec<Setting>,
    pub(super) data_dir: PathBuf,
    pub(super) dev: bool,
    pub(super) maxima: Maxima,
    /// By the name of each listener.
    pub(super) http: Vec<(&'static str, Arc<ListenerCounts>)>,
}

/// What the process was given.
#[derive(Clone, Copy)]
pub(super) struct Maxima {
    connections: u64,
    http_connections: u64,
    descriptors: u64,
    /// `None`: no limit.
    memory_bytes: Option<u64>,
    log_bytes: Option<u64>,
}

impl Maxima {
    pub(super) fn new(config: &Config, descriptors: Descriptors, files_max: u64) -> Self {
        Self {
            connections: broker::Limits::default().connections_max.min(descriptors.mqtt) as u64,
            http_connections: descriptors.http as u64,
            descriptors: files_max,
            memory_bytes: Some(config.memory_bytes_max).filter(|bytes| *bytes > 0),
            log_bytes: Some(config.log_space_max).filter(|bytes| *bytes < u64::MAX),
        }
    }
}

impl ServerView for View {
    fn https_port(&self) -> u16 {
        self.bound.https.port()
    }

    fn state(&self, turn: Turn) -> Pin<Box<dyn Future<Output = ServerState> + Send + '_>> {
        Box::pin(async move {
            let (data_dir, queue) = (self.data_dir.clone(), self.queue.clone());
            // Both read what may be much.
            let looked = tokio::task::spawn_blocking(move || {
                let looked = (DirectorySize::of(&data_dir), queue.describe_all());
                drop(turn);
                looked
            });
            let (disk, topics) = looked.await.unwrap_or_default();
            self.state_with(disk, topics)
        })
    }

    fn configuration(&self) -> Vec<Setting> {
        self.settings.clone()
    }
}

impl View {
    /// As its owner is told of the configuration.
    pub(super) fn settings_of(config: &Config) -> Vec<Setting> {
        config.settings.iter().map(settings::shown).collect()
    }

    fn state_with(&self, disk: DirectorySize, topics: Vec<TopicDescription>) -> ServerState {
        let segments = self.log.segments();
        ServerState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: self.started_at_ms,
            uptime_s: self.started.elapsed().as_secs(),
            now_ms: self.clock.now_ms(),
            dev: self.dev,
            health: self.health.state(),
            data: self.data(disk),
            log: LogState {
                bytes: disk.log_bytes,
                segments: segments.end() - segments.start() + 1,
                full: self.health.is_log_full(),
            },
            listeners: self.listeners(),
            certificates: self.certificates(),
            limits: self.limits(&self.broker.stats(), disk.log_bytes),
            queue_topics: topics.len() as u64,
            queue: topics.into_iter().take(QUEUE_TOPICS_MAX).map(topic).collect(),
        }
    }

    fn data(&self, disk: DirectorySize) -> DataState {
        let free = free_of(&self.data_dir);
        DataState {
            path: self.data_dir.display().to_string(),
            used_bytes: disk.bytes,
            free_bytes: free.map(|file_system| file_system.free),
            size_bytes: free.map(|file_system| file_system.size),
        }
    }

    fn certificates(&self) -> Vec<CertificateState> {
        let of_clients = self.clients.iter().flat_map(describe_clients);
        self.certificates.iter().cloned().chain(of_clients).collect()
    }

    fn listeners(&self) -> Vec<ListenerState> {
        let BoundAddresses { mqtt, mqtts, http, https, metrics, queue, media } = self.bound;
        let listener =
            |name, address: std::net::SocketAddr, tls| ListenerState { name, address: address.to_string(), tls };
        let plain = [listener("mqtt", mqtt, false), listener("mqtts", mqtts, true), listener("http", http, false)];
        let rest = [listener("https", https, true), listener("media", media, true)];
        let more = [queue.map(|address| listener("queue", address, true))].into_iter();
        let more = more.chain([metrics.map(|address| listener("metrics", address, false))]).flatten();
        plain.into_iter().chain(rest).chain(more).collect()
    }

    fn limits(&self, stats: &Stats, log_bytes: Option<u64>) -> Vec<LimitState> {
        let Maxima { connections, http_connections, descriptors, memory_bytes, log_bytes: log_max } = self.maxima;
        let limit = |name, used, max| LimitState { name, used, max };
        let mut limits = vec![
            limit("mqtt_connections", stats.connections, Some(connections)),
            limit("sessions", stats.sessions, None),
            limit("inbox_messages", stats.inbox_messages, None),
            limit("memory_bytes", stats.held_bytes, memory_bytes),
            limit("log_bytes", log_bytes.unwrap_or_default(), log_max),
        ];
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            limits.push(limit("open_files", open.count() as u64, Some(descriptors)));
        }
        let http = self.http.iter().map(|(name, counts)| limit(name, counts.connections(), Some(http_connections)));
        limits.extend(http);
        limits
    }
}

pub(super) fn topic(description: TopicDescription) -> QueueTopicState {
    let TopicDescription { topic, topic_type, messages, delayed, bytes, groups } = description;
    let (topic, topic_type) = (topic.to_string(), type_name(topic_type));
    QueueTopicState { topic, topic_type, messages, delayed, bytes, groups: groups.into_iter().map(group).collect() }
}

fn type_name(topic_type: TopicType) -> QueueTopicType {
    match topic_type {
        TopicType::Normal => QueueTopicType::Normal,
        TopicType::Fifo => QueueTopicType::Fifo,
        TopicType::Delay => QueueTopicType::Delay,
        TopicType::Transaction => QueueTopicType::Transaction,
    }
}

fn group(progress: GroupProgress) -> QueueGroupState {
    let GroupProgress { group, waiting, in_flight, due_again } = progress;
    QueueGroupState { group: group.to_string(), waiting, in_flight, due_again }
}
