//! Requests that do not say whom they are for.

use super::Scene;
use anyhow::Result;
use scenarios::wire::{HttpAnswer, http_of};
use std::net::SocketAddr;

const UPGRADE: &str = "connection: close, upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-protocol: mqtt\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

fn ask(server: SocketAddr, request: &str, version: &str, hosts: &[&str]) -> Result<HttpAnswer> {
    let hosts: String = hosts.iter().map(|host| format!("host:{host}\r\n")).collect();
    let (line, more) = request.split_once('\n').unwrap_or((request, "connection: close"));
    http_of(server, format!("{line} HTTP/{version}\r\n{hosts}{more}\r\n\r\n").as_bytes())
}

#[test]
fn a_request_names_its_host_once_or_is_refused_on_every_path() {
    let mut scene = Scene::start().expect("the server starts");
    let server = scene.addresses().expect("addresses").http;
    let upgrade = format!("GET /mqtt\n{UPGRADE}");
    let absolute = format!("GET http://{server}/healthz");
    let requests =
        ["GET /", "GET /healthz", &absolute, "POST /nowhere", &upgrade, "GET /api/v1/server", "POST /rtc/v1/join"];
    let refused = || {
        for request in requests {
            for (hosts, version) in [
                (&[][..], "1.1"),
                (&["x", "x"], "1.1"),
                (&["x", "y"], "1.0"),
                (&[""], "1.1"),
                (&["a b"], "1.1"),
                (&["a/b"], "1.1"),
                (&["user@x"], "1.1"),
                (&["x:99999"], "1.0"),
            ] {
                let answer = ask(server, request, version, hosts)?;
                assert_eq!(answer.status, 400, "{request} {hosts:?} HTTP/{version}");
                if request.contains("/api/") || request.contains("/rtc/") {
                    assert_eq!(answer.problem()?, (400, "invalid_host".to_owned()), "{request}");
                } else {
                    assert!(answer.body.contains("Host header"), "{request}: {}", answer.body);
                }
            }
        }
        Ok(())
    };
    scene.costs_nothing(8, refused).expect("nobody is harmed");
    for (version, hosts) in [("1.0", &[][..]), ("1.0", &["x"]), ("1.1", &["anything.example:1"]), ("1.1", &["[::1]"])] {
        let answer = ask(server, "GET /healthz", version, hosts).expect("an answer");
        assert_eq!(answer.status, 200, "HTTP/{version} {hosts:?}");
    }
}
