//! The bounded mailbox of a shard: joins, channel commands, and what other shards hand over.
//!
//! When it is full, commands and joins fail at once (and are repeated by their caller). What datagrams make other shards
//! hand over has a compartment of its own, so that a sender of many cannot keep commands out; when it is full, it is
//! dropped.

use crate::negotiator::Negotiated;
use crate::owner::{ChannelKey, Owner};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;
use signalling::{ChannelDescription, ChannelError, DesiredChannel};
use signalling::{JoinClaims, SlotMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// Commands that wait for a shard, at most.
const MAILBOX_MAX: usize = 4_096;
/// Handed-over datagrams and routes that wait, at most: some milliseconds of a busy shard.
const HAND_OVERS_MAX: usize = 1_024;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChannelError>>;

pub(crate) enum Command {
    Put {
        key: ChannelKey,
        rev: u64,
        desired: Option<DesiredChannel>,
        reply: Reply<()>,
    },
    Describe(ChannelKey, Reply<Option<ChannelDescription>>),
    List(Owner, Reply<Vec<ChannelDescription>>),
    /// May the bearer of a token join?
    Admission(Box<AdmissionRequest>),
    Join(Box<JoinAttempt>),
}

pub(crate) struct AdmissionRequest {
    pub(crate) key: ChannelKey,
    pub(crate) claims: JoinClaims,
    /// Answered when it is decided, which may take until the next put. A caller that gives up drops its end.
    pub(crate) reply: oneshot::Sender<Result<(), JoinRefusal>>,
}

pub(crate) struct JoinAttempt {
    pub(crate) key: ChannelKey,
    pub(crate) claims: JoinClaims,
    pub(crate) negotiated: Negotiated,
    pub(crate) reply: oneshot::Sender<Result<SlotMap, JoinRefusal>>,
}

/// Why a valid token joins nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinRefusal {
    /// It has ended.
    ChannelClosed,
    /// The wish for the channel does not have the participation.
    Removed,
    /// The token is newer than the wish for the channel, or there is no wish yet.
    NotYet,
    ChannelFull,
}

pub(crate) enum HandOver {
    Datagram(HandedDatagram),
    /// Datagrams from this address belong to that shard from now on.
    Route(SocketAddr, usize),
}

/// A datagram that the kernel gave to another shard's socket.
pub(crate) struct HandedDatagram {
    pub(crate) from_shard: usize,
    pub(crate) source: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) bytes: Box<[u8]>,
}

/// The sending end; waking the shard is part of sending.
#[derive(Clone)]
pub(crate) struct ShardMailbox {
    commands: Sender<Command>,
    hand_overs: Sender<HandOver>,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
}

/// The receiving end.
pub(crate) struct MailboxReceiver {
    pub(crate) commands: Receiver<Command>,
    pub(crate) hand_overs: Receiver<HandOver>,
    stop: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    #[error("its mailbox is full")]
    Full,
    #[error("it has stopped")]
    Stopped,
}

pub(crate) fn mailbox(waker: Waker) -> (ShardMailbox, MailboxReceiver) {
    let (commands, command_receiver) = bounded(MAILBOX_MAX);
    let (hand_overs, hand_over_receiver) = bounded(HAND_OVERS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let receiver = MailboxReceiver { commands: command_receiver, hand_overs: hand_over_receiver, stop: stop.clone() };
    (ShardMailbox { commands, hand_overs, waker: Arc::new(waker), stop }, receiver)
}

fn send_error<T>(error: TrySendError<T>) -> SendError {
    match error {
        TrySendError::Full(_) => SendError::Full,
        TrySendError::Disconnected(_) => SendError::Stopped,
    }
}

impl MailboxReceiver {
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.hand_overs.is_empty()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl ShardMailbox {
    pub(crate) fn send(&self, command: Command) -> Result<(), SendError> {
        self.commands.try_send(command).map_err(send_error)?;
        self.wake();
        Ok(())
    }

    pub(crate) fn hand_over(&self, hand_over: HandOver) -> Result<(), SendError> {
        self.hand_overs.try_send(hand_over).map_err(send_error)?;
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use signalling::ChannelId;

    #[test]
    fn what_is_handed_over_leaves_the_room_of_commands() {
        let poll = mio::Poll::new().unwrap();
        let (mailbox, receiver) = mailbox(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let route = || HandOver::Route(SocketAddr::from(([192, 0, 2, 1], 1)), 0);
        let taken = (0..2 * MAILBOX_MAX).filter(|_| mailbox.hand_over(route()).is_ok()).count();
        assert_eq!((taken, mailbox.hand_over(route()).err()), (HAND_OVERS_MAX, Some(SendError::Full)));
        let (reply, _answer) = oneshot::channel();
        let key = ChannelKey { owner: Owner::from("app"), channel: ChannelId::from("c") };
        assert!(mailbox.send(Command::Describe(key, reply)).is_ok());
        assert_eq!(receiver.commands.len(), 1);
    }
}
