//! The server as a process: what it leaves on disk, whom it lets wait, and how it ends.

use crate::support::program;
use anyhow::{Context, Result, bail, ensure};
use demo::{Method, Stage};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than the server keeps a connection open that asks nothing.
const PATIENCE: Duration = Duration::from_secs(20);

async fn started(folder: &Path) -> Result<Stage> {
    let mut stage = Stage::new(folder, &program()?, &[])?;
    stage.start_server().await?;
    Ok(stage)
}

fn connect(stage: &Stage, says: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", stage.http_port()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(says.as_bytes())?;
    Ok(stream)
}

/// What the server says until it closes the connection.
fn rest(mut stream: TcpStream) -> Result<String> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error).context("the connection stays open"),
        _ => Ok(String::from_utf8_lossy(&said).into_owned()),
    }
}

const LOGIN: &str = "{\"secret\":\"none\",\"device\":\"x\"}";

/// A request that the server has begun to read, and that lacks the last byte.
fn begin_login(stage: &Stage) -> Result<TcpStream> {
    let head = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        LOGIN.len()
    );
    let mut stream = connect(stage, &head)?;
    let mut goes_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut goes_on)?;
    stream.write_all(&LOGIN.as_bytes()[..LOGIN.len() - 1])?;
    Ok(stream)
}

/// SIGTERM; back when the server says that it stops.
fn terminate(stage: &Stage) -> Result<()> {
    let id = stage.server_id().context("the server runs")?.to_string();
    ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "the server cannot be signalled");
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(stage.server_log())?.contains("stopping") {
        ensure!(Instant::now() < deadline, "it does not stop");
        std::thread::yield_now();
    }
    Ok(())
}

/// Files and folders that others than their owner may use.
fn open_to_others(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata()?.permissions().mode() & 0o077 != 0 {
            found.push(entry.path().display().to_string());
        }
        if entry.file_type()?.is_dir() {
            open_to_others(&entry.path(), found)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn whatever_the_server_writes_is_its_own_users_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = started(folder.path()).await?;
    let mode = fs::metadata(stage.data())?.permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut found = Vec::new();
    open_to_others(&stage.data(), &mut found)?;
    assert_eq!(found, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = started(folder.path()).await?;
    let quiet = ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nhost: x\r\n"].map(|says| connect(&stage, says));
    for (stream, what) in quiet.into_iter().zip(["silence", "half a preface", "half a head"]) {
        let said = rest(stream?).context(what)?;
        ensure!(!said.contains("200"), "{what}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_waits_for_a_request_that_has_begun_but_not_for_open_sockets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = started(folder.path()).await?;
    let upgrade = "GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-protocol: mqtt\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let open = [connect(&stage, upgrade)?, connect(&stage, upgrade)?, connect(&stage, "")?];
    for mut socket in open.iter().take(2) {
        let mut switched = [0; 12];
        socket.read_exact(&mut switched)?;
        assert_eq!(&switched, b"HTTP/1.1 101");
    }
    let mut begun = begin_login(&stage)?;
    terminate(&stage)?;
    // They are closed while the server still waits for the rest of the request.
    for socket in open {
        rest(socket)?;
    }
    begun.write_all(b"}")?;
    let answer = rest(begun)?;
    ensure!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    let status = stage.ended().await?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_stage_whose_port_is_taken_between_choice_and_bind_comes_up_on_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &[])?;
    let chosen = stage.http_port();
    let _taken = TcpListener::bind(("127.0.0.1", chosen))?;
    stage.start_server().await?;
    assert_ne!(stage.http_port(), chosen);
    stage.api(Method::GET, "/api/v1/channels/none", None).await.map(drop)
}

#[tokio::test]
async fn a_server_that_is_given_a_port_ends_at_once_when_it_is_taken_in_dev_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = started(folder.path()).await?;
    stage.kill_server().await?;
    let _taken = TcpListener::bind(("127.0.0.1", stage.mqtt_port()))?;
    let Err(error) = stage.start_server().await else { bail!("its terminals would not find it any more") };
    let words = format!("cannot listen on 127.0.0.1:{} for mqtt.listen", stage.mqtt_port());
    ensure!(error.to_string().contains(&words), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn a_stages_ports_are_its_own_while_its_server_is_down() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path(), &program()?, &[])?;
    let others: Vec<_> = (0..2_000).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let dealt: Vec<u16> = others.iter().map(|o| o.local_addr().map(|a| a.port())).collect::<Result<_, _>>()?;
    assert!(![stage.http_port(), stage.mqtt_port(), stage.mqtts_port()].iter().any(|own| dealt.contains(own)));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = started(folder.path()).await?;
    let _begun = begin_login(&stage)?;
    terminate(&stage)?;
    let status = stage.stop_server().await?;
    // A stop in peace, which waits for the request as long as it may, is a success.
    assert_eq!(status.code(), Some(1), "{status}");
    ensure!(fs::read_to_string(stage.server_log())?.contains("ended at once"), "it does not say why");
    Ok(())
}
