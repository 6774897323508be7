//! Checked values: addresses parsed, numbers in range, files named.

use super::raw::{ClientCertificates, Queue};
use super::{ConfigError, JwtIssuerConfig, Layers, Origin, Raw, Setting, Test};
use accounts::access::{check_parent, is_of_online_events};
use meeting::Rules;
use queue::{DEAD_LETTER_PREFIX, GroupName, TopicName, TopicType};
use queue_rocketmq::{OWN_GROUPS, Plaintext};
use rustls::pki_types::ServerName;
use signalling::topics::{MEETING_DOWN, RING_DOWN};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Everything that `serve` needs, ready to use.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub threads: usize,
    /// Never empty in `dev`.
    pub groups: Vec<String>,
    pub signalling: bool,
    pub mqtt: Listen,
    pub mqtts: Listen,
    pub http: Listen,
    pub https: Listen,
    /// `None`: there are none.
    pub metrics: Option<Listen>,
    pub queue: QueueConfig,
    pub media: Listen,
    pub media_advertise: Vec<IpAddr>,
    pub media_lost_after: Duration,
    pub payload_bytes_max: usize,
    /// 0: no limit.
    pub memory_bytes_max: u64,
    pub topic_chars_max: usize,
    /// PEM chain and key; `None`: the built-in authority's.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub names: Vec<String>,
    pub jwt_issuers: Vec<JwtIssuerConfig>,
    /// `None`: no certificate is asked for.
    pub client_certificates: Option<ClientCertificatesConfig>,
    pub sync_always: bool,
    /// What the log may take of the disk.
    pub log_space_max: u64,
    pub times: MeetingTimes,
    /// Empty: the meeting service is off.
    pub meeting_topics: Vec<TopicName>,
    pub members_max: usize,
    pub test: Test,
    /// Loopback only, seeded users; ports that were not configured may move.
    pub dev: bool,
    /// What an earlier `dev` has made is to go.
    pub remove_dev: bool,
    /// Each value as it was given, and by what.
    pub settings: Vec<Setting>,
}

/// The queue as services reach it.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// `None`: nobody does.
    pub listen: Option<Listen>,
    pub plaintext: Plaintext,
    /// Made at the start.
    pub topics: Vec<(TopicName, TopicType)>,
    /// True: FIFO. Else one that exists stays what it is.
    pub groups: Vec<(GroupName, bool)>,
    /// How far ahead a delivery time may lie.
    pub delay_max: Duration,
}

/// Whose certificates let devices in. The files are not read yet.
#[derive(Clone, Debug)]
pub struct ClientCertificatesConfig {
    pub ca: PathBuf,
    pub lists: Vec<PathBuf>,
    pub is_required: bool,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Where the port is in use, a free one of the next [`Listen::PORTS`] may be taken instead. Never true of an
    /// address that was configured.
    pub may_move: bool,
}

impl Listen {
    const PORTS: u16 = 50;

    /// What `open` returns for the first address that is not in use, or for the last that may be tried.
    pub fn open<T, E>(
        self,
        mut open: impl FnMut(SocketAddr) -> Result<T, E>,
        is_in_use: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut address = self.address;
        let more = if self.may_move { Self::PORTS - 1 } else { 0 };
        for _ in 0..more {
            match open(address) {
                Err(error) if is_in_use(&error) => address.set_port(address.port().wrapping_add(1)),
                opened => return opened,
            }
        }
        open(address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let further = if self.may_move { format!(" or on the next {} ports", Self::PORTS - 1) } else { String::new() };
        write!(f, "{}{further}", self.address)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeetingTimes {
    pub reach: Duration,
    pub ring: Duration,
    pub gone: Duration,
}

const PAYLOAD_BYTES_MIN: u64 = 1024;
/// The largest that the service of meetings sends.
const PAYLOAD_BYTES_MIN_SIGNALLING: u64 = 64 * 1024;
const PAYLOAD_BYTES_CEILING: u64 = 256 * 1024;
/// Enough for the largest messages of a few clients.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// What the broker and the RTC server can number.
const THREADS_MAX: usize = 64;
/// Of segments of the size that new logs have.
const LOG_SPACE_MIN: u64 = commitlog::SPACE_SEGMENTS_MIN * commitlog::SEGMENT_SIZE;
const REVOCATION_LISTS_MAX: usize = 32;
const QUEUE_NAMES_MAX: usize = 1_000;
const MEETING_TOPICS_MAX: usize = 16;
const LOST_AFTER_MS_MIN: u64 = 100;
const LOST_AFTER_MS_MAX: u64 = 60_000;

impl Config {
    pub fn check(layers: &Layers, dev: bool) -> Result<Self, ConfigError> {
        let raw = layers.merge()?;
        let check = Checker { layers };
        check.range("mqtt.topic_chars_max", raw.mqtt.topic_chars_max as u64, 64, 128)?;
        let signalling = raw.names.signalling || dev;
        let least = if signalling { PAYLOAD_BYTES_MIN_SIGNALLING } else { PAYLOAD_BYTES_MIN };
        check.range("mqtt.payload_bytes_max", raw.mqtt.payload_bytes_max as u64, least, PAYLOAD_BYTES_CEILING)?;
        if raw.mqtt.memory_bytes_max > 0 {
            check.range("mqtt.memory_bytes_max", raw.mqtt.memory_bytes_max, MEMORY_BYTES_MIN, u64::MAX)?;
        }
        check.range("server.threads", raw.server.threads as u64, 0, THREADS_MAX as u64)?;
        check.range("meeting.members_max", raw.meeting.members_max as u64, 2, Rules::MEMBERS_MAX as u64)?;
        check.range("queue.delay_max_s", raw.queue.delay_max_s, 1, queue::limits::DELAY_MAX.as_secs())?;
        check.range("media.lost_after_ms", raw.media.lost_after_ms, LOST_AFTER_MS_MIN, LOST_AFTER_MS_MAX)?;
        let listen = |key: &str, text: &str| check.listen(key, text, dev);
        Ok(Self {
            data_dir: check.data_dir(&raw.server.data_dir)?,
            threads: threads(raw.server.threads, std::thread::available_parallelism().map_or(1, usize::from)),
            groups: check.groups(&raw.names.groups, dev)?,
            signalling,
            mqtt: listen("mqtt.listen", &raw.mqtt.listen)?,
            mqtts: listen("mqtt.tls_listen", &raw.mqtt.tls_listen)?,
            http: listen("http.listen", &raw.http.listen)?,
            https: listen("http.tls_listen", &raw.http.tls_listen)?,
            metrics: match raw.metrics.listen.as_str() {
                "" => None,
                address => Some(listen("metrics.listen", address)?),
            },
            queue: check.queue(&raw.queue, dev)?,
            media: listen("media.listen", &raw.media.listen)?,
            media_advertise: check.addresses("media.advertise", &raw.media.advertise)?,
            media_lost_after: Duration::from_millis(raw.media.lost_after_ms),
            payload_bytes_max: raw.mqtt.payload_bytes_max,
            memory_bytes_max: raw.mqtt.memory_bytes_max,
            topic_chars_max: raw.mqtt.topic_chars_max,
            certificate: check.certificate(&raw)?,
            sync_always: check.sync(&raw.log.sync)?,
            log_space_max: check.log_space(raw.log.space_bytes_max)?,
            times: check.times(&raw)?,
            meeting_topics: check.meeting_topics(&raw.meeting.topics)?,
            members_max: raw.meeting.members_max,
            test: check.test(&raw)?,
            names: check.names(raw.tls.names)?,
            jwt_issuers: check.jwt_issuers(raw.jwt.issuers)?,
            client_certificates: check.client_certificates(raw.client_certificates)?,
            dev,
            remove_dev: false,
            settings: layers.settings(),
        })
    }
}

/// As configured; 0: one per core, as far as they can be numbered.
pub(super) fn threads(configured: usize, cores: usize) -> usize {
    if configured > 0 { configured } else { cores.min(THREADS_MAX) }
}

fn loopback(address: SocketAddr) -> SocketAddr {
    if address.ip().is_loopback() {
        return address;
    }
    SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port())
}

fn is_group(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (text.starts_with("GID_") || text.starts_with("GID-"))
        && (7..=64).contains(&text.len())
        && text.bytes().all(allowed)
}

pub(super) struct Checker<'a> {
    layers: &'a Layers,
}

impl Checker<'_> {
    pub(super) fn refuse(&self, key: &str, cause: impl ToString, remedy: impl ToString) -> ConfigError {
        ConfigError::Value {
            key: key.to_owned(),
            origin: self.layers.origin(key),
            cause: cause.to_string(),
            remedy: remedy.to_string(),
        }
    }

    fn range(&self, key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(self.refuse(key, format!("{value} is out of range"), format!("give {least} to {most}")))
    }

    fn address(&self, key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
        let remedy = "give address:port, for example 0.0.0.0:1883";
        SocketAddr::from_str(text).map_err(|e| self.refuse(key, format!("`{text}` is no address ({e})"), remedy))
    }

    /// In `dev` on loopback, and movable unless it was configured.
    fn listen(&self, key: &str, text: &str, dev: bool) -> Result<Listen, ConfigError> {
        let address = self.address(key, text)?;
        Ok(Listen {
            address: if dev { loopback(address) } else { address },
            may_move: dev && self.layers.origin(key) == Origin::Default,
        })
    }

    fn addresses(&self, key: &str, texts: &[String]) -> Result<Vec<IpAddr>, ConfigError> {
        let refuse = |text: &String, why: &str| {
            self.refuse(
                key,
                format!("`{text}` is no IP address that can be reached{why}"),
                "give addresses without port",
            )
        };
        let parse = |text: &String| match IpAddr::from_str(text) {
            Ok(address) if address.is_unspecified() || address.is_multicast() => Err(refuse(text, "")),
            parsed => parsed.map_err(|error| refuse(text, &format!(" ({error})"))),
        };
        texts.iter().map(parse).collect()
    }

    fn groups(&self, configured: &[String], dev: bool) -> Result<Vec<String>, ConfigError> {
        if let Some(wrong) = configured.iter().find(|group| !is_group(group)) {
            let remedy = "a Group ID is GID_ or GID- and then letters, digits, - or _, 7 to 64 characters in all";
            return Err(self.refuse("names.groups", format!("`{wrong}` is no Group ID"), remedy));
        }
        let made = if dev { vec![signalling::topics::DEV_GROUP.to_owned()] } else { Vec::new() };
        Ok(made.into_iter().chain(configured.iter().cloned()).collect())
    }

    fn data_dir(&self, text: &str) -> Result<PathBuf, ConfigError> {
        if text.is_empty() {
            return Err(self.refuse("server.data_dir", "it is empty", "name a directory"));
        }
        Ok(PathBuf::from(text))
    }

    fn names(&self, names: Vec<String>) -> Result<Vec<String>, ConfigError> {
        let host = |name: &str| name.strip_prefix("*.").unwrap_or(name).to_owned();
        let wrong = names.iter().find(|name| ServerName::try_from(host(name)).is_err());
        let refuse =
            |name| self.refuse("tls.names", format!("`{name}` is no host name"), "give host names or addresses");
        wrong.map_or(Ok(()), |name| Err(refuse(name)))?;
        Ok(names)
    }

    fn certificate(&self, raw: &Raw) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
        match (raw.tls.certificate.as_str(), raw.tls.key.as_str()) {
            ("", "") => Ok(None),
            ("", _) => Err(self.refuse("tls.certificate", "tls.key is set without it", "set both or none")),
            (_, "") => Err(self.refuse("tls.key", "tls.certificate is set without it", "set both or none")),
            (certificate, key) => Ok(Some((certificate.into(), key.into()))),
        }
    }

    fn client_certificates(&self, raw: ClientCertificates) -> Result<Option<ClientCertificatesConfig>, ConfigError> {
        let ClientCertificates { ca, revocation_lists: lists, required: is_required } = raw;
        let key = "client_certificates.revocation_lists";
        if lists.len() > REVOCATION_LISTS_MAX {
            let cause = format!("{} files are too many", lists.len());
            return Err(self.refuse(key, cause, format!("name {REVOCATION_LISTS_MAX} at most")));
        }
        match (ca.as_str(), is_required, lists.is_empty()) {
            ("", false, true) => Ok(None),
            ("", true, _) => {
                let key = "client_certificates.required";
                Err(self.refuse(key, "there is no authority", "set client_certificates.ca too"))
            }
            ("", false, false) => Err(self.refuse(key, "there is no authority", "set client_certificates.ca too")),
            _ => {
                let lists = lists.into_iter().map(PathBuf::from).collect();
                Ok(Some(ClientCertificatesConfig { ca: ca.into(), lists, is_required }))
            }
        }
    }

    fn queue(&self, raw: &Queue, dev: bool) -> Result<QueueConfig, ConfigError> {
        let listen = match raw.listen.as_str() {
            "" => None,
            address => Some(self.listen("queue.listen", address, dev)?),
        };
        let plaintext = match raw.plaintext.as_str() {
            "loopback" => Plaintext::Loopback,
            "always" => Plaintext::Always,
            "never" => Plaintext::Never,
            other => {
                let remedy = "give \"loopback\", \"always\" or \"never\"";
                return Err(self.refuse("queue.plaintext", format!("`{other}` is unknown"), remedy));
            }
        };
        let topic = |text: &str| {
            let (name, topic_type) = text.split_once(':').unwrap_or((text, ""));
            let topic_type = match topic_type {
                "" | "normal" => TopicType::Normal,
                "fifo" => TopicType::Fifo,
                "delay" => TopicType::Delay,
                _ => return None,
            };
            let name = TopicName::parse(name).ok()?;
            (!name.as_str().starts_with(DEAD_LETTER_PREFIX)).then_some((name, topic_type))
        };
        let group = |text: &str| {
            let (name, is_fifo) = text.strip_suffix(":fifo").map_or((text, false), |name| (name, true));
            let group = GroupName::parse(name).ok()?;
            (!name.starts_with(OWN_GROUPS) && TopicName::dead_letters_of(&group).is_ok()).then_some((group, is_fifo))
        };
        Ok(QueueConfig {
            listen,
            plaintext,
            topics: self.queue_names("queue.topics", &raw.topics, topic)?,
            groups: self.queue_names("queue.groups", &raw.groups, group)?,
            delay_max: Duration::from_secs(raw.delay_max_s),
        })
    }

    fn queue_names<N>(
        &self,
        key: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Option<N>,
    ) -> Result<Vec<N>, ConfigError> {
        if texts.len() > QUEUE_NAMES_MAX {
            let cause = format!("{} names are too many", texts.len());
            return Err(self.refuse(key, cause, format!("give {QUEUE_NAMES_MAX} at most")));
        }
        let parse = |text: &String| {
            let remedy = format!(
                "use up to 120 letters, digits, - and _, beginning neither with {DEAD_LETTER_PREFIX} nor with {OWN_GROUPS}; \
                 :fifo may follow, and of a topic :delay"
            );
            parse(text).ok_or_else(|| self.refuse(key, format!("`{text}` is no name of it"), remedy))
        };
        texts.iter().map(parse).collect()
    }

    fn sync(&self, text: &str) -> Result<bool, ConfigError> {
        match text {
            "always" => Ok(true),
            "os" => Ok(false),
            other => Err(self.refuse("log.sync", format!("`{other}` is unknown"), "give \"always\" or \"os\"")),
        }
    }

    fn test(&self, raw: &Raw) -> Result<Test, ConfigError> {
        let refuse = |name| self.refuse("test.fault", format!("no seeded bug is named `{name}`"), "see config/test.rs");
        Test::check(raw).map_err(refuse)
    }

    /// 0: all that the disk has.
    fn log_space(&self, bytes: u64) -> Result<u64, ConfigError> {
        match bytes {
            0 => Ok(u64::MAX),
            LOG_SPACE_MIN.. => Ok(bytes),
            _ => {
                let cause = format!("{bytes} bytes are too little for the log to go on");
                Err(self.refuse(
                    "log.space_bytes_max",
                    cause,
                    format!("give at least {LOG_SPACE_MIN}, or 0 for no limit"),
                ))
            }
        }
    }

    fn meeting_topics(&self, texts: &[String]) -> Result<Vec<TopicName>, ConfigError> {
        let key = "meeting.topics";
        if texts.len() > MEETING_TOPICS_MAX {
            let cause = format!("{} topics are too many", texts.len());
            return Err(self.refuse(key, cause, format!("give {MEETING_TOPICS_MAX} at most")));
        }
        let mut seen = BTreeSet::new();
        let is_of_answers = |text: &str| [RING_DOWN, MEETING_DOWN].contains(&text) || is_of_online_events(text);
        let parse = |text: &String| {
            let allowed = check_parent(text).is_ok() && !is_of_answers(text) && seen.insert(text.to_ascii_lowercase());
            let topic = TopicName::parse(text).ok().filter(|_| allowed);
            let remedy = "give parent topics of 3 to 64 letters, digits, - or _, each once, and none of those that carry answers";
            topic.ok_or_else(|| self.refuse(key, format!("`{text}` cannot be one for requests"), remedy))
        };
        texts.iter().map(parse).collect()
    }

    fn times(&self, raw: &Raw) -> Result<MeetingTimes, ConfigError> {
        const DAY_S: u64 = 24 * 3600;
        self.range("meeting.reach_s", raw.meeting.reach_s, 1, DAY_S)?;
        self.range("meeting.ring_s", raw.meeting.ring_s, 5, 180)?;
        self.range("meeting.gone_s", raw.meeting.gone_s, 1, 600)?;
        Ok(MeetingTimes {
            reach: Duration::from_secs(raw.meeting.reach_s),
            ring: Duration::from_secs(raw.meeting.ring_s),
            gone: Duration::from_secs(raw.meeting.gone_s),
        })
    }
}
