//! `convoke serve`: all roles in one process, wired by their seams only.

mod banner;
pub(crate) mod channel_api;
mod channels;
mod client_certificates;
mod descriptors;
mod endpoints;
mod issuers;
mod jwks;
mod meetings;
mod messages;
mod queue_names;
mod revocation;
mod rocketmq;
mod roles;
mod router;
mod seed;
mod seeded_replay;
mod storage;
mod time_file;
mod trial;
mod view;

pub use channels::InProcessChannels;
pub use endpoints::{BoundAddresses, Endpoints};

use self::channel_api::TokenSigner;
use crate::config::Config;
use crate::http::{Health, Listener, ListenerCounts, Metrics, accept, serve};
use crate::keys::{ApiKey, Certificate, JoinKey, TokenSecret};
use accounts::http::RefusalCounts;
use anyhow::{Context, Result, bail};
use broker::Broker;
use catalog::Catalog;
use client_certificates::ClientCertificates;
use descriptors::Descriptors;
use mqtt::ReasonCode;
use roles::Directory;
use router::HttpParts;
use rtc::Rtc;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};
use view::{Maxima, View};

/// Called once by a role that cannot go on; the process ends.
pub type Fatal = Arc<dyn Fn(String) + Send + Sync>;

/// After SIGTERM, connections that are still served get so long.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stop waits for the snapshot that makes the next start a quick one.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10);

/// Taken from the reserve of descriptors.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// While the catalog refuses writes.
const WRITE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Exit status after a second signal.
const EXIT_AT_ONCE: i32 = 1;

/// Serves until SIGTERM or SIGINT, or until something fatal happened.
pub async fn run(config: Config) -> Result<()> {
    let (fatal, mut failed) = fatal_channel();
    let mut server = Server::start(&config, fatal).await?;
    // Before the banner says that the server is ready: a reader of it may send a signal.
    let mut signals = StopSignals::listen();
    banner::print(&config, &server.bound, &server.banner);
    info!(mqtt = %server.bound.mqtt, http = %server.bound.http, media = %server.bound.media, "serving");
    let failure = tokio::select! {
        () = signals.next() => None,
        failure = failed.recv() => failure,
        failure = server.meeting.failure() => Some(failure),
        failure = server.rtc.failure() => Some(failure),
    };
    match failure {
        Some(cause) => {
            error!(%cause, "cannot go on");
            bail!("{cause}")
        }
        None => {
            exit_at_next_signal(signals);
            server.stop().await
        }
    }
}

fn fatal_channel() -> (Fatal, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel(1);
    let fatal: Fatal = Arc::new(move |cause| drop(sender.try_send(cause)));
    (fatal, receiver)
}

/// SIGTERM and SIGINT from [`StopSignals::listen`] on; none is missed between two of [`StopSignals::next`].
struct StopSignals(Option<[Signal; 2]>);

impl StopSignals {
    fn listen() -> Self {
        let [Ok(terminate), Ok(interrupt)] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal) else {
            return Self(None);
        };
        Self(Some([terminate, interrupt]))
    }

    async fn next(&mut self) {
        let Some([terminate, interrupt]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// A second signal ends the process without waiting; what was acknowledged is on disk.
fn exit_at_next_signal(mut signals: StopSignals) {
    tokio::spawn(async move {
        signals.next().await;
        warn!("ended at once by a second signal");
        std::process::exit(EXIT_AT_ONCE);
    });
}

struct Keys {
    api: ApiKey,
    join: JoinKey,
    /// Of channels that keys of the API put.
    channels: JoinKey,
    token: TokenSecret,
    certificate: Certificate,
}

impl Keys {
    fn load(config: &Config) -> Result<Self> {
        let certificate = match &config.certificate {
            Some((chain, key)) => Certificate::from_files(chain, key)?,
            None => Certificate::built_in(&config.data_dir, &config.names)?,
        };
        Ok(Self {
            api: ApiKey::load_or_create(&config.data_dir)?,
            join: JoinKey::load_or_create(&config.data_dir)?,
            channels: JoinKey::of_channels(&config.data_dir)?,
            token: TokenSecret::load_or_create(&config.data_dir)?,
            certificate,
        })
    }
}

struct Server {
    bound: BoundAddresses,
    banner: banner::BannerDetails,
    storage: storage::Storage,
    rtc: Arc<Rtc>,
    broker: Arc<Broker>,
    meeting: meeting::MeetingService,
    health: Health,
    stop: watch::Sender<bool>,
    http: Vec<tokio::task::JoinHandle<()>>,
}

/// Every socket is bound before anything is served, so that a port in use is known at once.
struct Sockets {
    mqtt: TcpListener,
    mqtts: TcpListener,
    http: Listener,
    https: Listener,
    queue: Option<Listener>,
    metrics: Option<Listener>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self> {
        let (mqtt, mqtts) = roles::bind_mqtt(config)?;
        Ok(Self {
            mqtt,
            mqtts,
            http: Listener::bind(config.http, "http.listen")?,
            https: Listener::bind(config.https, "http.tls_listen")?,
            queue: config.queue.listen.map(|wanted| Listener::bind(wanted, "queue.listen")).transpose()?,
            metrics: config.metrics.map(|wanted| Listener::bind(wanted, "metrics.listen")).transpose()?,
        })
    }
}

impl Server {
    async fn start(config: &Config, fatal: Fatal) -> Result<Self> {
        let began = Instant::now();
        let files_max = descriptors::raise_limit()?;
        let mut storage = storage::open(config).await?;
        let started_at_ms = storage.clock.now_ms();
        let descriptors = Descriptors::share(files_max, config.threads)?;
        // Under the lock of the data directory: two first starts at once must not create two sets of keys.
        let keys = Keys::load(config)?;
        let clients = config.client_certificates.as_ref().map(ClientCertificates::load).transpose()?;
        let sockets = Sockets::bind(config)?;
        let rtc = roles::rtc(config, &storage.clock, &keys)?;
        let bound = BoundAddresses {
            mqtt: sockets.mqtt.local_addr()?,
            mqtts: sockets.mqtts.local_addr()?,
            http: sockets.http.address,
            https: sockets.https.address,
            metrics: sockets.metrics.as_ref().map(|listener| listener.address),
            queue: sockets.queue.as_ref().map(|listener| listener.address),
            media: rtc.local_addr(),
        };
        let endpoints = Endpoints::new(config, &bound);
        rtc.set_endpoints(endpoints.join.clone());
        trial::end(config, &storage, &keys.api).await?;
        let links = seed_names(config, &storage, &keys).await?;
        watch_catalog(&storage, &fatal);
        tokio::spawn(time_file::keep(storage.clock.clone(), config.data_dir.clone()));
        let catalog = Arc::clone(&storage.catalog);
        let directory =
            Directory::follow(config, &catalog, &keys, clients.as_ref().map(|clients| clients.authority.clone()))
                .await?;
        directory.access.reached(catalog.access().await?.revision).await;
        let mqtt = [sockets.mqtt, sockets.mqtts];
        let broker =
            roles::broker(config, descriptors, &mut storage, directory.clone(), mqtt, &keys.certificate, fatal.clone())
                .await?;
        let revocation = revocation::follow(config, &catalog, &directory, &broker, Arc::clone(&fatal));
        let meeting = roles::meeting(config, &storage, &rtc, &keys.join, &endpoints).await?;
        let health = Health::new(storage.catalog.health(), meeting.set_aside(), storage.log.clone());
        let health = match clients {
            Some(clients) => {
                let judged_by = Arc::clone(&broker);
                let judge = move || judged_by.judge_certificates();
                health.with_lists(clients.follow(judge, storage.clock.clone(), fatal))
            }
            None => health,
        };
        let default_group = config.groups.first().cloned().unwrap_or_default();
        rocketmq::make_names(&config.queue, &storage.queue).await?;
        let [plain, secure, of_queue] = [(); 3].map(|()| Arc::<ListenerCounts>::default());
        let mut http_counts = vec![("http", Arc::clone(&plain)), ("https", Arc::clone(&secure))];
        http_counts.extend(sockets.queue.as_ref().map(|_| ("queue", Arc::clone(&of_queue))));
        let access = rocketmq::KeyAccess { access: directory.access.clone(), clock: storage.clock.clone() };
        let view = View {
            started: began,
            started_at_ms,
            clock: storage.clock.clone(),
            broker: Arc::clone(&broker),
            queue: storage.queue.clone(),
            log: storage.log.clone(),
            health: health.clone(),
            bound,
            certificates: view::describe_certificates(&keys.certificate),
            clients: directory.access.load().client_authority().cloned(),
            settings: View::settings_of(config),
            data_dir: config.data_dir.clone(),
            dev: config.dev,
            maxima: Maxima::new(config, descriptors, files_max),
            http: http_counts.clone(),
        };
        let refusals = RefusalCounts::default();
        let parts = HttpParts {
            keys: &keys,
            clock: storage.clock.clone(),
            catalog,
            directory,
            broker: &broker,
            revocation: revocation.clone(),
            rtc: &rtc,
            endpoints: &endpoints,
            health: &health,
            operator: meeting.operator(),
            default_group,
            view,
            queue: storage.queue.clone(),
            signer: TokenSigner::new(&keys.channels, endpoints.join.clone(), storage.clock.clone())?,
            refusals: refusals.clone(),
        };
        let app = parts.router();
        let (stop, stopping) = watch::channel(false);
        // Not "h2": after a network was gone for a while, a browser would send all requests, the join too, over the one
        // connection whose TCP still waits to try again. With HTTP/1.1 it opens another.
        let tls = keys.certificate.server_config(&["http/1.1"])?;
        let metrics = Metrics {
            broker: Arc::clone(&broker),
            log: storage.log.clone(),
            health: health.clone(),
            revocation,
            refusals,
            listeners: http_counts,
            descriptors_max: files_max,
        };
        let (max, stopped) = (descriptors.http, stopping.clone());
        let mut http = vec![
            tokio::spawn(serve(sockets.http, None, max, plain, app.clone(), stopping.clone())),
            tokio::spawn(serve(sockets.https, Some(tls), max, secure, app, stopping)),
        ];
        if let Some(listener) = sockets.queue {
            let tls = keys.certificate.server_config(&["h2"])?;
            let server = rocketmq::server(&config.queue, &storage, access, tls, stopped.clone());
            let serve = move |stream, peer| {
                let server = server.clone();
                async move { server.serve(stream, peer).await }
            };
            http.push(tokio::spawn(accept(listener, max, of_queue, stopped.clone(), serve)));
        }
        if let Some(listener) = sockets.metrics {
            let app = metrics.router();
            http.push(tokio::spawn(serve(listener, None, METRICS_CONNECTIONS_MAX, Arc::default(), app, stopped)));
        }
        health.set_ready(true);
        let ca = keys.certificate.ca;
        let banner = banner::BannerDetails { endpoints, ca, links };
        Ok(Self { bound, banner, storage, rtc, broker, meeting, health, stop, http })
    }

    /// Stops new work, then the roles from the outside in, the log last.
    async fn stop(self) -> Result<()> {
        info!("stopping");
        self.health.set_ready(false);
        let _ = self.stop.send(true);
        self.meeting.shutdown().await;
        let broker = Arc::clone(&self.broker);
        tokio::task::spawn_blocking(move || broker.shutdown(ReasonCode::SERVER_SHUTTING_DOWN))
            .await
            .context("the broker does not stop")?;
        self.rtc.shutdown();
        let http = async {
            for task in self.http {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(STOP_TIMEOUT, http).await;
        let log = self.storage.log.clone();
        tokio::task::spawn_blocking(move || log.wait_for_snapshot(SNAPSHOT_TIMEOUT)).await?;
        self.storage.queue.close();
        self.storage.catalog.close().await;
        let log = self.storage.log.clone();
        tokio::task::spawn_blocking(move || log.close()).await?.context("the log does not close")?;
        info!("stopped");
        Ok(())
    }
}

async fn seed_names(config: &Config, storage: &storage::Storage, keys: &Keys) -> Result<Vec<(&'static str, String)>> {
    let catalog = storage.catalog.as_ref();
    seed::names(catalog, config).await?;
    if !config.dev {
        return Ok(Vec::new());
    }
    seed::dev_access_key(catalog, &config.data_dir, storage.clock.now_ms()).await?;
    seed::dev_users(catalog, &keys.api).await
}

/// A catalog that cannot be trusted any more ends the process; one that only refuses is tried again.
fn watch_catalog(storage: &storage::Storage, fatal: &Fatal) {
    let (mut health, fatal) = (storage.catalog.health(), Arc::clone(fatal));
    tokio::spawn(async move {
        if let Ok(failed) = health.wait_for(|health| health.failure().is_some()).await {
            fatal(failed.failure().unwrap_or_default().to_owned());
        }
    });
    tokio::spawn(retry_writes(Arc::clone(&storage.catalog)));
}

/// Writes may be refused for a while, as by a full disk. There may be no other write, so this one finds out
/// when it is over.
async fn retry_writes(catalog: Arc<dyn Catalog>) {
    let mut health = catalog.health();
    while health.wait_for(|health| health.refusal().is_some()).await.is_ok() {
        tokio::time::sleep(WRITE_RETRY_INTERVAL).await;
        let _ = catalog.try_write().await;
    }
}
