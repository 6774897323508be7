//! The queue as a RocketMQ client has it: durable sends through gRPC, and the way from a send to its receive, beside a raw writer
//! on the same disk in the same run.

use crate::figures::Latencies;
use crate::raw_disk::RawDisk;
use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use demo::{Method, Stage};
use http::Uri;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rocketmq_proto::messaging_service_client::MessagingServiceClient;
use rocketmq_proto::receive_message_response::Content;
use rocketmq_proto::{
    AckMessageEntry, AckMessageRequest, Code, Message, MessageQueue, MessageType, ReceiveMessageRequest, Resource,
    SendMessageRequest, Status, SystemProperties,
};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::body::Body;

const TOPIC: &str = "bench";
const GROUP: &str = "bench";
const SENDERS: [usize; 4] = [1, 16, 64, 256];
const BODY_BYTES: usize = 256;
/// What one such message takes in the log, with its header and its properties.
const RECORD_BYTES: usize = 400;
const PER_SECOND: u64 = 200;

/// One connection, which all calls share as the streams of a client do.
type Calls = MessagingServiceClient<Client<HttpConnector, Body>>;

pub(crate) fn measure(folder: &Path, program: &Path, seconds: u64) -> Result<()> {
    let settings = [r#"queue.topics=["bench"]"#, r#"queue.groups=["bench"]"#];
    let mut stage = Stage::new(folder, program, &settings)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(stage.start_server())?;
    let queue = runtime.block_on(Queue::of(&stage))?;

    let mut disk = RawDisk::prepare(folder)?;
    let (raw_rate, mut raw) = disk.rate(RECORD_BYTES, seconds)?;
    println!("raw disk, {RECORD_BYTES} B a sync: {raw_rate:.0} syncs/s, {}", raw.describe());
    for senders in SENDERS {
        let (rate, mut latencies) = runtime.block_on(queue.send_for(senders, Duration::from_secs(seconds)))?;
        let per_sync = rate / raw_rate;
        println!("{senders:>4} senders: {rate:.0} sends/s, {per_sync:.2} a raw sync, {}", latencies.describe());
    }
    runtime.block_on(queue.drain())?;

    let mut raw = disk.open_loop(PER_SECOND, RECORD_BYTES, seconds)?;
    println!("raw writer at {PER_SECOND} records/s: {}", raw.describe());
    let mut received = runtime.block_on(queue.send_and_receive(Duration::from_secs(seconds)))?;
    println!("send → receive at {PER_SECOND}/s: {}", received.describe());
    let over_ms = received.percentile_ms(0.5) - raw.percentile_ms(0.5);
    println!("  bar: p50 at most the raw writer's and 0.6 ms; here {over_ms:.2} ms more");
    runtime.block_on(stage.stop_server())?;
    Ok(())
}

#[derive(Clone)]
struct Queue {
    calls: Calls,
    key_id: String,
    secret: String,
}

impl Queue {
    async fn of(stage: &Stage) -> Result<Self> {
        let server = stage.api(Method::GET, "/api/v1/server", None).await?;
        let listeners = server["listeners"].as_array().context("the server names no listeners")?;
        let of_queue = listeners.iter().find(|listener| listener["name"] == "queue");
        let address = of_queue.and_then(|one| one["address"].as_str()).context("the queue has no listener")?;
        let origin: Uri = format!("http://{address}").parse()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
        let login = stage.access_key()?;
        let text = |key: &str| login[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        let calls = MessagingServiceClient::with_origin(client, origin);
        Ok(Self { calls, key_id: text("key_id")?, secret: text("secret")? })
    }

    fn signed<T>(&self, message: T) -> Result<Request<T>> {
        let date_time = date_time(SystemTime::now());
        let signature = STANDARD.decode(scenarios::sign(&self.secret, &date_time))?;
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let key_id = &self.key_id;
        let words = format!("MQv2-HMAC-SHA1 Credential={key_id}, SignedHeaders=x-mq-date-time, Signature={hex}");
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert("authorization", words.parse()?);
        headers.insert("x-mq-date-time", date_time.parse()?);
        headers.insert("x-mq-client-id", "bench".parse()?);
        Ok(request)
    }

    async fn send(&mut self, id: String, body: Vec<u8>) -> Result<()> {
        let properties = SystemProperties {
            message_id: id,
            message_type: MessageType::Normal.into(),
            ..SystemProperties::default()
        };
        let message = Message {
            topic: Some(named(TOPIC)),
            system_properties: Some(properties),
            body: body.into(),
            ..Message::default()
        };
        let request = self.signed(SendMessageRequest { messages: vec![message] })?;
        check(self.calls.send_message(request).await?.into_inner().status)
    }

    /// So many who each send the next message once the one before is answered.
    async fn send_for(&self, senders: usize, lasts: Duration) -> Result<(f64, Latencies)> {
        let (began, mut running) = (Instant::now(), JoinSet::new());
        for sender in 0..senders {
            let mut queue = self.clone();
            running.spawn(async move {
                let (mut latencies, mut number) = (Latencies::default(), 0);
                while began.elapsed() < lasts {
                    let at = Instant::now();
                    queue.send(format!("{senders}-{sender}-{number}"), vec![7; BODY_BYTES]).await?;
                    latencies.push(at.elapsed());
                    number += 1;
                }
                anyhow::Ok(latencies)
            });
        }
        let mut all = Latencies::default();
        while let Some(sent) = running.join_next().await {
            all.extend(sent??);
        }
        Ok((all.count() as f64 / began.elapsed().as_secs_f64(), all))
    }

    /// Takes all that is there.
    async fn drain(&self) -> Result<()> {
        let mut queue = self.clone();
        while queue.receive(|_| ()).await? > 0 {}
        Ok(())
    }

    /// From when a message is due to be sent to when its consumer has it. The body says when it was due.
    async fn send_and_receive(&self, lasts: Duration) -> Result<Latencies> {
        let (began, mut consumer) = (Instant::now(), self.clone());
        let count = (lasts.as_secs() * PER_SECOND) as usize;
        let receiving = tokio::spawn(async move {
            let mut latencies = Latencies::default();
            while latencies.count() < count {
                let received = |body: &[u8]| {
                    let due = body.try_into().map_or(0, u64::from_le_bytes);
                    latencies.push(began.elapsed().saturating_sub(Duration::from_nanos(due)));
                };
                ensure!(consumer.receive(received).await? > 0, "messages do not arrive");
            }
            anyhow::Ok(latencies)
        });
        let (mut due, mut sending) = (due_times(began, count), JoinSet::new());
        while let Some(at) = due.recv().await {
            let (mut queue, due_ns) = (self.clone(), at.saturating_duration_since(began).as_nanos() as u64);
            sending.spawn(async move { queue.send(format!("due-{due_ns}"), due_ns.to_le_bytes().to_vec()).await });
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        receiving.await?
    }

    /// Receives and acknowledges a batch; returns how many there were.
    async fn receive(&mut self, mut with: impl FnMut(&[u8])) -> Result<usize> {
        let request = ReceiveMessageRequest {
            group: Some(named(GROUP)),
            message_queue: Some(MessageQueue { topic: Some(named(TOPIC)), ..MessageQueue::default() }),
            batch_size: 32,
            invisible_duration: Some(rocketmq_proto::Duration { seconds: 30, nanos: 0 }),
            long_polling_timeout: Some(rocketmq_proto::Duration { seconds: 5, nanos: 0 }),
            ..ReceiveMessageRequest::default()
        };
        let mut answers = self.calls.receive_message(self.signed(request)?).await?.into_inner();
        let mut entries = Vec::new();
        while let Some(answer) = answers.message().await? {
            match answer.content {
                Some(Content::Message(message)) => {
                    with(&message.body);
                    let properties = message.system_properties.unwrap_or_default();
                    let receipt_handle = properties.receipt_handle.unwrap_or_default();
                    entries.push(AckMessageEntry { message_id: properties.message_id, receipt_handle });
                }
                Some(Content::Status(status)) if status.code == i32::from(Code::MessageNotFound) => {}
                Some(Content::Status(status)) => check(Some(status))?,
                _ => {}
            }
        }
        let count = entries.len();
        if count > 0 {
            let request = AckMessageRequest { group: Some(named(GROUP)), topic: Some(named(TOPIC)), entries };
            check(self.calls.ack_message(self.signed(request)?).await?.into_inner().status)?;
        }
        Ok(count)
    }
}

/// Each moment at which a message is due, when it has come. From a thread of its own: timers of the run time are rounded up to
/// milliseconds.
fn due_times(began: Instant, count: usize) -> mpsc::UnboundedReceiver<Instant> {
    let (come, due) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for number in 0..count {
            let at = began + Duration::from_secs_f64(number as f64 / PER_SECOND as f64);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if come.send(at).is_err() {
                return;
            }
        }
    });
    due
}

fn named(name: &str) -> Resource {
    Resource { name: name.to_owned(), ..Resource::default() }
}

fn check(status: Option<Status>) -> Result<()> {
    match status {
        Some(status) if status.code == i32::from(Code::Ok) => Ok(()),
        other => bail!("the server refused: {other:?}"),
    }
}

/// `20060102T150405Z`.
fn date_time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the leap day is the last one of its year.
    let (era, of_era) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}
