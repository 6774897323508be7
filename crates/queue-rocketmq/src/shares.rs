//! Room that keys share: each has its own part of it, so that one that uses all of that leaves some to others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Keys whose shares are kept although they use them not.
const IDLE_SHARES_MAX: usize = 1_024;

type OfKey = HashMap<Arc<str>, Arc<Semaphore>>;

#[derive(Clone)]
pub(crate) struct Shares {
    of_key: Arc<Mutex<OfKey>>,
    units_per_key: usize,
    all: Arc<Semaphore>,
}

impl Shares {
    pub(crate) fn new(units_per_key: usize, units: usize) -> Self {
        Self { of_key: Arc::default(), units_per_key, all: Arc::new(Semaphore::new(units)) }
    }

    /// The key's own part first, so that nobody who waits for that keeps others away; then what all share.
    pub(crate) fn parts(&self, key_id: &Arc<str>) -> [Arc<Semaphore>; 2] {
        [self.share(key_id), Arc::clone(&self.all)]
    }

    fn share(&self, key_id: &Arc<str>) -> Arc<Semaphore> {
        let mut of_key = self.of_key.lock().unwrap_or_else(PoisonError::into_inner);
        if of_key.len() > IDLE_SHARES_MAX {
            of_key.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = of_key.entry(Arc::clone(key_id));
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.units_per_key))))
    }
}
