//! What a person reads on standard output once the server is ready.

use super::endpoints::{Bound, Endpoints};
use crate::config::Config;
use std::path::Path;

pub(super) fn print(
    config: &Config,
    bound: &Bound,
    endpoints: &Endpoints,
    ca: Option<&Path>,
    links: &[(&str, String)],
) {
    println!("Convoke is ready.");
    println!("  MQTT           {} (TLS: {})", bound.mqtt, bound.mqtts);
    println!("  HTTP           {} (TLS: {})", bound.http, bound.https);
    println!("  media          {}/udp", bound.media);
    println!("  data           {}", config.data_dir.display());
    if let Some(ca) = ca {
        println!("  authority      {}", ca.display());
    }
    for (user, secret) in links {
        println!("{user:<8} {}", link(endpoints, user, secret));
    }
    if !links.is_empty() {
        println!("Open two links in two tabs and call. End with Ctrl-C.");
    }
}

/// Bob's page starts with its speaker off: two tabs on one laptop howl.
fn link(endpoints: &Endpoints, user: &str, secret: &str) -> String {
    let speaker = if user == "bob" { "&speaker=off" } else { "" };
    format!("{}/#login={secret}{speaker}", endpoints.api)
}
