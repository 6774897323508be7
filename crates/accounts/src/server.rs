//! What an owner sees of the server: the values, and the trait [`ServerView`] by which the API is given them.

use crate::clients::Turn;
use crate::queue_names::QueueTopicType;
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use utoipa::ToSchema;

/// The program, as the API sees it.
pub trait ServerView: Send + Sync {
    /// On this host.
    fn https_port(&self) -> u16;
    /// The turn is held until all has been looked at, also if nobody waits for that any more.
    fn state(&self, turn: Turn) -> Pin<Box<dyn Future<Output = ServerState> + Send + '_>>;
    fn configuration(&self) -> Vec<Setting>;
}

/// Queue topics that one answer describes, those first of which most waits.
pub const QUEUE_TOPICS_MAX: usize = 200;

/// The server at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerState {
    /// Of the program.
    pub version: String,
    /// By the clock of then.
    pub started_at_ms: u64,
    /// By a clock that nobody sets.
    pub uptime_s: u64,
    /// The service's time.
    pub now_ms: u64,
    /// A trial: loopback only, with logins that everybody knows.
    pub dev: bool,
    pub health: HealthState,
    pub data: DataState,
    pub log: LogState,
    pub listeners: Vec<ListenerState>,
    pub certificates: Vec<CertificateState>,
    pub limits: Vec<LimitState>,
    /// At most 200, those first of which most waits.
    pub queue: Vec<QueueTopicState>,
    /// How many queue topics there are.
    pub queue_topics: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthState {
    /// The server serves all that it is asked.
    pub ready: bool,
    pub parts: Vec<PartState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartState {
    #[schema(example = "catalog")]
    pub part: &'static str,
    /// Nobody has to look at it.
    pub ok: bool,
    /// What it does not do, or what waits for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DataState {
    pub path: String,
    /// What its files take of the disk. Left out, like the others: it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// What the file system has left for this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogState {
    /// What its files take of the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// From the oldest to the one that is appended to.
    pub segments: u64,
    /// New messages are refused.
    pub full: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListenerState {
    #[schema(example = "mqtt")]
    pub name: &'static str,
    #[schema(example = "0.0.0.0:1883")]
    pub address: String,
    pub tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CertificateState {
    /// Of the server, of what signed it, of the authority that terminals must trust, or of one of client certificates; or a
    /// revocation list of these, which is valid until the next is due.
    #[schema(example = "server")]
    pub of: &'static str,
    pub subject: String,
    /// Host names and addresses that it is good for.
    pub names: Vec<String>,
    pub valid_from_ms: u64,
    pub valid_until_ms: u64,
}

/// How much there is of what is limited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LimitState {
    #[schema(example = "mqtt_connections")]
    pub name: &'static str,
    pub used: u64,
    /// Left out: there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueTopicState {
    pub topic: String,
    #[serde(rename = "type")]
    pub topic_type: QueueTopicType,
    /// Messages that a group has still to consume, or that no group has received yet.
    pub messages: u64,
    /// Messages that wait for their delivery time, and are not among these.
    pub delayed: u64,
    /// What these take of the log.
    pub bytes: u64,
    pub groups: Vec<QueueGroupState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueGroupState {
    pub group: String,
    /// Never handed out.
    pub waiting: u64,
    /// Handed out, and not acknowledged.
    pub in_flight: u64,
    /// Handed out in vain, and to be handed out again.
    pub due_again: u64,
}

/// A value of the configuration, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Setting {
    #[schema(example = "mqtt.listen")]
    pub key: String,
    /// Of a secret: that it is set, not what it is.
    pub value: serde_json::Value,
    /// default, file, environment or flag
    pub origin: &'static str,
    /// The file, the variable or the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}
