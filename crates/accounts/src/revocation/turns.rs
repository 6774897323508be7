//! Turns at a client id: whoever registers a device and whoever ends one do not do it at once.

use std::hash::{BuildHasher, RandomState};
use tokio::sync::{Mutex, MutexGuard};

/// Client ids share so many turns: two of them seldom wait for each other.
const TURNS: usize = 1024;

#[derive(Debug)]
pub(super) struct Turns {
    turns: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { turns: (0..TURNS).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    pub(super) async fn of(&self, client_id: &str) -> MutexGuard<'_, ()> {
        let number = self.hasher.hash_one(client_id) % TURNS as u64;
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a remainder of their number")]
        let turn = &self.turns[number as usize];
        turn.lock().await
    }
}
