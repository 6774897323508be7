//! The banner: what is printed on standard output once the server is ready.

use super::endpoints::{BoundAddresses, Endpoints};
use crate::config::Config;
use crate::http::PAGES_MISSING;
use crate::print_line;
use std::path::PathBuf;

/// What the banner says besides the addresses.
pub(super) struct BannerDetails {
    pub endpoints: Endpoints,
    pub ca: Option<PathBuf>,
    /// Users and the secrets of their login links.
    pub links: Vec<(&'static str, String)>,
}

pub(super) fn print(config: &Config, bound: &BoundAddresses, details: &BannerDetails) {
    let BannerDetails { endpoints, ca, links } = details;
    print_line("Convoke is ready.");
    print_line(format_args!("  MQTT           {} (TLS: {})", bound.mqtt, bound.mqtts));
    print_line(format_args!("  HTTP           {} (TLS: {})", bound.http, bound.https));
    if let Some(queue) = bound.queue {
        print_line(format_args!("  queue          {queue} (RocketMQ 5 gRPC, plain and TLS)"));
    }
    if let Some(metrics) = bound.metrics {
        print_line(format_args!("  metrics        http://{metrics}/metrics"));
    }
    print_line(format_args!("  media          {}/udp", bound.media));
    print_line(format_args!("  data           {}", config.data_dir.display()));
    if let Some(words) = PAGES_MISSING {
        print_line(format_args!("  pages          none: {words}"));
    }
    if let Some(ca) = ca {
        print_line(format_args!("  authority      {}", ca.display()));
    }
    for (user, secret) in links {
        print_line(format_args!("{user:<8} {}", link(endpoints, user, secret)));
    }
    if !links.is_empty() {
        print_line("Open two links in two tabs and call. End with Ctrl-C.");
    }
}

/// Bob's page starts with its speaker off: two tabs on one laptop howl.
fn link(endpoints: &Endpoints, user: &str, secret: &str) -> String {
    let speaker = if user == "bob" { "&speaker=off" } else { "" };
    format!("{}/#login={secret}{speaker}", endpoints.api)
}
