//! A server that may open few files: unauthenticated connections that are held open cost neither the log nor the clients that are logged in.

use crate::support::program;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::Event;
use scenarios::data_directory::{service_login, text};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILES_MAX: u32 = 256;
const IDLE: usize = 300;
/// More than one segment of the log, and less than an inbox holds.
const MESSAGES: usize = 560;
const RECEIVERS: [&str; 2] = ["alice", "bob"];
const PAYLOAD_BYTES: usize = 64 << 10;
const SOON: Duration = Duration::from_secs(20);

fn program_with_few_files(folder: &Path) -> Result<PathBuf> {
    let script = folder.join("convoke-with-few-files");
    fs::write(&script, format!("#!/bin/sh\nulimit -n {FILES_MAX}\nexec {} \"$@\"\n", program()?.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

/// Whether the server has closed it.
fn is_closed(mut stream: &TcpStream) -> Result<bool> {
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    match stream.read(&mut [0]) {
        Ok(read) => Ok(read == 0),
        Err(error) => Ok(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_beyond_the_descriptors_are_refused_and_stop_neither_log_nor_api() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program_with_few_files(folder.path())?, &[])?;
    stage.start_server().await?;
    let mut receivers = Vec::new();
    for user in RECEIVERS {
        receivers.push(register(&stage, user).await?);
    }
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let mut service = Link::open_with(server, service_login(&stage.data(), Version::V5, "GID_dev@@@service")?)?;

    let idle: Vec<TcpStream> = (0..IDLE).map(|_| TcpStream::connect(server)).collect::<std::io::Result<_>>()?;
    let payload = vec![7; PAYLOAD_BYTES];
    for receiver in &receivers {
        let topic = format!("ring-down/p2p/{}/bell", text(receiver, "client_id")?);
        for _ in 0..MESSAGES {
            service.publish(&topic, &payload)?;
            let answer = service.wait(SOON, |event| matches!(event, Event::Published { .. }))?;
            ensure!(matches!(&answer, Event::Published { reason, .. } if !reason.is_error()), "{answer:?}");
        }
    }
    // While the connections are held, or at least those that were let in.
    register(&stage, "carol").await?;
    ensure!(stage.is_running(), "the server has ended");
    let mut refused = 0;
    for stream in &idle {
        refused += usize::from(is_closed(stream)?);
    }
    ensure!(refused >= IDLE - FILES_MAX as usize, "{refused} of {IDLE} were refused");
    let log = fs::read_to_string(stage.server_log())?;
    ensure!(log.contains("too many connections"), "the server does not say that it refuses connections");
    let counted = stage.figure("convoke_broker_refused_connections_total").await?;
    ensure!(counted >= refused as u64, "{counted} are counted, {refused} were refused");

    drop(idle);
    let mut alice = Link::open(server, Version::V5, &receivers[0])?;
    let first = alice.message(SOON).context("what waited")?;
    ensure!(first.payload == payload, "{} bytes", first.payload.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_connections_beyond_the_descriptors_wait_and_that_is_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program_with_few_files(folder.path())?, &[])?;
    stage.start_server().await?;
    let server = SocketAddr::from(([127, 0, 0, 1], stage.http_port()));
    let waited = r#"convoke_http_all_in_use_total{listener="http"}"#;
    ensure!(stage.figure(waited).await? == 0, "nobody has waited yet");
    // They ask nothing, for which the server gives them some time.
    let idle: Vec<TcpStream> = (0..FILES_MAX).map(|_| TcpStream::connect(server)).collect::<std::io::Result<_>>()?;
    let deadline = Instant::now() + SOON;
    while stage.figure(waited).await? == 0 {
        ensure!(Instant::now() < deadline, "that others wait is not counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let open = stage.figure(r#"convoke_http_connections{listener="http"}"#).await?;
    ensure!((1..u64::from(FILES_MAX)).contains(&open), "{open} connections are let in");
    ensure!(
        stage.figure(r#"convoke_http_all_in_use_total{listener="https"}"#).await? == 0,
        "the other listener is free"
    );
    let log = fs::read_to_string(stage.server_log())?;
    ensure!(log.contains("all connections of a listener are in use"), "the server does not say that others wait");
    drop(idle);
    register(&stage, "carol").await?;
    Ok(())
}

async fn register(stage: &Stage, user: &str) -> Result<Value> {
    let path = format!("/api/v1/users/{user}/devices");
    stage.api(Method::POST, &path, Some(json!({ "device": format!("{user}-phone") }))).await
}
