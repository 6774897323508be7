//! The contract of `meeting::Channels`, asked of the RTC server that is part of the program, by real joins over loopback.

use anyhow::{Context, Result};
use convoke::serve::InProcessChannels;
use meeting::Channels;
use meeting::contract::{Refused, Rig, cases};
use meeting::machine::Ticket;
use rtc::token::SigningKey;
use rtc::{Owner, Rtc};
use signalling::{
    ChannelDescription, ChannelEvents, ChannelFuture, ChannelId, DesiredChannel, EventCursor, JoinClaims,
    JoinParameters, Placement,
};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use terminal::Clip;
use terminal::media::connection::{MediaConnection, MediaEvent, Setup};
use tokio::sync::mpsc;

const APP: &str = "contract";
/// No case waits for a loss, and a busy machine must not look like one.
const LOST_AFTER: Duration = Duration::from_secs(20);
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Longer than anything between two questions for events takes.
pub(crate) const LEASE: Duration = Duration::from_secs(5);

/// An RTC server in this process, its join endpoint on a free port, and terminals that join it.
struct InThisProcess {
    channels: Restartable,
    key: SigningKey,
    setup: Setup,
}

/// The channels of the server that runs now.
struct Restartable(Mutex<Running>);

/// The server stops with it.
struct Running {
    channels: InProcessChannels,
    join_endpoint: String,
    _server: Rtc,
}

impl Running {
    async fn start(key: &SigningKey) -> Result<Self> {
        let mut config = rtc::Config::new("127.0.0.1:0".parse()?, vec![key.public()]);
        config.app = APP.to_owned();
        config.shards = 2;
        config.lease = LEASE;
        (config.lost_after, config.gone_after) = (LOST_AFTER, 2 * LOST_AFTER);
        let server = Rtc::start(config)?;
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let join_endpoint = format!("http://{}", socket.local_addr()?);
        let router = server.http_router();
        tokio::spawn(async move { axum::serve(socket, router).await });
        Ok(Self { channels: InProcessChannels::new(server.channels(Owner::default())), join_endpoint, _server: server })
    }
}

impl Restartable {
    fn with<T>(&self, act: impl FnOnce(&InProcessChannels) -> T) -> T {
        act(&self.0.lock().expect("no case has failed").channels)
    }
}

impl Channels for Restartable {
    fn put(&self, channel: ChannelId, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement> {
        self.with(|channels| channels.put(channel, rev, desired))
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        self.with(|channels| channels.describe(channel))
    }

    fn list(&self) -> ChannelFuture<Vec<ChannelDescription>> {
        self.with(Channels::list)
    }

    fn events(&self, after: Option<EventCursor>) -> ChannelFuture<ChannelEvents> {
        self.with(|channels| channels.events(after))
    }
}

impl InThisProcess {
    async fn start() -> Result<Self> {
        convoke::install_crypto();
        let key = SigningKey::from_pem(&SigningKey::generate_pem()?)?;
        let channels = Restartable(Mutex::new(Running::start(&key).await?));
        let setup = Setup { http: reqwest::Client::new(), clip: Arc::new(Clip::silent()), record: None };
        Ok(Self { channels, key, setup })
    }

    fn parameters(&self, ticket: &Ticket) -> Result<JoinParameters> {
        let token = self.key.sign(&claims(ticket)?)?;
        let join_endpoint = self.channels.0.lock().expect("no case has failed").join_endpoint.clone();
        Ok(JoinParameters { endpoints: vec![join_endpoint], app: APP.to_owned(), token, ..ticket.blank() })
    }
}

fn claims(ticket: &Ticket) -> Result<JoinClaims> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(JoinClaims {
        iss: APP.to_owned(),
        aud: JoinClaims::AUDIENCE.to_owned(),
        jti: ticket.participation.to_string(),
        iat: now_s,
        exp: now_s + 60,
        channel: ticket.meeting.into(),
        participation: ticket.participation,
        user: ticket.user.clone(),
        client: meeting::alias(&ticket.client),
        rev: ticket.rev,
    })
}

/// Joins, and returns when ICE and DTLS are done.
pub(crate) async fn join(parameters: JoinParameters, setup: Setup) -> Result<MediaConnection, Refused> {
    let (sink, mut events) = mpsc::unbounded_channel();
    let connection = MediaConnection::start(parameters, setup, move |event| drop(sink.send(event)));
    loop {
        match events.recv().await.expect("a join ends with an event") {
            MediaEvent::Joined { .. } => return Ok(connection),
            MediaEvent::Failed(why) => {
                println!("  refused: {why}");
                return Err(if why.to_string().contains("503") { Refused::Retry } else { Refused::Gone });
            }
            _ => {}
        }
    }
}

impl Rig for InThisProcess {
    type Connection = MediaConnection;

    fn channels(&self) -> &dyn Channels {
        &self.channels
    }

    async fn join(&self, ticket: Ticket) -> Result<MediaConnection, Refused> {
        join(self.parameters(&ticket).expect("a ticket can be signed"), self.setup.clone()).await
    }

    /// A dropped connection closes itself at the server.
    async fn close(&self, connection: MediaConnection) {
        drop(connection);
    }

    async fn restart(&self) {
        let fresh = Running::start(&self.key).await.expect("it starts again");
        *self.channels.0.lock().expect("no case has failed") = fresh;
    }

    async fn outlive_lease(&self) {
        tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rtc_server_of_this_process_keeps_the_contract_of_channels() -> Result<()> {
    let rig = InThisProcess::start().await.context("the RTC server does not start")?;
    let cases = cases::<InThisProcess>();
    assert!(cases.len() >= 22, "{} cases", cases.len());
    for case in cases {
        println!("{}", case.name.replace('_', " "));
        case.run(&rig).await;
    }
    Ok(())
}
