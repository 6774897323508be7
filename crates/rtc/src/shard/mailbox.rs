//! The bounded mailbox of a shard: what the door, the channel calls and the other shards ask of it.
//!
//! When it is full, calls and joins fail at once (and are repeated by their maker), datagrams are dropped.

use crate::api::{ChannelDescription, ChannelError};
use crate::connect::Negotiated;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;
use signalling::{ChannelId, JoinClaims, ParticipationId, Rights, SlotMap, Source};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// Commands that wait for a shard, at most.
const MAILBOX_MAX: usize = 4_096;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChannelError>>;

pub(crate) enum Command {
    Call(ChannelId, Call),
    Join(Box<JoinAttempt>),
    /// A datagram that the kernel gave to another shard's socket.
    Datagram(Handed),
    /// Datagrams from this address belong to that shard from now on.
    Route(SocketAddr, usize),
}

pub(crate) enum Call {
    Open(Reply<()>),
    Close(Reply<()>),
    Admit(ParticipationId, Reply<()>),
    UpdateRights(ParticipationId, Rights, Reply<()>),
    Mute(ParticipationId, Source, bool, Reply<()>),
    Remove(ParticipationId, Reply<()>),
    Describe(Reply<Option<ChannelDescription>>),
}

pub(crate) struct JoinAttempt {
    pub(crate) claims: JoinClaims,
    pub(crate) negotiated: Negotiated,
    pub(crate) reply: oneshot::Sender<Result<SlotMap, JoinRefusal>>,
}

/// Why a valid token joins nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinRefusal {
    /// Not open: closed, or never opened.
    ChannelClosed,
    /// The participation was removed.
    Removed,
    /// A newer participation of the same client took its place.
    Replaced,
    ChannelFull,
}

pub(crate) struct Handed {
    pub(crate) from_shard: usize,
    pub(crate) source: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) bytes: Box<[u8]>,
}

/// The sending end; waking the shard is part of sending.
#[derive(Clone)]
pub(crate) struct ShardMailbox {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
}

/// The receiving end.
pub(crate) struct Inbox {
    pub(crate) commands: Receiver<Command>,
    stop: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("its mailbox is full")]
    Full,
    #[error("it has stopped")]
    Stopped,
}

pub(crate) fn mailbox(waker: Waker) -> (ShardMailbox, Inbox) {
    let (commands, receiver) = bounded(MAILBOX_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let inbox = Inbox { commands: receiver, stop: stop.clone() };
    (ShardMailbox { commands, waker: Arc::new(waker), stop }, inbox)
}

impl Inbox {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl ShardMailbox {
    pub(crate) fn send(&self, command: Command) -> Result<(), Refused> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Stopped,
        })?;
        self.wake();
        Ok(())
    }

    /// Ends the shard, also when its mailbox is full.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// A failed wake-up delays what was sent to the shard's next turn, it does not lose it.
    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "waking a media shard failed");
        }
    }
}
