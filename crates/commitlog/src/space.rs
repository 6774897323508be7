//! What the log may take of its disk. All of its files count: segments, the spare file, those that were given back, and
//! snapshots.
//!
//! Segments come first: a snapshot leaves the space of the next segment, and gives way to one that would have room without
//! it. So what is appended is refused no earlier than in a log without snapshots.

use std::io;
use std::sync::PoisonError;

use crate::Options;
use crate::shared::{Shared, lock};
use crate::snapshot;

impl Shared {
    /// Whether the log may take the space of one more file, and so of this many more than it has segments. A snapshot that
    /// is in the way is given up.
    pub(crate) fn check_space(&self, more: u64) -> io::Result<()> {
        let lack = self.lack(more)?;
        if lack > 0 && lack <= self.snapshots.bytes() && self.end_snapshot() && self.lack(more)? > 0 {
            self.remove_snapshot();
        }
        let size = self.geometry.segment_size;
        if self.above_limit(more, 0) > 0 {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the log takes all that it may take of the disk"));
        }
        if self.below_rest(size)? > 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the rest of the disk is kept for others"));
        }
        Ok(())
    }

    /// Whether a snapshot may be begun, if its first bytes are so many.
    pub(crate) fn has_room_for_another_snapshot(&self, bytes: u64) -> io::Result<bool> {
        self.leaves_room(bytes, bytes)
    }

    /// Whether the snapshot under way may go on, of which so many bytes are noted and still to be written.
    pub(crate) fn has_room_for_snapshot(&self, bytes: u64) -> io::Result<bool> {
        self.leaves_room(0, bytes)
    }

    fn leaves_room(&self, not_noted: u64, not_written: u64) -> io::Result<bool> {
        let needed = self.tail().segments_needed();
        // One that was given back is the next one.
        let needed = needed.saturating_sub(lock(&self.free).len() as u64);
        let kept = needed * self.geometry.segment_size;
        Ok(self.above_limit(1 + needed, not_noted) == 0 && self.below_rest(not_written + kept)? == 0)
    }

    /// Bytes that are missing for one more file.
    fn lack(&self, more: u64) -> io::Result<u64> {
        Ok(self.above_limit(more, 0).max(self.below_rest(self.geometry.segment_size)?))
    }

    /// By how much the log would be too large with so many files more than it has segments, and as many bytes besides.
    fn above_limit(&self, more: u64, bytes: u64) -> u64 {
        // In the order in which a file goes from one to the other: one that goes at this moment may count twice.
        let segments = self.files.read().unwrap_or_else(PoisonError::into_inner).len();
        let kept_back = lock(&self.kept_back).files.len();
        let free = lock(&self.free).len();
        let files = (segments + kept_back + free) as u64 + more;
        let Options { space_max, .. } = self.options;
        let all = files.saturating_mul(self.geometry.segment_size).saturating_add(self.snapshots.bytes() + bytes);
        all.saturating_sub(space_max)
    }

    /// How much so many bytes would take of what is kept for others.
    fn below_rest(&self, bytes: u64) -> io::Result<u64> {
        let wanted = bytes.saturating_add(self.options.disk_free_min);
        Ok(wanted.saturating_sub(self.storage.free_space()?))
    }

    /// Gives up the snapshot under way, and waits until its file is gone. `false`: it may still be there.
    fn end_snapshot(&self) -> bool {
        if self.snapshots.give_up_underway("the log needs its room") {
            {
                // It may wait for the log, which may wait for a segment.
                let _tail = self.tail();
                self.wake_all();
            }
            self.snapshots.wait_while_underway(self.options.full_retry_every);
        }
        !self.snapshots.is_underway()
    }

    /// Removes the newest snapshot, and what may be left of one that was given up.
    fn remove_snapshot(&self) {
        for name in [snapshot::UNFINISHED, snapshot::NAME] {
            match self.storage.remove(name) {
                Ok(()) if name == snapshot::NAME => {
                    tracing::info!(
                        "the snapshot of the log was removed, whose room the log needs: the next start reads more of it"
                    );
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = self.storage.path_of(name), %error, "a snapshot of the log cannot be removed");
                    return;
                }
                _ => {}
            }
        }
        self.snapshots.note_files(0, 0);
    }
}
