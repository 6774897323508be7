//! What a person reads on standard output once the server is ready.

use crate::say;

use super::endpoints::{Bound, Endpoints};
use crate::config::Config;
use crate::http::PAGES_MISSING;
use std::path::PathBuf;

/// What a person is told besides the addresses.
pub(super) struct Told {
    pub endpoints: Endpoints,
    pub ca: Option<PathBuf>,
    /// Users and the secrets of their login links.
    pub links: Vec<(&'static str, String)>,
}

pub(super) fn print(config: &Config, bound: &Bound, told: &Told) {
    let Told { endpoints, ca, links } = told;
    say("Convoke is ready.");
    say(format_args!("  MQTT           {} (TLS: {})", bound.mqtt, bound.mqtts));
    say(format_args!("  HTTP           {} (TLS: {})", bound.http, bound.https));
    say(format_args!("  media          {}/udp", bound.media));
    say(format_args!("  data           {}", config.data_dir.display()));
    if let Some(words) = PAGES_MISSING {
        say(format_args!("  pages          none: {words}"));
    }
    if let Some(ca) = ca {
        say(format_args!("  authority      {}", ca.display()));
    }
    for (user, secret) in links {
        say(format_args!("{user:<8} {}", link(endpoints, user, secret)));
    }
    if !links.is_empty() {
        say("Open two links in two tabs and call. End with Ctrl-C.");
    }
}

/// Bob's page starts with its speaker off: two tabs on one laptop howl.
fn link(endpoints: &Endpoints, user: &str, secret: &str) -> String {
    let speaker = if user == "bob" { "&speaker=off" } else { "" };
    format!("{}/#login={secret}{speaker}", endpoints.api)
}
