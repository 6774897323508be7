//! Invite → ring: from the caller's PUBLISH of `create` to the invitation at the callee's terminal, both online; then
//! again with the server's log at TRACE, for the hops between the two.

use crate::figures::Latencies;
use crate::hops;
use crate::signals::request;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::{Event, Message};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A user may create 20 meetings a minute, so the calls are spread over many.
const PAIRS: usize = 100;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Calls whose hops are looked at.
const TRACED_CALLS_MAX: usize = 500;

pub(crate) fn measure(folder: &Path, program: &Path, calls: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(&folder.join("plain"), program, &[])?;
    let calls_made = make_calls(&runtime, &mut stage, calls)?;
    let mut latencies = Latencies::default();
    calls_made.iter().for_each(|call| latencies.push(call.took));
    println!("invite → ring, both online, durable: {}", latencies.describe());
    println!("  bar: p50 at most 1.5 ms, p99 at most 3 ms");

    let mut stage = Stage::new(&folder.join("traced"), program, &[])?;
    stage.log(hops::LOG);
    let calls_made = make_calls(&runtime, &mut stage, calls.min(TRACED_CALLS_MAX))?;
    match hops::describe(&stage.server_log(), &calls_made) {
        Ok(words) => println!("{words}"),
        // Another version of the server, perhaps.
        Err(error) => println!("the hops of a ring are not known: {error:#}"),
    }
    Ok(())
}

/// One call after the other, at a server that is started for them.
fn make_calls(runtime: &tokio::runtime::Runtime, stage: &mut Stage, calls: usize) -> Result<Vec<Call>> {
    runtime.block_on(stage.start_server())?;
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let mut pairs = (0..PAIRS).map(|n| Pair::open(runtime, stage, server, n)).collect::<Result<Vec<_>>>()?;
    let made = (0..calls).map(|call| pairs[call % PAIRS].call()).collect::<Result<_>>()?;
    runtime.block_on(stage.stop_server())?;
    Ok(made)
}

/// From PUBLISH to invitation.
pub(crate) struct Call {
    pub(crate) published: SystemTime,
    pub(crate) rang: SystemTime,
    pub(crate) took: Duration,
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

    /// One call: created, rung, given up.
    fn call(&mut self) -> Result<Call> {
        let meeting = uuid::Uuid::now_v7();
        let create = request("create", Some(meeting), json!({ "callees": [self.callee_user], "media": "audio" }));
        let (began, published) = (Instant::now(), SystemTime::now());
        self.caller.publish("meeting-up/create", create.to_string().as_bytes())?;
        let invitation = expect(&mut self.callee, "invitation")?;
        let call = Call { published, rang: SystemTime::now(), took: began.elapsed() };
        ensure!(invitation["meeting"] == meeting.to_string(), "an invitation of another meeting came: {invitation}");
        let cancel = request("cancel", Some(meeting), json!({}));
        self.caller.publish("meeting-up/cancel", cancel.to_string().as_bytes())?;
        expect(&mut self.callee, "ended")?;
        expect(&mut self.caller, "ended")?;
        Ok(call)
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
