//! One media thread: its socket, its mailbox, and the [`state`] that they feed.
//!
//! A turn, in order: wait for a datagram, a command or a deadline; commands; datagrams into their peers; what the
//! peers report into their channels, whose writes go to the viewers; deadlines; then every viewer that was written to
//! is flushed once, and the last batch is sent. So all packets of a turn to one viewer leave together.

mod commands;
pub(crate) mod mailbox;
mod peer;
mod routes;
pub(crate) mod socket;
mod state;

use crate::channel::BookConfig;
use crate::feed::Feeds;
use crate::metrics::Metrics;
use mailbox::{MailboxReceiver, ShardMailbox};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use socket::{Egress, Ingress};
use state::ShardState;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The user fragment has two hexadecimal digits for the shard; more threads than this make no sense on one port.
pub(crate) const MAX_SHARDS: usize = 64;
const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);
/// Receive calls per turn, so that a flood cannot keep deadlines and commands waiting.
const RECEIVES_PER_TURN: usize = 8;
const COMMANDS_PER_TURN: usize = 256;
const HAND_OVERS_PER_TURN: usize = 256;

/// Takes the reason why a media thread has ended by itself.
pub(crate) type FailureSender = watch::Sender<Option<String>>;

pub(crate) struct ShardConfig {
    pub(crate) index: usize,
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) book: BookConfig,
    /// Between two looks for channels that nobody needs.
    pub(crate) sweep_interval: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) feeds: Arc<Feeds>,
}

/// A shard that is ready to run, so that every shard can know every other's mailbox.
pub(crate) struct ShardThread {
    config: ShardConfig,
    poll: Poll,
    ingress: Ingress,
    egress: Egress,
    mailbox: ShardMailbox,
    receiver: MailboxReceiver,
}

impl ShardThread {
    pub(crate) fn prepare(config: ShardConfig, socket: UdpSocket) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (mailbox, receiver) = mailbox::mailbox(Waker::new(poll.registry(), WAKE)?);
        let (ingress, egress) = socket::split(socket, config.metrics.clone())?;
        poll.registry().register(&mut SourceFd(&ingress.fd()), SOCKET, Interest::READABLE)?;
        Ok(Self { config, poll, ingress, egress, mailbox, receiver })
    }

    pub(crate) fn mailbox(&self) -> ShardMailbox {
        self.mailbox.clone()
    }

    pub(crate) fn spawn(self, shards: Vec<ShardMailbox>, failed: FailureSender) -> io::Result<JoinHandle<()>> {
        let name = format!("rtc-{}", self.config.index);
        let Self { config, poll, ingress, egress, receiver, .. } = self;
        let event_loop =
            EventLoop { poll, ingress, receiver, readable: true, state: ShardState::new(config, egress, shards) };
        std::thread::Builder::new().name(name).spawn(move || report_end(&failed, || event_loop.run()))
    }
}

/// A thread that ends otherwise than by [`ShardMailbox::stop`] says why: its channels have ended.
fn report_end(failed: &FailureSender, run: impl FnOnce() -> io::Result<()>) {
    let cause = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("a media thread cannot wait for packets: {error}"),
        Err(_) => "a media thread panicked".to_owned(),
    };
    tracing::error!(%cause, "a media thread has ended");
    failed.send_replace(Some(cause));
}

struct EventLoop {
    poll: Poll,
    ingress: Ingress,
    receiver: MailboxReceiver,
    /// The socket may have more (readiness is told once, on its edge).
    readable: bool,
    state: ShardState,
}

impl EventLoop {
    fn run(mut self) -> io::Result<()> {
        let mut events = mio::Events::with_capacity(16);
        while !self.receiver.is_stopped() {
            self.wait(&mut events)?;
            self.handle_mail();
            self.handle_datagrams();
            self.state.finish_turn(Instant::now());
        }
        self.state.close_all(Instant::now());
        Ok(())
    }

    fn wait(&mut self, events: &mut mio::Events) -> io::Result<()> {
        let busy = self.readable || !self.receiver.is_empty();
        let timeout = if busy { Some(Duration::ZERO) } else { self.state.poll_timeout(Instant::now()) };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.readable |= events.iter().any(|event| event.token() == SOCKET);
        Ok(())
    }

    fn handle_mail(&mut self) {
        for command in self.receiver.commands.try_iter().take(COMMANDS_PER_TURN) {
            self.state.handle_command(command, Instant::now());
        }
        for hand_over in self.receiver.hand_overs.try_iter().take(HAND_OVERS_PER_TURN) {
            self.state.handle_hand_over(&hand_over, Instant::now());
        }
    }

    fn handle_datagrams(&mut self) {
        for _ in 0..RECEIVES_PER_TURN {
            if !self.readable {
                return;
            }
            match self.ingress.receive() {
                Ok(buffers) => self.handle_received(buffers),
                // Besides "would block" only ICMP errors of peers that are gone come here: the next read goes on.
                Err(error) => self.readable = error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    fn handle_received(&mut self, buffers: usize) {
        let now = Instant::now();
        for index in 0..buffers {
            for datagram in self.ingress.received(index) {
                self.state.handle_datagram(&datagram, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(run: impl FnOnce() -> io::Result<()>) -> Option<String> {
        let failed = FailureSender::new(None);
        report_end(&failed, run);
        failed.borrow().clone()
    }

    #[test]
    fn a_thread_that_ends_by_itself_says_why_and_one_that_was_stopped_says_nothing() {
        assert_eq!(end(|| Ok(())), None);
        assert!(end(|| Err(io::ErrorKind::OutOfMemory.into())).is_some_and(|cause| cause.contains("cannot wait")));
        assert!(end(|| unreachable!("a defect")).is_some_and(|cause| cause.contains("panicked")));
    }
}
