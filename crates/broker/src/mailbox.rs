//! Bounded mailboxes between workers, one wake-up per batch.
//!
//! A post never blocks and is never lost: what does not fit stays with the sender, which pauses the publishers that
//! fill it, and is woken when there is room again. Notices (answers to a worker's own questions: disk, queue, directory)
//! come through a second channel that needs no bound of its own: there is at most one for each open question, and
//! questions are bounded where they are asked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use mio::{Registry, Token, Waker};

/// Posts of one batch.
pub(crate) const BATCH_MAX: usize = 256;
/// Batches that wait in one mailbox.
const BATCHES_MAX: usize = 64;
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

/// Where others reach one worker.
#[derive(Debug)]
pub(crate) struct Address<P, N> {
    posts: Sender<Vec<P>>,
    notices: Sender<N>,
    alarm: Arc<Alarm>,
    /// Senders that found the mailbox full, one bit each.
    starving: Arc<AtomicU64>,
}

impl<P, N> Clone for Address<P, N> {
    fn clone(&self) -> Self {
        Self {
            posts: self.posts.clone(),
            notices: self.notices.clone(),
            alarm: self.alarm.clone(),
            starving: self.starving.clone(),
        }
    }
}

impl<P, N> Address<P, N> {
    /// Delivers the batch or gives it back. `from` is woken when a full mailbox was emptied.
    pub(crate) fn try_post(&self, batch: Vec<P>, from: usize) -> Result<(), Vec<P>> {
        let batch = match self.try_send(batch) {
            Ok(()) => return Ok(()),
            Err(batch) => batch,
        };
        self.starving.fetch_or(1 << from, Ordering::SeqCst);
        // The mailbox may have been emptied before the bit was seen.
        self.try_send(batch)
    }

    fn try_send(&self, batch: Vec<P>) -> Result<(), Vec<P>> {
        match self.posts.try_send(batch) {
            Ok(()) => {
                self.alarm.ring();
                Ok(())
            }
            Err(TrySendError::Full(batch)) => Err(batch),
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
    posts: Receiver<Vec<P>>,
    notices: Receiver<N>,
    alarm: Arc<Alarm>,
    starving: Arc<AtomicU64>,
}

pub(crate) fn mailbox<P, N>(alarm: Alarm) -> (Address<P, N>, Mailbox<P, N>) {
    let (post_sender, posts) = bounded(BATCHES_MAX);
    let (notice_sender, notices) = unbounded();
    let alarm = Arc::new(alarm);
    let starving = Arc::new(AtomicU64::new(0));
    let address =
        Address { posts: post_sender, notices: notice_sender, alarm: alarm.clone(), starving: starving.clone() };
    (address, Mailbox { posts, notices, alarm, starving })
}

impl<P, N> Mailbox<P, N> {
    pub(crate) fn silence(&self) {
        self.alarm.silence();
    }

    pub(crate) fn next_batch(&self) -> Option<Vec<P>> {
        self.posts.try_recv().ok()
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

    #[test]
    fn a_full_mailbox_gives_the_batch_back_and_remembers_who_waits() {
        let (_poll, address, mailbox) = pair();
        for batch in 0..BATCHES_MAX {
            address.try_post(vec![u32::try_from(batch).unwrap()], 3).unwrap();
        }
        assert_eq!(address.try_post(vec![99], 3), Err(vec![99]));
        assert_eq!(mailbox.next_batch(), Some(vec![0]));
        assert_eq!(mailbox.take_starving().collect::<Vec<_>>(), [3]);
        assert_eq!(address.try_post(vec![99], 3), Ok(()));
        assert_eq!(mailbox.take_starving().count(), 0);
    }

    #[test]
    fn notices_come_in_their_order() {
        let (_poll, address, mailbox) = pair();
        (0..3).for_each(|n| address.notify(n));
        assert_eq!(std::iter::from_fn(|| mailbox.next_notice()).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
