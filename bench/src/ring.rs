//! Invite → ring: from the caller's PUBLISH of `create` to the invitation at the callee's terminal, both online.

use crate::figures::Latencies;
use crate::signals::request;
use anyhow::{Context, Result, ensure};
use convoke::demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::{Event, Message};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A user may create 20 meetings a minute, so the calls are spread over many.
const PAIRS: usize = 100;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn measure(folder: &Path, program: &Path, calls: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let mut pairs = (0..PAIRS).map(|n| Pair::open(&runtime, &stage, server, n)).collect::<Result<Vec<_>>>()?;
    let mut latencies = Latencies::default();
    for call in 0..calls {
        latencies.push(pairs[call % PAIRS].call()?);
    }
    println!("invite → ring, both online, durable: {}", latencies.describe());
    println!("  bar: p50 at most 5 ms, p99 at most 25 ms");
    runtime.block_on(stage.stop_server())?;
    Ok(())
}

struct Pair {
    caller: Link,
    callee: Link,
    callee_user: String,
}

impl Pair {
    fn open(runtime: &tokio::runtime::Runtime, stage: &Stage, server: SocketAddr, n: usize) -> Result<Self> {
        let open = |user: &str| {
            let path = format!("/api/v1/users/{user}/devices");
            let credentials =
                runtime.block_on(stage.api(Method::POST, &path, Some(json!({ "device": format!("{user}-bench") }))))?;
            Link::open(server, Version::V5, &credentials)
        };
        let callee_user = format!("callee-{n}");
        Ok(Self { caller: open(&format!("caller-{n}"))?, callee: open(&callee_user)?, callee_user })
    }

    /// One call: created, rung, given up. Answers the time from PUBLISH to invitation.
    fn call(&mut self) -> Result<Duration> {
        let meeting = uuid::Uuid::now_v7();
        let create = request("create", Some(meeting), json!({ "callees": [self.callee_user], "media": "audio" }));
        let began = Instant::now();
        self.caller.publish("meeting-up/create", create.to_string().as_bytes())?;
        let invitation = expect(&mut self.callee, "invitation")?;
        let latency = began.elapsed();
        ensure!(invitation["meeting"] == meeting.to_string(), "an invitation of another meeting came: {invitation}");
        let cancel = request("cancel", Some(meeting), json!({}));
        self.caller.publish("meeting-up/cancel", cancel.to_string().as_bytes())?;
        expect(&mut self.callee, "ended")?;
        expect(&mut self.caller, "ended")?;
        Ok(latency)
    }
}

fn expect(link: &mut Link, kind: &str) -> Result<Value> {
    loop {
        let event = link.wait(ANSWER_WITHIN, |e| matches!(e, Event::Message(_)))?;
        let Event::Message(Message { ack, payload, .. }) = event else { continue };
        if let Some(ack) = ack {
            link.acknowledge(ack)?;
        }
        let signal: Value = serde_json::from_slice(&payload).context("a signal is no JSON")?;
        ensure!(signal["type"] != "refused", "refused: {signal}");
        if signal["type"] == kind {
            return Ok(signal);
        }
    }
}
