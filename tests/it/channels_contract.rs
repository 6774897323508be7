//! The contract of `meeting::Channels`, asked of the RTC server that is part of the program, by real joins over loopback.

use anyhow::{Context, Result};
use convoke::serve::InProcessChannels;
use meeting::Channels;
use meeting::contract::{Rig, cases};
use meeting::machine::Ticket;
use rtc::token::SigningKey;
use signalling::{JoinClaims, JoinParameters};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use terminal::Clip;
use terminal::media::connection::{MediaConnection, MediaEvent, Setup};
use tokio::sync::mpsc;

const APP: &str = "contract";
/// No case waits for a loss, and a busy machine must not look like one.
const LOST_AFTER: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(15);

/// An RTC server in this process, its join endpoint on a free port, and terminals that join it.
struct InThisProcess {
    channels: InProcessChannels,
    key: SigningKey,
    join_endpoint: String,
    setup: Setup,
    /// Stops with the rig.
    _server: Arc<rtc::Rtc>,
}

impl InThisProcess {
    async fn start() -> Result<Self> {
        convoke::install_crypto();
        let key = SigningKey::from_pem(&SigningKey::generate_pem()?)?;
        let mut config = rtc::Config::new("127.0.0.1:0".parse()?, vec![key.public()]);
        config.app = APP.to_owned();
        config.shards = 2;
        (config.lost_after, config.gone_after) = (LOST_AFTER, 2 * LOST_AFTER);
        let server = Arc::new(rtc::Rtc::start(config)?);
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let join_endpoint = format!("http://{}", socket.local_addr()?);
        let router = server.http_router();
        tokio::spawn(async move { axum::serve(socket, router).await });
        let events = Arc::clone(&server);
        let channels = InProcessChannels::new(server.channels(), move || events.events());
        let setup = Setup { http: reqwest::Client::new(), clip: Arc::new(Clip::silent()), record: None };
        Ok(Self { channels, key, join_endpoint, setup, _server: server })
    }

    fn parameters(&self, ticket: &Ticket) -> Result<JoinParameters> {
        let token = self.key.sign(&claims(ticket)?)?;
        Ok(JoinParameters { endpoints: vec![self.join_endpoint.clone()], app: APP.to_owned(), token, ..ticket.blank() })
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
        client: ticket.client.to_string(),
        rights: ticket.rights,
        waiting: ticket.waiting,
    })
}

impl Rig for InThisProcess {
    type Connection = MediaConnection;

    fn channels(&self) -> &dyn Channels {
        &self.channels
    }

    async fn join(&self, ticket: Ticket) -> Option<MediaConnection> {
        let (sink, mut events) = mpsc::unbounded_channel();
        let parameters = self.parameters(&ticket).expect("a ticket can be signed");
        let connection = MediaConnection::start(parameters, self.setup.clone(), move |event| drop(sink.send(event)));
        loop {
            match events.recv().await.expect("a join ends with an event") {
                MediaEvent::Joined { .. } => return Some(connection),
                MediaEvent::Failed(why) => {
                    println!("  refused: {why}");
                    return None;
                }
                _ => {}
            }
        }
    }

    /// A dropped connection closes itself at the server.
    async fn close(&self, connection: MediaConnection) {
        drop(connection);
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rtc_server_of_this_process_keeps_the_contract_of_channels() -> Result<()> {
    let rig = InThisProcess::start().await.context("the RTC server does not start")?;
    let cases = cases::<InThisProcess>();
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for case in cases {
        println!("{}", case.name.replace('_', " "));
        case.run(&rig).await;
    }
    Ok(())
}
