//! Clients that come back to many messages, and what others notice of it: with the log in the page cache, and with a log
//! that has to be read from the disk.
//!
//! The machine is shared with those who come back and with the work that they make. So all come back twice: while the
//! pairs are at another process of the same program, and while they are at the same. What is slower only then is the
//! server's own doing.

use crate::crowd::{Crowd, Seen};
use crate::durable::fill;
use crate::pairs::{Talk, open_pairs, register_pairs, topic_of, while_pairs_talk};
use crate::usage::read_bytes;
use anyhow::{Context, Result, ensure};
use demo::Stage;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ALONE: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 500;
const GIVE_UP_AFTER: Duration = Duration::from_secs(900);
const BAR: f64 = 2.0;

pub(crate) fn measure(folder: &Path, program: &Path, inboxes: usize, messages: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let start = |name: &str| {
        let mut stage = Stage::new(&folder.join(name), program, &[])?;
        runtime.block_on(stage.start_server())?;
        Ok::<_, anyhow::Error>(stage)
    };
    let (mut stage, mut other) = (start("resumed")?, start("other")?);
    let users: Vec<String> = (0..inboxes).map(|n| format!("user-{n:05}")).collect();
    let mut crowd = Crowd::register(&runtime, &stage, &users)?;
    let topics: Vec<String> = (0..inboxes).map(|who| topic_of(crowd.client_id(who))).collect();
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let login = stage.access_key()?;
    let devices = [register_pairs(&runtime, &other, Talk::HEALTHY)?, register_pairs(&runtime, &stage, Talk::HEALTHY)?];

    let (mut alone, ()) = while_pairs_talk(&mut open_pairs(&stage, &devices[1], Talk::HEALTHY)?, || {
        thread::sleep(ALONE);
        Ok(())
    })?;
    println!("pairs alone: {}", alone.describe());
    let process = stage.server_id().context("the server does not run")?;
    for (pages, is_cold) in [("in the page cache", false), ("on the disk", true)] {
        let mut p99 = Vec::new();
        let places = [("another process", &other), ("the same", &stage)];
        for ((place, at), devices) in places.into_iter().zip(&devices) {
            fill(server, &login, &topics, messages)?;
            if is_cold {
                forget_pages(&stage.data().join("log"))?;
            }
            let read_before = read_bytes(process)?;
            let (mut beside, took) = while_pairs_talk(&mut open_pairs(at, devices, Talk::HEALTHY)?, || {
                resume(&mut crowd, inboxes * messages)
            })?;
            let (read, took) = (read_bytes(process)? - read_before, took.as_secs_f64());
            let rate = (inboxes * messages) as f64 / took;
            println!(
                "pairs at {place} while {inboxes} clients resume, {messages} messages each, {pages}: {}",
                beside.describe()
            );
            println!("  {rate:.0} messages/s in {took:.1} s, {} MB read from the disk", read / 1_000_000);
            ensure!(!is_cold || read > (inboxes * messages) as u64, "nothing was read from the disk");
            p99.push(beside.percentile_ms(0.99));
            (0..crowd.len()).for_each(|who| crowd.cut(who));
        }
        println!("  bar: p99 at most {BAR} × that at another process; here {:.2} ×", p99[1] / p99[0]);
    }
    runtime.block_on(async {
        stage.stop_server().await?;
        other.stop_server().await.map(drop)
    })
}

/// All connect, and are done when all that waited has come. Returns how long it took.
fn resume(crowd: &mut Crowd, expected: usize) -> Result<Duration> {
    let (began, mut next, mut connected, mut received) = (Instant::now(), 0, 0, 0);
    while received < expected {
        ensure!(began.elapsed() < GIVE_UP_AFTER, "{received} of {expected} messages came");
        while next < crowd.len() && next - connected < AT_ONCE {
            crowd.connect(next)?;
            next += 1;
        }
        for happened in crowd.turn(Duration::from_millis(50))? {
            match happened.what {
                Seen::Connected => connected += 1,
                Seen::Signal { .. } => received += 1,
                Seen::Lost(words) => anyhow::bail!("client {} was lost: {words}", happened.who),
            }
        }
    }
    Ok(began.elapsed())
}

/// Takes the log out of the page cache. What is not on the disk stays: nothing, since all of it is acknowledged.
pub(crate) fn forget_pages(log: &Path) -> Result<()> {
    for file in std::fs::read_dir(log)? {
        let input = format!("if={}", file?.path().display());
        let dropped =
            Command::new("dd").arg(input).args(["iflag=nocache", "count=0"]).stderr(Stdio::null()).status()?;
        ensure!(dropped.success(), "`dd iflag=nocache` did not drop a file from the page cache");
    }
    Ok(())
}
