//! Posts to other workers that go out at the end of the turn, or wait for room in a mailbox.

use std::collections::VecDeque;

use super::post::{Post, WorkerAddress};
use crate::mailbox::BATCH_MAX;

/// Posts to one worker that wait for room before their publishers are paused.
const WAITING_MAX: usize = 1024;

pub(super) struct Outbox {
    me: usize,
    workers: Vec<Destination>,
}

struct Destination {
    address: WorkerAddress,
    waiting: VecDeque<Post>,
}

impl Outbox {
    pub(super) fn new(me: usize, addresses: &[WorkerAddress]) -> Self {
        let workers = addresses
            .iter()
            .map(|address| Destination { address: address.clone(), waiting: VecDeque::new() })
            .collect();
        Self { me, workers }
    }

    pub(super) fn post(&mut self, worker: usize, post: Post) {
        if let Some(destination) = self.workers.get_mut(worker) {
            destination.waiting.push_back(post);
        }
    }

    /// So much waits for a mailbox that nothing more is to be read from publishers.
    pub(super) fn is_congested(&self) -> bool {
        self.workers.iter().any(|destination| destination.waiting.len() >= WAITING_MAX)
    }

    /// Hands over what there is room for; a mailbox that is full rings when it has room again.
    pub(super) fn flush(&mut self) {
        let me = self.me;
        self.workers.iter_mut().for_each(|destination| destination.flush(me));
    }
}

impl Destination {
    fn flush(&mut self, from: usize) {
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH_MAX);
            let batch: Vec<Post> = self.waiting.drain(..count).collect();
            if let Err(batch) = self.address.try_post(batch, from) {
                batch.into_iter().rev().for_each(|post| self.waiting.push_front(post));
                return;
            }
        }
    }
}
