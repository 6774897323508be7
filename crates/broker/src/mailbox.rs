//! Bounded mailboxes between workers, one wake-up per batch.
//!
//! A post never blocks and is never lost: what does not fit stays with the sender, which pauses the publishers that
//! fill it, and is woken when there is room again. Notices (answers to a worker's own questions: disk, queue, directory)
//! come through a second channel that needs no bound of its own: there is at most one for each open question and order and for
//! each new connection, and these are bounded where they are asked and accepted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use mio::{Registry, Token, Waker};

/// Posts of one batch.
pub(crate) const BATCH_MAX: usize = 256;
/// Bytes of one batch, unless its only post is larger.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Batches that wait in one mailbox.
const BATCHES_MAX: usize = 64;
/// Bytes that wait in one mailbox. An empty one takes any batch.
const BYTES_MAX: usize = 4 << 20;
/// Workers that a broker may have: one bit each.
pub(crate) const WORKERS_MAX: usize = 64;

/// Wakes one worker, at most once until it has looked.
#[derive(Debug)]
pub(crate) struct Alarm {
    waker: Waker,
    ringing: AtomicBool,
}

impl Alarm {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { waker: Waker::new(registry, token)?, ringing: AtomicBool::new(false) })
    }

    pub(crate) fn ring(&self) {
        if !self.ringing.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a broker worker cannot be woken");
        }
    }

    /// To be called before looking into the mailboxes.
    pub(crate) fn silence(&self) {
        self.ringing.store(false, Ordering::SeqCst);
    }
}

/// Posts that go together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch<P> {
    pub(crate) posts: Vec<P>,
    /// What they hold.
    pub(crate) bytes: usize,
}

impl<P> Batch<P> {
    pub(crate) const fn new() -> Self {
        Self { posts: Vec::new(), bytes: 0 }
    }

    /// An empty one takes any post.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.posts.is_empty() || (self.posts.len() < BATCH_MAX && self.bytes + bytes <= BATCH_BYTES_MAX)
    }

    pub(crate) fn push(&mut self, post: P, bytes: usize) {
        self.posts.push(post);
        self.bytes += bytes;
    }
}

/// Bytes of the batches that wait in one mailbox.
#[derive(Debug, Default)]
struct WaitingBytes(AtomicUsize);

impl WaitingBytes {
    /// `false`: there is no room.
    fn try_add(&self, more: usize) -> bool {
        let sum = |waiting: usize| (waiting == 0 || waiting + more <= BYTES_MAX).then_some(waiting + more);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, sum).is_ok()
    }

    fn remove(&self, fewer: usize) {
        self.0.fetch_sub(fewer, Ordering::SeqCst);
    }
}

/// Where others reach one worker.
#[derive(Debug)]
pub(crate) struct Address<P, N> {
    posts: Sender<Batch<P>>,
    waiting_bytes: Arc<WaitingBytes>,
    notices: Sender<N>,
    alarm: Arc<Alarm>,
    /// Senders that found the mailbox full, one bit each.
    starving: Arc<AtomicU64>,
}

impl<P, N> Clone for Address<P, N> {
    fn clone(&self) -> Self {
        Self {
            posts: self.posts.clone(),
            waiting_bytes: self.waiting_bytes.clone(),
            notices: self.notices.clone(),
            alarm: self.alarm.clone(),
            starving: self.starving.clone(),
        }
    }
}

impl<P, N> Address<P, N> {
    /// Delivers the batch or gives it back. `from` is woken when a full mailbox was emptied.
    pub(crate) fn try_post(&self, batch: Batch<P>, from: usize) -> Result<(), Batch<P>> {
        let batch = match self.try_send(batch) {
            Ok(()) => return Ok(()),
            Err(batch) => batch,
        };
        self.starving.fetch_or(1 << from, Ordering::SeqCst);
        // The mailbox may have been emptied before the bit was seen.
        self.try_send(batch)
    }

    fn try_send(&self, batch: Batch<P>) -> Result<(), Batch<P>> {
        if !self.waiting_bytes.try_add(batch.bytes) {
            return Err(batch);
        }
        match self.posts.try_send(batch) {
            Ok(()) => {
                self.alarm.ring();
                Ok(())
            }
            Err(TrySendError::Full(batch)) => {
                self.waiting_bytes.remove(batch.bytes);
                Err(batch)
            }
            // The worker has ended, so the process is ending.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    /// The answer to a question of this worker, or news that every worker gets.
    pub(crate) fn notify(&self, notice: N) {
        // A worker that has ended needs no answers.
        let _ = self.notices.send(notice);
        self.alarm.ring();
    }

    pub(crate) fn ring(&self) {
        self.alarm.ring();
    }
}

/// The worker's own end.
#[derive(Debug)]
pub(crate) struct Mailbox<P, N> {
    posts: Receiver<Batch<P>>,
    waiting_bytes: Arc<WaitingBytes>,
    notices: Receiver<N>,
    alarm: Arc<Alarm>,
    starving: Arc<AtomicU64>,
}

pub(crate) fn mailbox<P, N>(alarm: Alarm) -> (Address<P, N>, Mailbox<P, N>) {
    let (post_sender, posts) = bounded(BATCHES_MAX);
    let (notice_sender, notices) = unbounded();
    let alarm = Arc::new(alarm);
    let starving = Arc::new(AtomicU64::new(0));
    let waiting_bytes = Arc::new(WaitingBytes::default());
    let address = Address {
        posts: post_sender,
        waiting_bytes: waiting_bytes.clone(),
        notices: notice_sender,
        alarm: alarm.clone(),
        starving: starving.clone(),
    };
    (address, Mailbox { posts, waiting_bytes, notices, alarm, starving })
}

impl<P, N> Mailbox<P, N> {
    pub(crate) fn silence(&self) {
        self.alarm.silence();
    }

    pub(crate) fn next_batch(&self) -> Option<Vec<P>> {
        let batch = self.posts.try_recv().ok()?;
        self.waiting_bytes.remove(batch.bytes);
        Some(batch.posts)
    }

    pub(crate) fn next_notice(&self) -> Option<N> {
        self.notices.try_recv().ok()
    }

    /// Nothing is there at the moment.
    pub(crate) fn is_empty(&self) -> bool {
        self.posts.is_empty() && self.notices.is_empty()
    }

    /// The workers that wait for room, each told once.
    pub(crate) fn take_starving(&self) -> impl Iterator<Item = usize> + use<P, N> {
        let bits = self.starving.swap(0, Ordering::SeqCst);
        (0..WORKERS_MAX).filter(move |worker| bits >> worker & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn pair() -> (mio::Poll, Address<u32, u32>, Mailbox<u32, u32>) {
        let poll = mio::Poll::new().unwrap();
        let alarm = Alarm::new(poll.registry(), Token(0)).unwrap();
        let (address, mailbox) = mailbox(alarm);
        (poll, address, mailbox)
    }

    fn batch(number: usize, bytes: usize) -> Batch<u32> {
        Batch { posts: vec![u32::try_from(number).unwrap()], bytes }
    }

    #[test]
    fn a_full_mailbox_gives_the_batch_back_and_remembers_who_waits() {
        let (_poll, address, mailbox) = pair();
        for number in 0..BATCHES_MAX {
            address.try_post(batch(number, 1), 3).unwrap();
        }
        assert_eq!(address.try_post(batch(99, 1), 3), Err(batch(99, 1)));
        assert_eq!(mailbox.next_batch(), Some(vec![0]));
        assert_eq!(mailbox.take_starving().collect::<Vec<_>>(), [3]);
        assert_eq!(address.try_post(batch(99, 1), 3), Ok(()));
        assert_eq!(mailbox.take_starving().count(), 0);
    }

    #[test]
    fn a_mailbox_is_full_of_bytes_too_and_an_empty_one_takes_any_batch() {
        let (_poll, address, mailbox) = pair();
        assert_eq!(address.try_post(batch(1, 2 * BYTES_MAX), 3), Ok(()));
        assert_eq!(address.try_post(batch(2, 1), 3), Err(batch(2, 1)));
        assert_eq!(mailbox.next_batch(), Some(vec![1]));
        assert_eq!(mailbox.take_starving().collect::<Vec<_>>(), [3]);
        assert_eq!(address.try_post(batch(2, BYTES_MAX - 1), 3), Ok(()));
        assert_eq!(address.try_post(batch(3, 1), 3), Ok(()));
        assert_eq!(address.try_post(batch(4, 1), 3), Err(batch(4, 1)));
    }

    #[test]
    fn notices_come_in_their_order() {
        let (_poll, address, mailbox) = pair();
        (0..3).for_each(|n| address.notify(n));
        assert_eq!(std::iter::from_fn(|| mailbox.next_notice()).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
