//! What workers say to each other, and what others say to a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use accounts::login::LookupError;
use commitlog::{Need, Position};
use mqtt::{AckToken, ReasonCode};
use queue::{MessageId, Receipt, SendError, TopicName};
use rustls::ServerConnection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use uuid::Uuid;

use super::action::ClientRef;
use super::connections::Moving;
use super::orders::{Order, PlacedAnswer};
use super::queue_order::QueueOrder;
use super::reader::{Loaded, ReadRecord};
use super::taken::Taken;
use crate::client::ClientKey;
use crate::connection_limiter::ConnectionPermit;
use crate::mailbox::{Address, Mailbox};
use crate::message::SharedMessage;

pub(crate) type WorkerAddress = Address<Post, Notice>;
pub(crate) type WorkerMailbox = Mailbox<Post, Notice>;

/// Names one connection of a worker. A name of a connection that has gone is nobody's. Small, because every timer has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionKey {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// From worker to worker.
pub(crate) enum Post {
    /// A connection whose client belongs to the receiving worker.
    Move(Box<Moving>),
    P2p(P2p),
    FanOut(FanOut),
    /// How it went with what was posted.
    Reply {
        target: ReplyTarget,
        outcome: Outcome,
    },
}

impl Post {
    /// What it holds while it waits.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Move(moving) => moving.held_bytes(),
                Self::P2p(p2p) => p2p.message.held_bytes(),
                Self::FanOut(fan_out) => fan_out.message.held_bytes(),
                Self::Reply { .. } => 0,
            }
    }
}

/// A message for one client.
pub(crate) struct P2p {
    pub(crate) to: ClientKey,
    pub(crate) message: SharedMessage,
    /// Wait for a receiver that is off.
    pub(crate) keep: bool,
    pub(crate) reply_to: ReplyTo,
}

impl P2p {
    /// What it holds while it waits.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.message.held_bytes()
    }
}

/// A message for the subscribers of one worker.
pub(crate) struct FanOut {
    pub(crate) message: SharedMessage,
    /// The client that published it.
    pub(crate) from: Option<ClientKey>,
    /// Wait for receivers that are off.
    pub(crate) keep: bool,
    /// Of what goes into the log.
    pub(crate) need: Need,
    pub(crate) order: FanOutOrder,
    pub(crate) reply_to: ReplyTo,
}

/// Who gets a message first.
#[derive(Debug)]
pub(crate) enum FanOutOrder {
    /// Those that need no log: at once, whatever the log does.
    LiveFirst,
    /// Those that need the log, from this one on; then the others. So what finds no room and is to come again has reached
    /// none of them.
    LogFirst { from: ClientRef, queue: QueueOrder },
}

/// What waits for the outcome, and on which worker.
pub(crate) struct ReplyTo {
    pub(crate) worker: usize,
    pub(crate) target: ReplyTarget,
}

pub(crate) enum ReplyTarget {
    Nobody,
    Publish {
        connection: ConnectionKey,
        token: AckToken,
    },
    /// A message that went to several places: the number of its pending replies.
    Merged(u64),
    /// The same for a message of the queue, which goes on to those workers alone that did not take it.
    Part {
        number: u64,
        worker: usize,
    },
    Queue(Box<QueueJob>),
    /// An owner's message.
    Owner(Box<PlacedAnswer>),
}

/// A message of the queue that has to be acknowledged there.
pub(crate) struct QueueJob {
    pub(crate) receipt: Receipt,
    pub(crate) message_id: MessageId,
    pub(crate) topic: TopicName,
    /// For the dead letters.
    pub(crate) original: queue::Message,
    /// Its receivers have had it: the acknowledgement is all that is left.
    pub(crate) is_done: bool,
    /// Subscribers that have it while others had no room.
    pub(crate) taken: Taken,
    pub(crate) order: QueueOrder,
    /// Room in the pump; given back when the job is done.
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) permit: OwnedSemaphorePermit,
    /// Takes the job back if the log has no room for it.
    pub(crate) pump: mpsc::UnboundedSender<Box<QueueJob>>,
}

impl QueueJob {
    /// What the queue has already is only moved. So it may take of the reserve, but not of the half that lets
    /// acknowledgements and hand-outs go on.
    pub(crate) const NEED: Need = Need::Housekeeping;

    /// It waits with its pump until the log has room. A pump that has stopped lets it go, and the queue hands it out again.
    pub(crate) fn return_to_pump(self: Box<Self>) {
        let pump = self.pump.clone();
        drop(pump.send(self));
    }
}

impl Drop for QueueJob {
    /// Nothing waits for a message that is done or given up.
    fn drop(&mut self) {
        self.order.end_waiting();
    }
}

/// How it went with one message at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing more to wait for.
    Done(ReasonCode),
    /// To be acknowledged when the log is durable up to here.
    Durable(Position),
    /// Not taken, and the fault is the receiver's or its absence; a 3.1.1 client is told nothing of it.
    Dropped(ReasonCode),
    /// Not taken for now: the sender keeps it and tries again.
    Unavailable,
    /// The same, until the log has room.
    NoRoom,
    /// The same, but the clients before `next` have it once the log is durable up to `stored`.
    Partial { stored: Position, next: ClientRef },
    /// The sender may not do this; 3.1.1 is closed.
    Forbidden(ReasonCode),
}

impl Outcome {
    /// The one outcome of two places: a refusal decides; else the disk; else a place that took it.
    pub(crate) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Durable(a), Self::Durable(b)) => Self::Durable(a.max(b)),
            (a, b) if a.weight() >= b.weight() => a,
            (_, b) => b,
        }
    }

    fn weight(self) -> u8 {
        match self {
            Self::Dropped(_) => 0,
            Self::Done(reason) if reason != ReasonCode::SUCCESS => 1,
            Self::Done(_) => 2,
            Self::Durable(_) => 3,
            Self::Unavailable => 4,
            Self::NoRoom | Self::Partial { .. } => 5,
            Self::Forbidden(_) => 6,
        }
    }
}

/// Answers to a worker's own questions, and news from outside.
pub(crate) enum Notice {
    Arrival(Box<Arrival>),
    Device {
        connection: ConnectionKey,
        found: Result<Option<catalog::Device>, LookupError>,
    },
    /// The next messages of a client, as they were when they were asked for.
    MessagesRead {
        client: ClientRef,
        messages: Vec<Loaded>,
    },
    /// Records that are to be carried.
    RecordsRead(Vec<ReadRecord>),
    /// Whether a receiver without a session is registered.
    Receiver {
        client: ClientKey,
        is_registered: Result<bool, LookupError>,
    },
    /// Whose session this client id has.
    Holder {
        client: ClientKey,
        answer: oneshot::Sender<Option<Box<str>>>,
    },
    EndDevice(Removal),
    Ordered(Order),
    /// An access key allows less than before, or nothing.
    KeyCut {
        key_id: Arc<str>,
        answer: Arc<AnswerOfAll>,
    },
    /// The time of an access key or of its secrets was changed.
    KeyChanged {
        key_id: Arc<str>,
        answer: Arc<AnswerOfAll>,
    },
    /// The device of a connection whose credential was to end by now.
    Standing {
        connection: ConnectionKey,
        found: Result<Option<catalog::Device>, LookupError>,
    },
    /// The credential of a device was replaced, or the device removed with it.
    CredentialCut {
        client: ClientKey,
        key_id: Box<str>,
        is_removed: bool,
        answer: oneshot::Sender<()>,
    },
    /// A client id was registered, to this account: what others have under it ends.
    Registered {
        client: ClientKey,
        account: Box<str>,
        answer: oneshot::Sender<()>,
    },
    /// A group was removed.
    GroupCut {
        group: Arc<str>,
        answer: Arc<AnswerOfAll>,
    },
    /// Somebody may not subscribe at this parent topic any more.
    SubscriptionsCut {
        parent: Arc<str>,
        answer: Arc<AnswerOfAll>,
    },
    /// A token was revoked.
    TokenCut {
        id: Uuid,
        answer: Arc<AnswerOfAll>,
    },
    /// A revocation list of client certificates has changed.
    CertificatesRevoked {
        answer: Arc<AnswerOfAll>,
    },
    QueueSent {
        target: ReplyTarget,
        result: Result<(), SendError>,
    },
    /// The `tcpclean` of this connection is in the queue.
    EventSent {
        connection_id: Box<str>,
    },
    FromQueue(FromQueue),
    Stop(ReasonCode),
    /// Nothing will become durable any more.
    LogFailed,
}

/// Answers when the last that holds it is done, unless one of them has failed.
pub(crate) struct AnswerOfAll {
    answer: Option<oneshot::Sender<()>>,
    has_failed: AtomicBool,
}

impl AnswerOfAll {
    pub(crate) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (answer, answered) = oneshot::channel();
        (Arc::new(Self { answer: Some(answer), has_failed: AtomicBool::new(false) }), answered)
    }

    /// It is not done: nobody answers.
    pub(crate) fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for AnswerOfAll {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take()
            && !*self.has_failed.get_mut()
        {
            // The caller may have stopped waiting.
            let _ = answer.send(());
        }
    }
}

/// What a user has under this client id is to end.
pub(crate) struct Removal {
    pub(crate) client: ClientKey,
    /// Of the credential that is void from now on.
    pub(crate) key_id: Option<Box<str>>,
    /// Its device was removed.
    pub(crate) is_removed: bool,
    /// Gets the account of a service that has the client id: nothing was ended then.
    pub(crate) answer: oneshot::Sender<Option<Box<str>>>,
}

pub(crate) enum FromQueue {
    P2p { to: ClientKey, message: SharedMessage, keep: bool, job: Box<QueueJob> },
    Subscribers { message: SharedMessage, keep: bool, job: Box<QueueJob> },
}

/// A connection that has just been made.
pub(crate) struct Arrival {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) tls: Option<Box<ServerConnection>>,
    /// Upgraded to WebSocket, with what was read behind the upgrade.
    pub(crate) websocket: Option<Vec<u8>>,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: ConnectionPermit,
}
