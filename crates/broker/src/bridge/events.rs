//! Online events: `connect`, `disconnect` and `tcpclean` of each connection, to the queue topic `<GroupID>_MQTT`.
//!
//! A `connect` is given to the queue before its CONNACK leaves, so that it stands before whatever the client publishes.
//! Events may be repeated and overtake each other (one that the queue did not take is tried again by itself), and never
//! make a worker wait: consumers go by `channelId`, the id of the connection. A `tcpclean` that does not get into the
//! queue is sent at the next start: the log holds every connection until then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use queue::{MessageId, NotTaken, Queue, SendError, TopicName, Unavailable};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use crate::client::ClientKey;
use crate::fatal::Tasks;
use crate::stats::Counts;
use crate::store::RecoveredConnection;
use crate::worker::post::{Notice, WorkerAddress};

/// After the Group ID.
const TOPIC_SUFFIX: &str = "_MQTT";
/// Events that wait to be given to the queue; at the limit they are dropped and counted.
const WAITING_MAX: usize = 65_536;
/// Of these, what the queue has and has not confirmed.
const SENDING_MAX: usize = 1024;
const RETRY: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Connect,
    /// The client said DISCONNECT.
    Disconnect,
    /// The connection ended, whatever came before.
    TcpClean,
}

impl EventKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::TcpClean => "tcpclean",
        }
    }
}

/// Why a connection ended, where those who listen need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The right that its client had come by was taken away.
    Revoked,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Event {
    kind: EventKind,
    cause: Option<Cause>,
    client: ClientKey,
    connection_id: Box<str>,
    at_ms: u64,
    peer: Box<str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    client_id: &'a str,
    time: u64,
    event_type: &'a str,
    channel_id: &'a str,
    client_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

impl Event {
    /// `None`: a client without a group has nobody who listens.
    fn to_queue(&self) -> Option<(TopicName, queue::Message)> {
        let topic = TopicName::parse(&format!("{}{TOPIC_SUFFIX}", self.client.group()?)).ok()?;
        let body = Body {
            client_id: self.client.as_str(),
            time: self.at_ms,
            event_type: self.kind.as_str(),
            channel_id: &self.connection_id,
            client_ip: &self.peer,
            cause: self.cause.map(Cause::as_str),
        };
        let message = queue::Message {
            tag: Some(self.kind.as_str().to_owned()),
            body: Bytes::from(serde_json::to_vec(&body).ok()?),
            born_ms: self.at_ms,
            ..queue::Message::default()
        };
        Some((topic, message))
    }
}

/// Where workers leave events.
#[derive(Clone)]
pub(crate) struct EventSender {
    queue: Arc<dyn Queue>,
    pending: Arc<PendingEvents>,
}

/// Events that the queue has not taken yet, and who is told when it has.
pub(crate) struct PendingEvents {
    waiting: mpsc::Sender<Event>,
    workers: Vec<WorkerAddress>,
    counts: Arc<Counts>,
}

pub(crate) fn channel(
    queue: Arc<dyn Queue>,
    workers: Vec<WorkerAddress>,
    counts: Arc<Counts>,
) -> (EventSender, mpsc::Receiver<Event>) {
    let (waiting, events) = mpsc::channel(WAITING_MAX);
    (EventSender { queue, pending: Arc::new(PendingEvents { waiting, workers, counts }) }, events)
}

impl EventSender {
    /// Never waits. What the queue takes at once stands there before anything that is sent to it afterwards.
    pub(crate) fn send(&self, kind: EventKind, client: &ClientKey, connection_id: &str, at_ms: u64, peer: &str) {
        let (client, connection_id, peer) = (client.clone(), connection_id.into(), peer.into());
        self.send_event(Event { kind, cause: None, client, connection_id, at_ms, peer });
    }

    /// The end of a connection, with its cause.
    pub(crate) fn send_end(
        &self,
        cause: Option<Cause>,
        client: &ClientKey,
        connection_id: &str,
        at_ms: u64,
        peer: &str,
    ) {
        let (client, connection_id, peer) = (client.clone(), connection_id.into(), peer.into());
        self.send_event(Event { kind: EventKind::TcpClean, cause, client, connection_id, at_ms, peer });
    }

    fn send_event(&self, event: Event) {
        if let Err(not_taken) = self.offer(event) {
            (not_taken.done)(Err(Unavailable::Busy.into()));
        }
    }

    fn offer(&self, event: Event) -> Result<(), Box<NotTaken>> {
        let pending = self.pending.clone();
        let Some((topic, message)) = event.to_queue() else {
            pending.confirm(event);
            return Ok(());
        };
        let done = move |result: Result<MessageId, SendError>| match result {
            Ok(_) => pending.confirm(event),
            Err(_) => pending.keep(event),
        };
        self.queue.try_send(&topic, message, Box::new(done))
    }

    /// The connections that the last run left open.
    pub(crate) async fn send_left_open(
        &self,
        connections: impl IntoIterator<Item = (Box<str>, RecoveredConnection)>,
        now_ms: u64,
    ) {
        for (connection_id, connection) in connections {
            let RecoveredConnection { client_id, address, closed_ms } = connection;
            let event = Event {
                kind: EventKind::TcpClean,
                cause: None,
                client: ClientKey::new(&client_id),
                connection_id,
                at_ms: closed_ms.unwrap_or(now_ms),
                peer: address,
            };
            if self.offer(event.clone()).is_err() && self.pending.waiting.send(event).await.is_err() {
                return;
            }
        }
    }

    /// Gives the queue what it did not take at once, many at a time.
    pub(crate) async fn run(self, mut waiting: mpsc::Receiver<Event>, tasks: Tasks) {
        let room = Arc::new(Semaphore::new(SENDING_MAX));
        while let Some(event) = waiting.recv().await {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let sender = self.clone();
            tasks.spawn("an online event", async move {
                sender.send_until_taken(event).await;
                drop(permit);
            });
        }
    }

    async fn send_until_taken(&self, event: Event) {
        let Some((topic, message)) = event.to_queue() else { return };
        loop {
            match self.queue.send_wait(&topic, message.clone()).await {
                Ok(_) => return self.pending.confirm(event),
                Err(SendError::UnknownTopic(_)) => self.create(&topic).await,
                Err(SendError::Unavailable(Unavailable::Busy | Unavailable::Full)) => tokio::time::sleep(RETRY).await,
                Err(error) => return tracing::warn!(%error, "an online event did not get into the queue"),
            }
        }
    }

    async fn create(&self, topic: &TopicName) {
        if let Err(error) = self.queue.create_topic(topic.clone()).await {
            tracing::warn!(%error, %topic, "the topic of online events cannot be made");
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl PendingEvents {
    fn keep(&self, event: Event) {
        if self.waiting.try_send(event).is_err() {
            self.counts.events_dropped.one();
        }
    }

    /// The log may forget the connection.
    fn confirm(&self, event: Event) {
        if event.kind != EventKind::TcpClean {
            return;
        }
        let owner = ClientKey::owner(event.client.as_str(), self.workers.len());
        if let Some(address) = self.workers.get(owner) {
            address.notify(Notice::EventSent { connection_id: event.connection_id });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn an_event_is_what_consumers_of_the_reference_product_expect() {
        let event = Event {
            kind: EventKind::Connect,
            cause: None,
            client: ClientKey::new("GID_XXX@@@YYYYY"),
            connection_id: "2b9b1281046046faafe5e0b458e41234".into(),
            at_ms: 1_212_121_212,
            peer: "192.168.0.7:13301".into(),
        };
        let (topic, message) = event.to_queue().unwrap();
        assert_eq!((topic.as_str(), message.tag.as_deref()), ("GID_XXX_MQTT", Some("connect")));
        let expected = r#"{"clientId":"GID_XXX@@@YYYYY","time":1212121212,"eventType":"connect","channelId":"2b9b1281046046faafe5e0b458e41234","clientIp":"192.168.0.7:13301"}"#;
        assert_eq!(message.body, expected.as_bytes());
    }
}
