//! The configuration file as it is written: every section and key with its default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    pub server: Server,
    pub names: Names,
    pub mqtt: Mqtt,
    pub http: Http,
    pub metrics: Metrics,
    pub queue: Queue,
    pub media: Media,
    pub tls: Tls,
    pub jwt: Jwt,
    pub client_certificates: ClientCertificates,
    pub log: Log,
    pub meeting: Meeting,
    #[cfg(feature = "faults")]
    pub test: Test,
}

/// Seeded bugs, and sizes for tests.
#[cfg(feature = "faults")]
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Test {
    /// One of those in `config/test.rs`, or nothing.
    pub fault: String,
    /// Size of a new log's segments; 0: as ever.
    pub segment_bytes: u64,
    /// Below so many bytes the log keeps all its segments; 0: as ever.
    pub reclaim_above_bytes: u64,
    /// How long channels stay open whose owner asks for no events; 0: as ever.
    pub channel_lease_s: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where everything that must survive is kept.
    pub data_dir: String,
    /// Broker workers and media shards, each, at most 64; 0 = one per core.
    pub threads: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// Group IDs that are made at the first start that names them; the first is that of devices registered without one.
    pub groups: Vec<String>,
    /// Makes the parent topics of call signalling, once, and lets end users of the groups publish requests.
    pub signalling: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// MQTT over TCP.
    pub listen: String,
    /// MQTT over TLS.
    pub tls_listen: String,
    /// Largest PUBLISH payload, 1024 to 262144 bytes; with signalling at least 65536.
    pub payload_bytes_max: usize,
    /// Longest topic, 64 to 128.
    pub topic_chars_max: usize,
    /// Memory of messages and buffers of all clients together, at least 16777216 bytes; beyond it publishes and logins are
    /// refused. 0 = no limit.
    pub memory_bytes_max: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Web terminal, API, MQTT over WebSocket, join endpoint.
    pub listen: String,
    /// The same over TLS.
    pub tls_listen: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// `GET /metrics` for Prometheus, plain and without a login: for this machine or a network that you trust. Empty: none.
    pub listen: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// RocketMQ 5 gRPC, with TLS and in clear on one port. Empty: none.
    pub listen: String,
    /// From where requests in clear are taken: `loopback`, `always` or `never`.
    pub plaintext: String,
    /// Queue topics that are made at the start, beside those of parent topics; at most 1000. `name:fifo` is one of messages that
    /// have a message group, `name:delay` one of messages that have a delivery time.
    pub topics: Vec<String>,
    /// Consumer groups that are made at the start; at most 1000. `name:fifo` is one whose consumers take the messages of a message
    /// group one after the other.
    pub groups: Vec<String>,
    /// How far ahead the delivery time of a message may lie; 1 to 259200.
    pub delay_max_s: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// Media over UDP.
    pub listen: String,
    /// Addresses that terminals can reach; empty: those of this machine's interfaces.
    pub advertise: Vec<String>,
    /// Without an authenticated packet for so long a connection counts as lost; 100 to 60000.
    pub lost_after_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM chain; empty: a certificate of the built-in authority.
    pub certificate: String,
    /// PEM key of `certificate`.
    pub key: String,
    /// Further names and addresses in the built-in certificate, and the first of them in links.
    pub names: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientCertificates {
    /// PEM bundle of authorities whose certificates let registered devices in at `mqtt.tls_listen`; each is trusted
    /// by itself that no other one of them has signed. Empty: no certificate is asked for.
    pub ca: String,
    /// Files with one revocation list each (PEM or DER, at most 16 MiB), signed by an authority of `ca`, at most 32. They are
    /// looked at every second. With any, each authority needs one.
    pub revocation_lists: Vec<String>,
    /// Refuses who connects to `mqtt.tls_listen` without a certificate.
    pub required: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    /// Whose JWTs let registered devices in, one `[[jwt.issuers]]` each, at most 32.
    pub issuers: Vec<JwtIssuer>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwtIssuer {
    /// In the user name: `JWT|<name>|convoke`.
    pub name: String,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must name.
    pub audience: String,
    /// The claim that names the user whose device it is.
    pub user_claim: String,
    /// The claim that names the client id `<GroupID>@@@<DeviceID>`.
    pub client_id_claim: String,
    /// Where its JWK set is: https, or http on this machine. Empty: nowhere.
    pub jwks_url: String,
    /// PEM of the authority that `jwks_url` is trusted by; empty: those that the system trusts.
    pub jwks_ca: String,
    /// Files with public keys in PEM (Ed25519, P-256, RSA), by their `kid`.
    pub keys: BTreeMap<String, String>,
    /// File with a secret for HS256, 32 bytes at least, without white space around it. Empty: no JWT with HS256 is taken.
    pub hs256_secret: String,
    /// How far the clocks of the issuer and of this server may differ, 0 to 60.
    pub leeway_s: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What all files of the log may take together, at least 402653184 bytes (384 MiB); 0 = what the disk has. At the limit
    /// new messages are refused as on a full disk.
    pub space_bytes_max: u64,
    /// `always` survives a power cut, `os` survives the process.
    pub sync: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Meeting {
    /// Parent topics whose requests the meeting service of this server answers, at most 16. None: it is off, and a service of
    /// your own runs the meetings.
    pub topics: Vec<String>,
    /// Create to first ringing, 1 to 86400.
    pub reach_s: u64,
    /// Ringing to answer, 5 to 180.
    pub ring_s: u64,
    /// Without media and without signalling for so long a member has left, 1 to 600.
    pub gone_s: u64,
    /// In, ringing or within reach in one meeting, 2 to 200. One request still names at most 50 callees.
    pub members_max: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self { data_dir: "data".into(), threads: 0 }
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:1883".into(),
            tls_listen: "0.0.0.0:8883".into(),
            payload_bytes_max: 64 * 1024,
            topic_chars_max: 64,
            memory_bytes_max: 1 << 30,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "0.0.0.0:8080".into(), tls_listen: "0.0.0.0:8443".into() }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".into() }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8081".into(),
            plaintext: "loopback".into(),
            topics: Vec::new(),
            groups: Vec::new(),
            delay_max_s: queue::limits::DELAY.as_secs(),
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self { listen: "0.0.0.0:7700".into(), advertise: Vec::new(), lost_after_ms: 4_000 }
    }
}

impl Default for JwtIssuer {
    fn default() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            audience: String::new(),
            user_claim: "sub".into(),
            client_id_claim: "client_id".into(),
            jwks_url: String::new(),
            jwks_ca: String::new(),
            keys: BTreeMap::new(),
            hs256_secret: String::new(),
            leeway_s: 10,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { space_bytes_max: 0, sync: "always".into() }
    }
}

impl Default for Meeting {
    fn default() -> Self {
        let topics = vec![signalling::topics::MEETING_UP.to_owned()];
        Self { topics, reach_s: 45, ring_s: 45, gone_s: 20, members_max: 50 }
    }
}
