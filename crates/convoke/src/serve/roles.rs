//! The roles of the process, each started from the configuration.

use super::Keys;
use super::channels::{InProcessChannels, MEETINGS};
use super::descriptors::Descriptors;
use super::endpoints::Endpoints;
use super::seed;
use super::storage::Storage;
use crate::config::Config;
use crate::http::Listener;
use crate::keys::{Certificate, JoinKey};
use accounts::access::{AccessConfig, AccessView, TopicLimit, TopicOfCalls};
use accounts::certificate::ClientAuthority;
use accounts::login::DeviceDirectory;
use accounts::token::TokenKey;
use anyhow::{Context, Result};
use broker::Broker;
use catalog::{Catalog, Right, Rights, Rule};
use clock::Clock;
use meeting::{JoinSigner, MeetingService, Rules};
use queue::Queue;
use rtc::token::SigningKey;
use rtc::{Owner, Rtc, StartError};
use signalling::topics::{INSTANCE, RING_DOWN};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The RTC role.
pub(super) fn rtc(config: &Config, clock: &Clock, keys: &Keys) -> Result<Arc<Rtc>> {
    let JoinKey { kid, public_pem, .. } = &keys.join;
    let meetings = rtc::token::JoinKey::from_pem(kid, public_pem).context("keys/join.pem cannot be used")?;
    let others = SigningKey::from_pem(&keys.channels.private_pem).context("keys/channels.pem cannot be used")?.public();
    let keys = vec![meetings.of(Owner::from(MEETINGS)), others.of(Owner::from(INSTANCE))];
    let mut settings = rtc::Config::new(config.media.address, keys);
    settings.advertised.clone_from(&config.media_advertise);
    settings.shards = config.threads;
    settings.clock = clock.clone();
    settings.app = INSTANCE.to_owned();
    settings.lost_after = config.media_lost_after;
    settings.lease = config.test.channel_lease.unwrap_or(settings.lease);
    settings.gone_after = config.times.gone;
    settings.limits = rtc::Limits::for_meetings_of(config.members_max);
    let start = |media_addr| Rtc::start(rtc::Config { media_addr, ..settings.clone() });
    let is_in_use =
        |error: &StartError| matches!(error, StartError::Bind { cause, .. } if cause.kind() == ErrorKind::AddrInUse);
    let started = config.media.open(start, is_in_use);
    Ok(Arc::new(started.context("the RTC server does not start on media.listen")?))
}

/// What the broker and the devices API know of accounts.
#[derive(Clone)]
pub(super) struct Directory {
    pub(super) access: AccessView,
    pub(super) devices: DeviceDirectory,
}

impl Directory {
    pub(super) async fn follow(
        config: &Config,
        catalog: &Arc<dyn Catalog>,
        keys: &Keys,
        clients: Option<ClientAuthority>,
    ) -> Result<Self> {
        let topic_limit = u16::try_from(config.topic_chars_max).ok().and_then(TopicLimit::new).unwrap_or_default();
        let token_key = Some(TokenKey::new(INSTANCE, keys.token.bytes()));
        let issuers = super::issuers::start(&config.jwt_issuers)?;
        let owner_key = keys.api.name();
        let access = AccessConfig {
            instance: INSTANCE.to_owned(),
            topic_limit,
            token_key,
            issuers,
            owner_key,
            client_authority: clients,
            calls: calls(config),
        };
        let access = AccessView::follow(Arc::clone(catalog), access).await.context("cannot read the catalog")?;
        Ok(Self { access, devices: DeviceDirectory::start(Arc::clone(catalog), &Handle::current()) })
    }
}

/// Requests go up, and signals come down to whom the service of meetings names, and to nobody else.
fn calls(config: &Config) -> Vec<TopicOfCalls> {
    let to_service = [Right::Subscribe, Right::P2p].into_iter().collect();
    let to_devices: Rights = [Right::Publish, Right::Subscribe, Right::P2p].into_iter().collect();
    let closed = |rule| if rule == Rule::ToQueue { to_service } else { to_devices };
    let of_calls = |(parent, rule)| {
        let closed = closed(rule);
        TopicOfCalls { parent, rule: config.signalling.then_some(rule), closed }
    };
    seed::parents_of_calls(&config.meeting_topics).into_iter().map(of_calls).collect()
}

/// Topic and properties of a packet get as much beside the payload as by default.
fn limits(config: &Config, descriptors: Descriptors) -> broker::Limits {
    let default = broker::Limits::default();
    let more = config.payload_bytes_max.saturating_sub(default.payload_bytes_max) as u32;
    broker::Limits {
        connections_max: default.connections_max.min(descriptors.mqtt),
        payload_bytes_max: config.payload_bytes_max,
        packet_bytes_max: default.packet_bytes_max + more,
        memory_bytes_max: config.memory_bytes_max,
        ..default
    }
}

/// The broker role on sockets that are bound already.
pub(super) async fn broker(
    config: &Config,
    descriptors: Descriptors,
    storage: &mut Storage,
    directory: Directory,
    sockets: [TcpListener; 2],
    certificate: &Certificate,
    fatal: super::Fatal,
) -> Result<Arc<Broker>> {
    let [plain, tls] = sockets;
    let settings = broker::Config {
        listeners: vec![
            broker::Listener { bind: broker::Bind::Socket(plain), tls: None },
            broker::Listener {
                bind: broker::Bind::Socket(tls),
                tls: Some(certificate.mqtt_config(directory.access.load().client_authority())?),
            },
        ],
        threads: config.threads,
        limits: limits(config, descriptors),
        urgent_parents: vec![RING_DOWN.to_owned()],
    };
    let deps = broker::Deps {
        log: storage.log.clone(),
        recovery: std::mem::take(&mut storage.inboxes),
        clock: storage.clock.clone(),
        queue: Arc::new(storage.queue.clone()),
        access: directory.access,
        removed_devices: storage.catalog.removed_devices().await.context("cannot read the catalog")?,
        devices: directory.devices,
        runtime: Handle::current(),
        on_fatal: Arc::new(move |cause| fatal(cause.to_string())),
    };
    Ok(Arc::new(Broker::start(settings, deps).await.context("the broker does not start")?))
}

/// The meeting role, on the RTC role of this process.
pub(super) async fn meeting(
    config: &Config,
    storage: &Storage,
    rtc: &Arc<Rtc>,
    key: &JoinKey,
    endpoints: &Endpoints,
) -> Result<MeetingService> {
    let millis = |d: std::time::Duration| d.as_millis() as u64;
    let times = &config.times;
    let rules = Rules {
        reach_ms: millis(times.reach),
        ring_ms: millis(times.ring),
        gone_ms: millis(times.gone),
        members_max: config.members_max,
        ..Rules::default()
    };
    let settings = meeting::Config {
        rules,
        topics: config.meeting_topics.clone(),
        endpoints: endpoints.join.clone(),
        fault: config.test.meeting,
        ..meeting::Config::default()
    };
    let signer = JoinSigner::from_pem(INSTANCE, &key.kid, &key.private_pem).context("keys/join.pem cannot be used")?;
    let channels = InProcessChannels::new(rtc.channels(Owner::from(MEETINGS)));
    #[cfg(feature = "faults")]
    let channels = channels.dying_before_blocks(config.test.dies_before_blocks);
    let channels = Arc::new(channels);
    let queue: Arc<dyn Queue> = Arc::new(storage.queue.clone());
    let catalog = Arc::clone(&storage.catalog);
    MeetingService::start(settings, storage.clock.clone(), queue, catalog, channels, signer)
        .await
        .context("the meeting service does not start")
}

pub(super) fn bind_mqtt(config: &Config) -> Result<(TcpListener, TcpListener)> {
    let plain = Listener::bind(config.mqtt, "mqtt.listen")?.into_std()?;
    let tls = Listener::bind(config.mqtts, "mqtt.tls_listen")?.into_std()?;
    Ok((plain, tls))
}
