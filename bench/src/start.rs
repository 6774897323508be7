//! How long a server with much in its log takes to start, and what memory it takes for it: from its snapshot, and from the
//! whole log.

use crate::crowd::{Crowd, Seen};
use crate::durable::fill;
use crate::resume::forget_pages;
use crate::usage::{bytes, peak_bytes, read_bytes, resident_bytes};
use anyhow::{Context, Result, ensure};
use demo::Stage;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Clients that take what is acknowledged.
const RECEIVERS_MAX: usize = 1_000;
/// Of their messages that many are on their way to each at a time, so that no inbox fills up.
const AT_ONCE: usize = 1_000;
const CONNECTING: usize = 500;
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// After the start, until what was needed for it alone is given back.
const REST: Duration = Duration::from_secs(10);
const START_BAR_S: f64 = 2.0;
const MEMORY_BAR: f64 = 1.5;

pub(crate) struct Plan {
    pub(crate) inboxes: usize,
    /// Messages that wait in each.
    pub(crate) messages: usize,
    /// Messages that were acknowledged before, in all.
    pub(crate) acknowledged: usize,
    pub(crate) rounds: usize,
}

pub(crate) fn measure(folder: &Path, program: &Path, plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let users: Vec<String> = (0..plan.inboxes).map(|n| format!("user-{n:05}")).collect();
    let mut crowd = Crowd::register(&runtime, &stage, &users)?;
    let topics: Vec<String> =
        (0..crowd.len()).map(|who| format!("meeting-down/p2p/{}/bench", crowd.client_id(who))).collect();
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let login = stage.access_key()?;

    let began = Instant::now();
    let acknowledged = acknowledge(&mut crowd, server, &login, &topics, plan.acknowledged)?;
    fill(server, &login, &topics, plan.messages)?;
    println!(
        "{acknowledged} messages acknowledged, then {} waiting in {} inboxes, in {:.0} s",
        plan.inboxes * plan.messages,
        plan.inboxes,
        began.elapsed().as_secs_f64()
    );
    runtime.block_on(stage.stop_server())?;

    let log = stage.data().join("log");
    let snapshot = log.join("snapshot");
    for round in 1..=plan.rounds {
        for is_from_snapshot in [true, false] {
            if is_from_snapshot {
                let length = std::fs::metadata(&snapshot).context("the stop has left no snapshot")?.len();
                println!("round {round}, from a snapshot of {} and no log behind it, nothing cached:", bytes(length));
            } else {
                std::fs::remove_file(&snapshot).context("the stop has left no snapshot")?;
                println!("round {round}, from the whole log, {}, nothing cached:", bytes(folder_bytes(&log)?));
            }
            let figures = start(&runtime, &mut stage, &log)?;
            figures.print();
            runtime.block_on(stage.stop_server())?;
        }
    }
    println!(
        "  bar: a start from the snapshot within {START_BAR_S} s, its memory at most {MEMORY_BAR} × that afterwards"
    );
    Ok(())
}

struct Figures {
    took: Duration,
    read: u64,
    peak: u64,
    afterwards: u64,
}

impl Figures {
    fn print(&self) {
        println!(
            "  ready after {:.2} s, {} read from the disk; memory {} at most until then, {} afterwards: {:.2} ×",
            self.took.as_secs_f64(),
            bytes(self.read),
            bytes(self.peak),
            bytes(self.afterwards),
            self.peak as f64 / self.afterwards as f64
        );
    }
}

fn start(runtime: &tokio::runtime::Runtime, stage: &mut Stage, log: &Path) -> Result<Figures> {
    forget_pages(log)?;
    let took = runtime.block_on(stage.start_server())?;
    let process = stage.server_id().context("the server does not run")?;
    let (read, peak) = (read_bytes(process)?, peak_bytes(process)?);
    thread::sleep(REST);
    Ok(Figures { took, read, peak, afterwards: resident_bytes(process)? })
}

/// Some of the crowd connect and acknowledge what is sent to them. Returns how many it were.
fn acknowledge(crowd: &mut Crowd, server: SocketAddr, login: &Value, topics: &[String], count: usize) -> Result<usize> {
    let receivers = crowd.len().min(RECEIVERS_MAX);
    connect(crowd, receivers)?;
    let mut left = count.div_ceil(receivers);
    while left > 0 {
        let each = left.min(AT_ONCE);
        take_all(crowd, receivers * each, || fill(server, login, &topics[..receivers], each))?;
        left -= each;
    }
    (0..receivers).for_each(|who| crowd.cut(who));
    Ok(count.div_ceil(receivers) * receivers)
}

fn connect(crowd: &mut Crowd, receivers: usize) -> Result<()> {
    let (began, mut next, mut connected) = (Instant::now(), 0, 0);
    while connected < receivers {
        ensure!(began.elapsed() < GIVE_UP_AFTER, "{connected} of {receivers} clients are connected");
        while next < receivers && next - connected < CONNECTING {
            crowd.connect(next)?;
            next += 1;
        }
        for happened in crowd.turn(Duration::from_millis(50))? {
            match happened.what {
                Seen::Connected => connected += 1,
                Seen::Lost(words) => anyhow::bail!("client {} was lost: {words}", happened.who),
                Seen::Signal { .. } => {}
            }
        }
    }
    Ok(())
}

/// Takes so many messages while they are sent.
fn take_all(crowd: &mut Crowd, expected: usize, send: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    thread::scope(|scope| {
        let sending = scope.spawn(send);
        let (began, mut received) = (Instant::now(), 0);
        while received < expected {
            ensure!(began.elapsed() < GIVE_UP_AFTER, "{received} of {expected} messages came");
            for happened in crowd.turn(Duration::from_millis(50))? {
                match happened.what {
                    Seen::Signal { .. } => received += 1,
                    Seen::Lost(words) => anyhow::bail!("client {} was lost: {words}", happened.who),
                    Seen::Connected => {}
                }
            }
        }
        sending.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?
    })
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    std::fs::read_dir(folder)?.try_fold(0, |bytes, file| Ok(bytes + file?.metadata()?.len()))
}
