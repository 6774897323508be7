//! The contract of `meeting::Channels` once more, asked of a whole server over HTTP, as a service asks that is not built in.

use crate::channels_contract::{LEASE, PATIENCE, join};
use crate::support::program;
use anyhow::{Context, Result};
use demo::Stage;
use meeting::Channels;
use meeting::contract::{Refused, Rig, cases};
use meeting::machine::Ticket;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalling::{
    ChannelDescription, ChannelError, ChannelEvents, ChannelFuture, ChannelId, DesiredChannel, EventCursor,
    JoinParameters, Placement,
};
use std::sync::Arc;
use std::time::Duration;
use terminal::Clip;
use terminal::media::connection::{MediaConnection, Setup};
use tokio::sync::Mutex;

/// No case waits for a loss, and a busy machine must not look like one.
const SETTINGS: [&str; 4] =
    ["meeting.topics=[]", "media.lost_after_ms=20000", "meeting.gone_s=40", "test.channel_lease_s=5"];

/// The channels of the server's keys.
#[derive(Clone)]
struct OverHttp {
    http: reqwest::Client,
    api: String,
    key_id: String,
    secret: String,
}

impl OverHttp {
    async fn ask<T: DeserializeOwned>(
        self,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<T, ChannelError> {
        let unavailable = |error: reqwest::Error| ChannelError::Unavailable(error.to_string());
        let mut request = self.http.request(method, format!("{}{path}", self.api));
        request = request.basic_auth(&self.key_id, Some(&self.secret));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(unavailable)?;
        match answer.status() {
            StatusCode::OK => answer.json().await.map_err(unavailable),
            StatusCode::PRECONDITION_FAILED => Err(present(&answer).map_or_else(
                || ChannelError::Unavailable("it is stale, and the present revision is not said".to_owned()),
                |present| ChannelError::Stale { present },
            )),
            StatusCode::CONFLICT => Err(ChannelError::Limit(answer.text().await.map_err(unavailable)?)),
            status => Err(ChannelError::Unavailable(format!("{status}: {}", answer.text().await.unwrap_or_default()))),
        }
    }
}

fn present(answer: &Response) -> Option<u64> {
    answer.headers().get("etag")?.to_str().ok()?.trim_matches('"').parse().ok()
}

impl Channels for OverHttp {
    fn put(&self, channel: ChannelId, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement> {
        let body = json!({ "rev": rev, "desired": desired });
        Box::pin(self.clone().ask(Method::PUT, format!("/channels/{channel}"), Some(body)))
    }

    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        Box::pin(self.clone().ask(Method::GET, format!("/channels/{channel}"), None))
    }

    fn list(&self) -> ChannelFuture<Vec<ChannelDescription>> {
        let asked = self.clone().ask(Method::GET, "/channels".to_owned(), None);
        Box::pin(async move {
            let list: Value = asked.await?;
            serde_json::from_value(list["items"].clone()).map_err(|error| ChannelError::Unavailable(error.to_string()))
        })
    }

    fn events(&self, after: Option<EventCursor>) -> ChannelFuture<ChannelEvents> {
        let after = after.map_or(String::new(), |at| format!("?epoch={}&sequence={}", at.epoch, at.sequence));
        Box::pin(self.clone().ask(Method::GET, format!("/channels:events{after}"), None))
    }
}

/// A whole server, and terminals that join its channels.
struct Server {
    stage: Mutex<Stage>,
    channels: OverHttp,
    setup: Setup,
}

impl Rig for Server {
    type Connection = MediaConnection;

    fn channels(&self) -> &dyn Channels {
        &self.channels
    }

    async fn join(&self, ticket: Ticket) -> Result<MediaConnection, Refused> {
        let who = json!({
            "participation": ticket.participation, "user": ticket.user, "client": meeting::alias(&ticket.client),
            "rev": ticket.rev,
        });
        let path = format!("/channels/{}/tokens", ticket.meeting);
        let grant: Value = self.channels.clone().ask(Method::POST, path, Some(who)).await.expect("a token is signed");
        let text = |name: &str| grant[name].as_str().expect("it is there").to_owned();
        let endpoints = serde_json::from_value(grant["endpoints"].clone()).expect("a list of addresses");
        let parameters = JoinParameters { endpoints, app: text("app"), token: text("token"), ..ticket.blank() };
        join(parameters, self.setup.clone()).await
    }

    async fn close(&self, connection: MediaConnection) {
        drop(connection);
    }

    async fn restart(&self) {
        let mut stage = self.stage.lock().await;
        stage.kill_server().await.expect("it runs");
        stage.start_server().await.expect("it starts again");
    }

    async fn outlive_lease(&self) {
        tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_the_contract_of_channels_over_http() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &SETTINGS)?;
    stage.start_server().await?;
    let login = stage.access_key()?;
    let text = |name: &str| login[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let (http, api) = (reqwest::Client::new(), stage.url("/api/v1"));
    let channels = OverHttp { http: http.clone(), api, key_id: text("key_id")?, secret: text("secret")? };
    let setup = Setup { http, clip: Arc::new(Clip::silent()), record: None };
    let server = Server { stage: Mutex::new(stage), channels, setup };
    for case in cases::<Server>() {
        println!("{}", case.name.replace('_', " "));
        case.run(&server).await;
    }
    Ok(())
}
