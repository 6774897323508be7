//! Addresses of this server, as the API and invitations give them to terminals.

use crate::config::Config;
use std::net::SocketAddr;

/// The addresses that were bound.
#[derive(Clone, Copy, Debug)]
pub struct BoundAddresses {
    pub mqtt: SocketAddr,
    pub mqtts: SocketAddr,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub metrics: Option<SocketAddr>,
    pub queue: Option<SocketAddr>,
    pub media: SocketAddr,
}

/// Links and addresses built from the first configured name, else `localhost`.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pub mqtt: String,
    pub mqtts: String,
    pub mqtt_ws: String,
    pub api: String,
    /// Join endpoints, best first.
    pub join: Vec<String>,
}

impl Endpoints {
    /// `--dev` pages are served over plain HTTP, which browsers trust on `localhost` only; elsewhere everything that
    /// a page needs goes over TLS.
    pub fn new(config: &Config, bound: &BoundAddresses) -> Self {
        let host = config.names.first().map_or("localhost", String::as_str);
        let (plain, tls) = (bound.http.port(), bound.https.port());
        let (api, mqtt_ws) = if config.dev {
            (format!("http://{host}:{plain}"), format!("ws://{host}:{plain}/mqtt"))
        } else {
            (format!("https://{host}:{tls}"), format!("wss://{host}:{tls}/mqtt"))
        };
        Self {
            mqtt: format!("mqtt://{host}:{}", bound.mqtt.port()),
            mqtts: format!("mqtts://{host}:{}", bound.mqtts.port()),
            mqtt_ws,
            join: vec![api.clone()],
            api,
        }
    }

    /// As the devices API returns them.
    pub fn for_terminals(&self) -> accounts::http::Endpoints {
        accounts::http::Endpoints {
            mqtts: Some(self.mqtts.clone()),
            mqtt: Some(self.mqtt.clone()),
            mqtt_ws: Some(self.mqtt_ws.clone()),
            api: format!("{}/api/v1", self.api),
            join: self.join.clone(),
        }
    }

    /// Origins that the server's pages connect to.
    pub fn origins(&self) -> Vec<String> {
        let socket = self.mqtt_ws.trim_end_matches("/mqtt").to_owned();
        self.join.iter().cloned().chain([socket]).collect()
    }
}
