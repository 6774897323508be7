//! The RTC server as one value: its start (sockets, shards, join endpoint), the handles to it, and its end.

use crate::api::{ChannelApi, Node};
use crate::channel::{BookConfig, ChannelConfig, OwnerLimits};
use crate::config::{Config, StartError};
use crate::feed::{FeedConfig, Feeds};
use crate::join_endpoint::{self, JoinEndpoint};
use crate::metrics::{Metrics, Stats};
use crate::negotiation_permits::NegotiationPermits;
use crate::negotiator::Negotiator;
use crate::owner::Owner;
use crate::shard::{FailureSender, MAX_SHARDS, ShardConfig, ShardThread, socket};
use crate::shards::Shards;
use crate::{sys, token};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks for channels that nobody needs, at most.
const SWEEP_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// A running RTC server. Dropping it stops it.
pub struct Rtc {
    local_addr: SocketAddr,
    shards: Arc<Shards>,
    join_endpoint: Arc<JoinEndpoint>,
    metrics: Arc<Metrics>,
    node: Arc<Node>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    failed: FailureSender,
}

impl Rtc {
    /// Opens the media port and starts the media threads.
    ///
    /// # Errors
    /// [`StartError`]: the thing, the cause, the remedy.
    pub fn start(config: Config) -> Result<Self, StartError> {
        if !(1..=MAX_SHARDS).contains(&config.shards) {
            return Err(StartError::Shards(config.shards));
        }
        let sockets = socket::bind(config.media_addr, config.shards)
            .map_err(|cause| StartError::Bind { addr: config.media_addr, cause })?;
        let local_addr =
            socket::local_addr(&sockets).map_err(|cause| StartError::Bind { addr: config.media_addr, cause })?;
        let candidates = candidates(&config, local_addr)?;
        let metrics = Arc::new(Metrics::default());
        let feeds = Arc::new(Feeds::new(feed_config(&config), metrics.clone()));
        let mut starting = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            let shard = shard_config(&config, index, &candidates, &metrics, &feeds);
            starting.push(ShardThread::prepare(shard, socket).map_err(|cause| StartError::Thread { cause })?);
        }
        let shards = Arc::new(Shards { mailboxes: starting.iter().map(ShardThread::mailbox).collect() });
        let name = config.node.clone();
        let node = Arc::new(Node { name, endpoints: OnceLock::new(), shards: shards.clone(), feeds });
        let join_endpoint = Arc::new(build_join_endpoint(config, candidates, &shards, &metrics)?);
        let server = Self {
            local_addr,
            shards,
            join_endpoint,
            metrics,
            node,
            threads: Mutex::default(),
            failed: FailureSender::new(None),
        };
        server.spawn(starting).map_err(|cause| StartError::Thread { cause })?;
        tracing::info!(%local_addr, shards = server.shards.mailboxes.len(), "media port open");
        Ok(server)
    }

    fn spawn(&self, starting: Vec<ShardThread>) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for shard in starting {
            threads.push(shard.spawn(self.shards.mailboxes.clone(), self.failed.clone())?);
        }
        Ok(())
    }

    /// Where media is received.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The join endpoint (`POST /rtc/v1/join`), to be merged into the server's router.
    pub fn http_router(&self) -> axum::Router {
        join_endpoint::router(self.join_endpoint.clone())
    }

    /// Sets the base addresses of the join endpoint, as owners of channels are told them; once.
    pub fn set_endpoints(&self, endpoints: Vec<String>) {
        if self.node.endpoints.set(endpoints).is_err() {
            tracing::warn!("the join endpoint has its addresses already");
        }
    }

    /// The channels of one owner.
    pub fn channels(&self, owner: Owner) -> ChannelApi {
        ChannelApi::new(self.node.clone(), owner)
    }

    /// Waits until a media thread has ended by itself, which only a defect can cause: its channels have ended, so the
    /// process should end then and start again. Until then it waits for ever.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_default(),
            // Not before the server itself is gone.
            Err(_) => std::future::pending().await,
        }
    }

    pub fn stats(&self) -> Stats {
        self.metrics.snapshot()
    }

    /// Closes every peer, and blocks until the media threads have ended (milliseconds). Repeated calls
    /// do nothing.
    pub fn shutdown(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        self.node.feeds.stop();
        for mailbox in &self.shards.mailboxes {
            mailbox.stop();
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a media thread had panicked");
            }
        }
    }
}

impl Drop for Rtc {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn shard_config(
    config: &Config,
    index: usize,
    candidates: &[SocketAddr],
    metrics: &Arc<Metrics>,
    feeds: &Arc<Feeds>,
) -> ShardConfig {
    ShardConfig {
        index,
        candidates: candidates.to_vec(),
        book: book_config(config),
        sweep_interval: (config.lease / 4).min(SWEEP_INTERVAL_MAX),
        metrics: metrics.clone(),
        feeds: feeds.clone(),
    }
}

fn book_config(config: &Config) -> BookConfig {
    let channel = ChannelConfig {
        lost_after: config.lost_after,
        gone_after: config.gone_after,
        join_timeout: config.join_timeout,
        peers_max: config.limits.peers_per_channel,
        participations_max: config.limits.participations_per_channel,
    };
    BookConfig {
        channel,
        channels_max: config.limits.channels,
        owner: OwnerLimits {
            channels: config.limits.channels_per_owner,
            participations: config.limits.participations_per_owner,
        },
        ended_max: config.limits.ended_channels,
        ended_kept: config.token_life_max + Duration::from_secs(token::AHEAD_MAX_S),
        early_kept: config.lease,
    }
}

fn feed_config(config: &Config) -> FeedConfig {
    FeedConfig {
        // Another number at each start, and small enough for every reader of JSON.
        epoch: config.clock.now_ms(),
        lease: config.lease,
        owners_max: config.limits.owners,
        events_max: config.limits.events_per_owner,
    }
}

fn build_join_endpoint(
    config: Config,
    candidates: Vec<SocketAddr>,
    shards: &Arc<Shards>,
    metrics: &Arc<Metrics>,
) -> Result<JoinEndpoint, StartError> {
    let certificate = || StartError::Certificate;
    Ok(JoinEndpoint {
        shards: shards.clone(),
        negotiator: Negotiator::new(candidates).ok_or_else(certificate)?,
        keys: config.keys,
        issuer: config.app,
        clock: config.clock,
        token_life_max: config.token_life_max,
        join_wait: config.join_wait,
        offer_bytes: config.limits.offer_bytes,
        media_sections: config.limits.media_sections,
        metrics: metrics.clone(),
        negotiation_permits: NegotiationPermits::new(),
    })
}

/// The addresses that terminals send to.
fn candidates(config: &Config, local: SocketAddr) -> Result<Vec<SocketAddr>, StartError> {
    let with_port = |ip: IpAddr| SocketAddr::new(ip, local.port());
    if !config.advertised.is_empty() {
        return Ok(config.advertised.iter().copied().map(with_port).collect());
    }
    if !local.ip().is_unspecified() {
        return Ok(vec![local]);
    }
    let all = sys::interface_addresses().map_err(|cause| StartError::NoAddress { cause })?;
    let usable: Vec<IpAddr> = all.into_iter().filter(|ip| ip.is_ipv4() || local.is_ipv6()).collect();
    let outward: Vec<IpAddr> = usable.iter().copied().filter(|ip| !ip.is_loopback()).collect();
    let chosen = if outward.is_empty() { usable } else { outward };
    if chosen.is_empty() {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "every interface is down");
        return Err(StartError::NoAddress { cause });
    }
    Ok(chosen.into_iter().map(with_port).collect())
}
