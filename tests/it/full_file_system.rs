//! A file system that is full to the last byte, with log and catalog together on it: clients of both versions of MQTT are refused
//! what is new and go on with what is there, the server is killed and starts again, and all resumes when there is space.

use crate::bad_input::SOON;
use crate::support::program;
use anyhow::{Context, Result, bail, ensure};
use demo::Stage;
use mqtt::client::Event;
use mqtt::{ReasonCode, Version};
use scenarios::data_directory::{service_login, text};
use scenarios::link::Link;
use scenarios::wire;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the log leaves to others, some of its segments, the catalog, and something to fill.
const MIB: u64 = 224;
/// So that the log has several in little space.
const SEGMENTS: &str = "test.segment_bytes=4194304";
/// Half a segment.
const ROOM_OF_A_START: u64 = 2 << 20;
const PAYLOAD_BYTES: usize = 64 << 10;
/// On a busy machine too, once it is full.
const GIVES_BACK_WITHIN: Duration = Duration::from_secs(2);
/// More than there is space for.
const MESSAGES_MAX: usize = 4_000;

/// An ext4 image, which outlives the server: it is mounted in a namespace of the server's own, and with that it goes.
struct Disk {
    image: PathBuf,
}

impl Disk {
    /// `Err`: why this machine has no such thing.
    fn make(folder: &Path) -> Result<Self, String> {
        let image = folder.join("disk.ext4");
        fs::File::create(&image).and_then(|file| file.set_len(MIB << 20)).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))?;
        let disk = Self { image };
        run(Command::new("unshare").args(["--mount", "sh", "-c", &format!("mount -o loop {} /mnt", disk.name())]))?;
        Ok(disk)
    }

    fn name(&self) -> String {
        self.image.display().to_string()
    }

    /// The server, with the file system in the place of its data directory. The one before may still be on its way out.
    fn program(&self, folder: &Path) -> Result<PathBuf> {
        let (script, data) = (folder.join("convoke-on-ext4"), folder.join("server"));
        fs::create_dir_all(&data)?;
        let (program, data, image) = (program()?, data.display().to_string(), self.name());
        let inner = format!("mount -o loop {image} {data} && chmod 700 {data} && exec {} \"$@\"", program.display());
        let text = format!(
            "#!/bin/sh\nwhile [ -n \"$(losetup --associated {image})\" ]; do sleep 0.1; done\n\
             exec unshare --mount sh -c '{inner}' sh \"$@\"\n"
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
        Ok(script)
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

struct Server {
    stage: Stage,
    key: String,
}

impl Server {
    async fn start(stage: Stage) -> Result<Self> {
        let mut server = Self { stage, key: String::new() };
        server.stage.start_server().await?;
        server.key = format!("authorization: Bearer {}", fs::read_to_string(server.data()?.join("api-key"))?.trim());
        Ok(server)
    }

    /// With less than a segment's room: what `--dev` writes at each start takes some.
    async fn kill_and_start(&mut self) -> Result<()> {
        let filler = OpenOptions::new().write(true).open(self.data()?.join("filler"))?;
        filler.set_len(filler.metadata()?.len() - ROOM_OF_A_START)?;
        drop(filler);
        self.stage.kill_server().await?;
        self.stage.start_server().await.map(drop)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port()))
    }

    /// The data directory as the server sees it.
    fn data(&self) -> Result<PathBuf> {
        let id = self.stage.server_id().context("the server runs")?;
        Ok(PathBuf::from(format!("/proc/{id}/root{}", self.stage.data().display())))
    }

    /// It says so to those who watch it.
    async fn expect_full(&self, full: bool) -> Result<()> {
        let http = SocketAddr::from(([127, 0, 0, 1], self.stage.http_port()));
        let ready = wire::http(http, "GET /readyz", &[], b"")?;
        ensure!(ready.body.contains("the log has no room") == full, "{ready:?}");
        ensure!(self.stage.figure("convoke_log_full").await? == u64::from(full), "/readyz and /metrics differ");
        Ok(())
    }

    fn register(&self, user: &str, version: Version) -> Result<Device> {
        let http = SocketAddr::from(([127, 0, 0, 1], self.stage.http_port()));
        let request = format!("POST /api/v1/users/{user}/devices");
        let device = json!({ "device": format!("{user}-phone") }).to_string();
        let answer = wire::http(http, &request, &[&self.key], device.as_bytes())?;
        Ok(Device { login: serde_json::from_str(&answer.body)?, version })
    }

    fn open(&self, device: &Device) -> Result<Link> {
        Link::open(self.address(), device.version, &device.login)
    }

    fn service(&self, version: Version) -> Result<Link> {
        let mut options = service_login(&self.data()?, version, &format!("GID_dev@@@service-{version:?}"))?;
        (options.clean_start, options.session_expiry_interval) = (true, 0);
        Link::open_with(self.address(), options)
    }

    /// Until nothing more can be written.
    fn fill(&self) -> Result<()> {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.data()?.join("filler"))?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![1; size];
            while filler.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.data()?.join("filler"))?)
    }
}

struct Device {
    login: Value,
    version: Version,
}

impl Device {
    fn topic(&self) -> Result<String> {
        Ok(format!("meeting-down/p2p/{}/load", text(&self.login, "client_id")?))
    }
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("{number:08}").into_bytes();
    payload.resize(PAYLOAD_BYTES, b'.');
    payload
}

fn number_of(payload: &[u8]) -> Result<usize> {
    Ok(std::str::from_utf8(payload.get(..8).context("too short")?)?.parse()?)
}

/// Messages to a receiver, by their numbers.
#[derive(Default)]
struct Sent {
    next: usize,
    /// Acknowledged by the server and not taken, by receiver.
    waiting: [VecDeque<usize>; 2],
}

impl Sent {
    /// Whether the server takes one more message.
    fn send_one(&mut self, service: &mut Link, receivers: &[Device; 2]) -> Result<bool> {
        let (number, to) = (self.next, self.next % 2);
        self.next += 1;
        service.publish(&receivers[to].topic()?, &payload(number))?;
        let answer = service.wait(SOON, |event| matches!(event, Event::Published { .. }))?;
        let Event::Published { reason, .. } = answer else { bail!("{answer:?}") };
        ensure!(!reason.is_error() || reason == ReasonCode::QUOTA_EXCEEDED, "{reason:?}");
        if !reason.is_error() {
            self.waiting[to].push_back(number);
        }
        Ok(!reason.is_error())
    }

    /// Until one is refused, and some time later another one: the log may give space back that is of no use any more.
    fn send_until_refused(&mut self, service: &mut Link, receivers: &[Device; 2]) -> Result<()> {
        let mut is_refused = false;
        for _ in 0..MESSAGES_MAX {
            if self.send_one(service, receivers)? {
                is_refused = false;
            } else if is_refused {
                return Ok(());
            } else {
                is_refused = true;
                std::thread::sleep(GIVES_BACK_WITHIN);
            }
        }
        bail!("nothing is refused")
    }

    fn send_until_taken(&mut self, service: &mut Link, receivers: &[Device; 2]) -> Result<()> {
        let deadline = Instant::now() + SOON;
        while !self.send_one(service, receivers)? {
            ensure!(Instant::now() < deadline, "nothing is taken again");
        }
        Ok(())
    }

    /// The receiver takes so many of those that wait.
    fn take(&mut self, link: &mut Link, receiver: usize, count: usize) -> Result<()> {
        for _ in 0..count {
            let expected = self.waiting[receiver].pop_front().context("nothing waits")?;
            loop {
                let message = link.message(SOON)?;
                let number = number_of(&message.payload)?;
                if number == expected {
                    break;
                }
                // A kill may forget an acknowledgement: nobody waits for its record.
                ensure!(message.dup && number < expected, "{number} came instead of {expected}");
            }
        }
        Ok(())
    }

    /// Each receiver has a session, and takes all but so many.
    fn take_all_but(&mut self, left: usize, server: &Server, receivers: &[Device; 2]) -> Result<()> {
        for (receiver, device) in receivers.iter().enumerate() {
            let mut link = server.open(device)?;
            ensure!(link.session_present(), "{:?}: its session is gone", device.version);
            self.take(&mut link, receiver, self.waiting[receiver].len() - left)?;
            link.close()?;
        }
        Ok(())
    }
}

fn expect_refused(server: &Server, newcomer: &Device) -> Result<()> {
    match server.open(newcomer) {
        Err(error) if error.to_string().contains("the server refused") => Ok(()),
        Err(error) => Err(error),
        Ok(_) => bail!("{:?}: a new session is let in", newcomer.version),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_file_system_what_is_new_is_refused_and_what_is_there_goes_on_over_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = match Disk::make(folder.path()) {
        Ok(disk) => disk,
        Err(reason) => {
            // Past the capture of the test runner, so that it is seen and counted.
            writeln!(
                std::io::stderr(),
                "skipped: the full file system, because there is no ext4 of its own: {reason}"
            )?;
            return Ok(());
        }
    };
    let stage = Stage::new(folder.path(), &disk.program(folder.path())?, &[SEGMENTS])?;
    let mut server = Server::start(stage).await?;
    let receivers = [server.register("bob", Version::V5)?, server.register("carl", Version::V311)?];
    let newcomers = [server.register("erin", Version::V5)?, server.register("frank", Version::V311)?];
    receivers.iter().try_for_each(|device| server.open(device)?.close())?;
    let mut sent = Sent::default();

    // 1. Full: new messages and new sessions are refused, what waits is delivered and acknowledged.
    server.fill()?;
    sent.send_until_refused(&mut server.service(Version::V5)?, &receivers)?;
    let waiting = sent.waiting[0].len();
    ensure!(waiting > 10, "{waiting} messages are in the log");
    newcomers.iter().try_for_each(|newcomer| expect_refused(&server, newcomer))?;
    server.expect_full(true).await?;
    ensure!(server.stage.figure("convoke_broker_refused_by_log_total").await? > 0, "nothing is counted");
    sent.take_all_but(waiting - 4, &server, &receivers)?;

    // 2. Killed, and started again without the room of a segment: nothing is lost, and nothing comes twice that was acknowledged.
    server.kill_and_start().await?;
    sent.take_all_but(2, &server, &receivers)?;
    server.kill_and_start().await?;

    // 3. It is as full as before, also if what was acknowledged has given some space back.
    let mut five = server.service(Version::V5)?;
    sent.send_until_refused(&mut five, &receivers)?;
    let mut three = server.service(Version::V311)?;
    three.publish(&receivers[0].topic()?, &payload(0))?;

    // 4. There is space: a connection of 3.1.1 that was not answered is closed, all else is taken again.
    server.free()?;
    sent.send_until_taken(&mut five, &receivers)?;
    server.expect_full(false).await?;
    match three.wait(SOON, |event| matches!(event, Event::Published { .. })) {
        Err(error) if error.to_string().contains("the server closed the connection") => {}
        other => bail!("it is not closed: {other:?}"),
    }
    newcomers.iter().try_for_each(|newcomer| server.open(newcomer)?.close())?;
    sent.take_all_but(0, &server, &receivers)
}
