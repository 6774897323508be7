//! Posts to other workers that go out at the end of the turn, or wait for room in a mailbox.

use std::collections::VecDeque;

use super::post::{Post, WorkerAddress};
use crate::mailbox::Batch;

/// Posts to one worker that wait for room before their publishers are paused.
const WAITING_MAX: usize = 1024;
/// Bytes of them.
const WAITING_BYTES_MAX: usize = 4 << 20;

pub(super) struct WorkerPosts {
    me: usize,
    workers: Vec<Destination>,
}

struct Destination {
    address: WorkerAddress,
    waiting: VecDeque<Post>,
    waiting_bytes: usize,
}

impl WorkerPosts {
    pub(super) fn new(me: usize, addresses: &[WorkerAddress]) -> Self {
        let workers = addresses
            .iter()
            .map(|address| Destination { address: address.clone(), waiting: VecDeque::new(), waiting_bytes: 0 })
            .collect();
        Self { me, workers }
    }

    pub(super) fn post(&mut self, worker: usize, post: Post) {
        if let Some(destination) = self.workers.get_mut(worker) {
            destination.waiting_bytes += post.bytes();
            destination.waiting.push_back(post);
        }
    }

    /// So much waits for a mailbox that nothing more is to be read from publishers.
    pub(super) fn is_congested(&self) -> bool {
        self.workers.iter().any(Destination::is_congested)
    }

    /// Hands over what there is room for; a mailbox that is full rings when it has room again.
    pub(super) fn flush(&mut self) {
        let me = self.me;
        self.workers.iter_mut().for_each(|destination| destination.flush(me));
    }
}

impl Destination {
    fn is_congested(&self) -> bool {
        self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX
    }

    fn flush(&mut self, from: usize) {
        while !self.waiting.is_empty() {
            let batch = self.take_batch();
            let bytes = batch.bytes;
            if let Err(batch) = self.address.try_post(batch, from) {
                batch.posts.into_iter().rev().for_each(|post| self.waiting.push_front(post));
                return;
            }
            self.waiting_bytes -= bytes;
        }
    }

    fn take_batch(&mut self) -> Batch<Post> {
        let mut batch = Batch::new();
        while let Some(bytes) = self.waiting.front().map(Post::bytes).filter(|bytes| batch.fits(*bytes)) {
            self.waiting.pop_front().into_iter().for_each(|post| batch.push(post, bytes));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

    use mio::{Poll, Token};
    use mqtt::ReasonCode;

    use super::*;
    use crate::client::ClientKey;
    use crate::mailbox::{Alarm, BATCH_MAX, mailbox};
    use crate::worker::post::{Outcome, P2p, ReplyTarget, ReplyTo, WorkerMailbox};
    use crate::worker::testing::message_of;

    const ME: usize = 0;
    const NEAR: usize = 1;
    const FAR: usize = 2;

    /// The posts of worker 0, and the mailboxes of all three.
    fn posts_to_three() -> (WorkerPosts, Vec<WorkerMailbox>) {
        let mailboxes = (0..3).map(|_| mailbox(Alarm::new(Poll::new().unwrap().registry(), Token(0)).unwrap()));
        let (addresses, mailboxes): (Vec<_>, Vec<_>) = mailboxes.unzip();
        (WorkerPosts::new(ME, &addresses), mailboxes)
    }

    fn post(posts: &mut WorkerPosts, to: usize, number: u64) {
        let target = ReplyTarget::Merged(number);
        posts.post(to, Post::Reply { target, outcome: Outcome::Done(ReasonCode::SUCCESS) });
    }

    fn batch(mailbox: &WorkerMailbox) -> Vec<u64> {
        let number = |post| match post {
            Post::Reply { target: ReplyTarget::Merged(number), .. } => number,
            _ => panic!("nothing else was posted"),
        };
        mailbox.next_batch().into_iter().flatten().map(number).collect()
    }

    /// Posts until the mailbox has no room for a whole batch more. Returns how many the mailbox has.
    fn fill(posts: &mut WorkerPosts, to: usize) -> u64 {
        let mut posted = 0;
        loop {
            (0..BATCH_MAX as u64).for_each(|more| post(posts, to, posted + more));
            posts.flush();
            if !posts.workers[to].waiting.is_empty() {
                return posted;
            }
            posted += BATCH_MAX as u64;
        }
    }

    #[test]
    fn posts_go_out_at_the_flush_in_batches_and_in_their_order() {
        let (mut posts, mailboxes) = posts_to_three();
        (0..BATCH_MAX as u64 + 10).for_each(|number| post(&mut posts, NEAR, number));
        post(&mut posts, FAR, 7);
        assert!(mailboxes.iter().all(WorkerMailbox::is_empty));
        posts.flush();
        assert_eq!(batch(&mailboxes[NEAR]), (0..BATCH_MAX as u64).collect::<Vec<_>>());
        assert_eq!(batch(&mailboxes[NEAR]), (BATCH_MAX as u64..BATCH_MAX as u64 + 10).collect::<Vec<_>>());
        assert_eq!(batch(&mailboxes[FAR]), [7]);
        assert!(!posts.is_congested() && mailboxes.iter().all(WorkerMailbox::is_empty));
    }

    #[test]
    fn what_a_full_mailbox_does_not_take_waits_in_its_order_and_hinders_no_other() {
        let (mut posts, mailboxes) = posts_to_three();
        let taken = fill(&mut posts, NEAR);
        assert!(!posts.is_congested(), "a batch may wait");
        let waiting = WAITING_MAX as u64;
        (BATCH_MAX as u64..waiting).for_each(|more| post(&mut posts, NEAR, taken + more));
        assert!(posts.is_congested());
        post(&mut posts, FAR, 7);
        posts.flush();
        assert_eq!(batch(&mailboxes[FAR]), [7]);
        let mut next = 0;
        while next < taken + waiting {
            let numbers = batch(&mailboxes[NEAR]);
            assert_eq!(numbers, (next..next + numbers.len() as u64).collect::<Vec<_>>());
            assert!(!numbers.is_empty(), "{next}");
            next += numbers.len() as u64;
            posts.flush();
        }
        assert!(!posts.is_congested() && mailboxes[NEAR].is_empty());
    }

    #[test]
    fn large_posts_wait_by_their_bytes_and_go_out_in_small_batches() {
        let (mut posts, mailboxes) = posts_to_three();
        let message = message_of(&[7; 100 << 10]);
        let mut posted = 0;
        while !posts.is_congested() {
            let reply_to = ReplyTo { worker: ME, target: ReplyTarget::Nobody };
            posts
                .post(NEAR, Post::P2p(P2p { to: ClientKey::new("x"), message: message.clone(), keep: true, reply_to }));
            posted += 1;
        }
        assert_eq!(posted, WAITING_BYTES_MAX.div_ceil(100 << 10));
        posts.flush();
        assert!(!posts.is_congested(), "a mailbox has room for as much");
        let mut taken = 0;
        while let Some(batch) = mailboxes[NEAR].next_batch() {
            assert!((1..=2).contains(&batch.len()), "{}", batch.len());
            taken += batch.len();
            posts.flush();
        }
        assert_eq!((taken, posts.workers[NEAR].waiting_bytes), (posted, 0));
    }

    #[test]
    fn a_full_mailbox_knows_who_waits_for_room_and_tells_it_once() {
        let (mut posts, mailboxes) = posts_to_three();
        fill(&mut posts, NEAR);
        batch(&mailboxes[NEAR]);
        assert_eq!(mailboxes[NEAR].take_starving().collect::<Vec<_>>(), [ME]);
        assert_eq!(mailboxes[NEAR].take_starving().count(), 0);
        posts.flush();
        assert!(posts.workers[NEAR].waiting.is_empty());
        assert_eq!(mailboxes[NEAR].take_starving().count(), 0, "nothing waits any more");
    }
}
