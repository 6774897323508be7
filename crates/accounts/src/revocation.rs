//! Whatever ends a right ends the connections that had it.
//!
//! What it is: the one follower of the catalog's feed of changes. It reads what each change ends, forgets what the directory
//! of devices knows of it, and tells the broker, whoever made the change: a request, also one whose commit was not
//! answered, or another process. What could not be ended stays and is tried again, and holds up nothing else.
//!
//! It goes along the feed in two lanes. One does what waits for no disk: it voids logins and ends connections. The other ends
//! for good what removed devices leave, some at a time, each until the disk has it. So a log that takes nothing, or ten
//! thousand removed devices, keep no connection alive.
//!
//! What it is not: it decides nothing; what a change ends is said in the transaction that makes it. It begins with the changes
//! after its start: then nobody is connected, and the broker's start has ended what the log has of removed devices.

mod ends;
mod follower;
mod progress;
mod sessions;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use sessions::{ANSWERS_WITHIN, answered};
pub use sessions::{Ending, Sessions};

use crate::access::AccessView;
use crate::login::DeviceDirectory;
use catalog::Catalog;
use ends::Lane;
use follower::{Follower, LOOK_EVERY};
use std::sync::Arc;
use tokio::sync::MutexGuard;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Cheap to clone; the following tasks end with the last clone.
#[derive(Clone)]
pub struct Revocation {
    follower: Arc<Follower>,
    tasks: Arc<[Task; 2]>,
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocation").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

/// Of what changes end: connections of a key, of a credential, all of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationFigures {
    pub waiting: u64,
    pub done: u64,
    pub tried_again: u64,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Revocation {
    /// Follows the changes that are made from now on, on the current tokio run time.
    pub fn follow(
        catalog: Arc<dyn Catalog>,
        access: AccessView,
        directory: DeviceDirectory,
        sessions: Arc<dyn Sessions>,
    ) -> Self {
        let mut numbers = catalog.change_number();
        let number = *numbers.borrow_and_update();
        let follower = Arc::new(Follower::new(catalog, access, directory, sessions, number));
        let task = |lane| Task(tokio::spawn(Arc::clone(&follower).run(lane, numbers.clone())));
        let tasks = Arc::new([task(Lane::AtOnce), task(Lane::ForGood)]);
        Self { follower, tasks }
    }

    /// Waits until all has ended that this change ends.
    pub async fn passed(&self, number: u64) {
        self.passed_at_once(number).await;
        self.passed_in(Lane::ForGood, number).await;
    }

    /// The same but for what removed devices leave on the disk, which may have to wait for that of earlier changes.
    pub async fn passed_at_once(&self, number: u64) {
        self.passed_in(Lane::AtOnce, number).await;
    }

    async fn passed_in(&self, lane: Lane, number: u64) {
        let mut progress = self.follower.progress(lane).subscribe();
        // Its sender is ours.
        let _ = progress.wait_for(|progress| progress.has_passed(number)).await;
    }

    /// While it is held, nothing under this client id ends for good because of an earlier change.
    pub(crate) async fn turn_at(&self, client_id: &str) -> MutexGuard<'_, ()> {
        self.follower.turns.of(client_id).await
    }

    #[must_use]
    pub fn figures(&self) -> RevocationFigures {
        self.follower.figures()
    }

    /// Returns when one of its tasks has ended, by a panic: not everything is ended any more.
    pub async fn ended(&self) {
        while !self.tasks.iter().any(|task| task.0.is_finished()) {
            sleep(LOOK_EVERY).await;
        }
    }
}
