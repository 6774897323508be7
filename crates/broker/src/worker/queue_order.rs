//! The order of the messages of one pump while some of them wait for room in the log: whatever is behind one that waits waits
//! too, on all workers, even if it would have room.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Numbers of the messages of one pump that the log had no room for. Each of them has its places in the pump.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    numbers: watch::Sender<BTreeSet<u64>>,
}

impl Waiting {
    /// Until none waits.
    pub(crate) async fn end(&self) {
        // An error is for a sender that has gone, and that is this one.
        let _ = self.numbers.subscribe().wait_for(BTreeSet::is_empty).await;
    }
}

/// Where one message stands among those of its pump.
#[derive(Clone, Debug)]
pub(crate) struct QueueOrder {
    number: u64,
    waiting: Arc<Waiting>,
}

impl QueueOrder {
    pub(crate) fn new(number: u64, waiting: Arc<Waiting>) -> Self {
        Self { number, waiting }
    }

    /// Of those of its pump.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// One that is before it waits.
    pub(super) fn must_wait(&self) -> bool {
        self.waiting.numbers.borrow().first().is_some_and(|first| *first < self.number)
    }

    /// It waits from now on, and all that are behind it.
    pub(super) fn begin_waiting(&self) {
        self.waiting.numbers.send_if_modified(|numbers| numbers.insert(self.number));
    }

    /// It goes on, or is given up.
    pub(crate) fn end_waiting(&self) {
        self.waiting.numbers.send_if_modified(|numbers| numbers.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_one_that_waits_must_wait_and_what_is_before_it_goes_on() {
        let waiting = Arc::new(Waiting::default());
        let orders = [0, 1, 2].map(|number| QueueOrder::new(number, waiting.clone()));
        let must_wait = || orders.each_ref().map(QueueOrder::must_wait);
        orders[1].begin_waiting();
        assert_eq!(must_wait(), [false, false, true]);
        orders[0].begin_waiting();
        assert_eq!(must_wait(), [false, true, true]);
        orders.iter().for_each(QueueOrder::end_waiting);
        assert_eq!(must_wait(), [false; 3]);
    }
}
