//! What keeps the server from starting: the thing, the cause and the remedy on standard error, and no success.

use super::{SOON, Scene};
use crate::support::program;
use anyhow::{Context, Result, ensure};
use mqtt::client::Event;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// sysexits(3).
const BAD_CONFIGURATION: i32 = 78;
const FAILED: i32 = 1;
const LISTENERS: [&str; 7] = [
    "mqtt.listen",
    "mqtt.tls_listen",
    "http.listen",
    "http.tls_listen",
    "metrics.listen",
    "queue.listen",
    "media.listen",
];

/// Starts a server on `data` with `settings`, which must not come up, and looks for each of `words` in what it says.
fn refuses(data: &Path, settings: &[&str], status: i32, words: &[&str]) -> Result<()> {
    let mut command = Command::new(program()?);
    command.arg("serve").arg("--data").arg(data);
    for key in LISTENERS {
        command.args(["--set", &format!("{key}=127.0.0.1:0")]);
    }
    for setting in settings {
        command.args(["--set", setting]);
    }
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let ended = end_of(&mut process)?;
    if !ended {
        process.kill()?;
    }
    let output = process.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(ended, "it came up: {said}");
    let (_, reason) = said.split_once("convoke: ").with_context(|| format!("no reason: {said}"))?;
    ensure!(output.status.code() == Some(status), "{:?}: {reason}", output.status);
    for word in words {
        ensure!(reason.contains(word), "it does not say {word:?}: {reason}");
    }
    Ok(())
}

/// Whether it ended by itself.
fn end_of(process: &mut Child) -> Result<bool> {
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        if process.try_wait()?.is_some() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address");
    let _udp = UdpSocket::bind(port).expect("the same port");
    for key in LISTENERS {
        let words = [key, &port.to_string(), "Address already in use", "set another"];
        refuses(folder.path(), &[&format!("{key}={port}")], FAILED, &words).expect(key);
    }
    let words = ["mqtt.listen", "192.0.2.1:1883", "Cannot assign", "remedy: name an address of this machine"];
    refuses(folder.path(), &["mqtt.listen=192.0.2.1:1883"], FAILED, &words).expect("a foreign address");
}

#[test]
fn a_second_server_takes_neither_the_data_nor_the_media_port_of_the_first() {
    let mut scene = Scene::start().expect("the server starts");
    let holder = format!("process with id {}", scene.stage.server_id().expect("an id"));
    refuses(&scene.stage.data(), &[], FAILED, &["is locked by", &holder, "another data directory"]).expect("locked");
    let other = tempfile::tempdir().expect("temporary folder");
    let media: SocketAddr = scene.addresses().expect("addresses").media;
    refuses(other.path(), &[&format!("media.listen={media}")], FAILED, &[&media.to_string()]).expect("in use");
    scene.witness_is_unharmed().expect("nobody is harmed");
}

#[test]
fn a_configuration_that_is_not_right_is_told_from_other_failures_and_touches_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let data = folder.path().join("data");
    for (setting, words) in [
        ("mqtt.lisen=127.0.0.1:1", ["`mqtt.lisen`", "--set", "did you mean `mqtt.listen`?"]),
        ("mqtt.listen=localhost", ["`mqtt.listen`", "no address", "remedy: give address:port"]),
        ("meeting.ring_s=1000", ["`meeting.ring_s`", "out of range", "remedy: give 5 to 180"]),
        ("server.threads=many", ["`server.threads`", "integer", "remedy: give a"]),
    ] {
        refuses(&data, &[setting], BAD_CONFIGURATION, &words).expect(setting);
    }
    assert!(!data.exists());
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("a file");
    for data in [file.clone(), file.join("below"), PathBuf::from("/proc/convoke")] {
        let words = ["cannot use the data directory", &data.display().to_string(), "os error", "remedy:", "--data"];
        refuses(&data, &[], FAILED, &words).expect("refused");
    }
}

#[test]
fn a_spoiled_file_of_the_data_directory_is_named_with_its_remedy_and_left_as_it_is() {
    let mut scene = Scene::start().expect("the server starts");
    scene.stop().expect("it stops");
    for (name, spoil, words) in [
        ("api-key", Spoil::Garbage, &["too short to be a secret", "remedy: remove it"] as &[_]),
        ("keys/join.pem", Spoil::Garbage, &["holds no Ed25519 key", "remedy: restore it from a copy"]),
        ("tls/ca-key.pem", Spoil::Garbage, &["holds no key", "remedy: restore it from a copy"]),
        ("tls/ca.pem", Spoil::Garbage, &["holds no certificate", "remedy: restore it from a copy"]),
        ("catalog.sqlite", Spoil::Garbage, &["it is no SQLite file", "move it away"]),
        ("catalog.sqlite", Spoil::AllButTheHead, &["it is damaged", "malformed", "restore it from a backup"]),
        (
            "log/00000000000000000001.segment",
            Spoil::Garbage,
            &["is damaged at offset", "restore its folder from a backup"],
        ),
    ] {
        let path = scene.stage.data().join(name);
        let whole = fs::read(&path).expect(name);
        let spoiled = spoil.apply(&whole);
        fs::write(&path, &spoiled).expect(name);
        let shown = path.display().to_string();
        refuses(&scene.stage.data(), &[], FAILED, &[words, &[&shown]].concat()).expect(name);
        assert!(fs::read(&path).expect(name) == spoiled, "{name} was changed");
        fs::write(&path, whole).expect(name);
    }
    scene.start_again().expect("it starts on the whole files");
    scene.witness_is_unharmed().expect("nothing is lost");
}

#[derive(Clone, Copy)]
enum Spoil {
    Garbage,
    AllButTheHead,
}

impl Spoil {
    fn apply(self, whole: &[u8]) -> Vec<u8> {
        const HEAD: usize = 4096;
        match self {
            Self::Garbage => b"garbage".repeat(4),
            Self::AllButTheHead => [&whole[..HEAD], &vec![0x55; whole.len() - HEAD]].concat(),
        }
    }
}

#[test]
fn a_damaged_log_stops_the_start_with_file_and_offset_and_a_restored_one_has_everything() {
    const MESSAGES: usize = 20;
    for ending in [Scene::stop, Scene::kill] {
        let mut scene = Scene::start().expect("the server starts");
        let bob = scene.device("bob").expect("bob");
        let topic = format!("meeting-down/p2p/{}/kept", bob["client_id"].as_str().expect("a client id"));
        let payload = |n: usize| format!("kept while bob is away, number {n:03}");
        for n in 0..MESSAGES {
            scene.service.publish(&topic, payload(n).as_bytes()).expect("a publish");
            scene.service.wait(SOON, |event| matches!(event, Event::Published { .. })).expect("durable");
        }
        ending(&mut scene).expect("the server ends");
        let segment = scene.stage.data().join("log/00000000000000000001.segment");
        let whole = fs::read(&segment).expect("the log");
        let victim = payload(MESSAGES / 2).into_bytes();
        let at = whole.windows(victim.len()).position(|bytes| bytes == victim).expect("the message is in the log");
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&segment, damaged).expect("a damaged log");
        let words = [&segment.display().to_string(), "is damaged at offset", "move the folder away"];
        refuses(&scene.stage.data(), &[], FAILED, &words).expect("refused");
        fs::write(&segment, whole).expect("a restored log");
        scene.start_again().expect("the server starts");
        let mut link = scene.link(&bob).expect("bob connects");
        for n in 0..MESSAGES {
            assert_eq!(link.message(SOON).expect("a message").payload, payload(n).as_bytes());
        }
    }
}
