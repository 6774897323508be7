//! The threads of the log: the writer, which alone writes records and syncs them, and the preparer, which creates
//! segments before they are needed.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::format::SegmentVersion;
use crate::options::{Fault, SyncMode};
use crate::segment::{PrepareError, has_no_room, name_of};
use crate::shared::Shared;
use crate::tail::{Batch, Phase};

enum Work {
    Write(Arc<Batch>),
    /// All that is left to be said is that the stop was clean.
    Stop,
    Poisoned(String),
    End,
}

/// Writes batch after batch until the log is closed or fails. A batch is written only after the one before it was
/// synced: recovery relies on it.
pub(crate) fn write_batches(shared: &Shared) {
    let mut last_segment = None;
    loop {
        let batch = match next_work(shared) {
            Work::Write(batch) => batch,
            Work::Stop => {
                // Before: what stands behind a clean stop is not looked at again.
                if sync_at_stop(shared, last_segment) {
                    shared.tail().push_stop();
                }
                continue;
            }
            Work::Poisoned(reason) => return shared.notify_poisoned(&reason),
            Work::End if sync_at_stop(shared, last_segment) => return,
            Work::End => continue,
        };
        let before = last_segment.replace(batch.segment).filter(|segment| *segment != batch.segment);
        let early = publish_early(shared, &batch);
        if let Err(error) = write_batch(shared, &batch, before) {
            let path = shared.storage.path_of(&name_of(batch.segment));
            shared.poison(format!("{path} cannot be written: {error}"));
            continue;
        }
        let end = batch.end;
        shared.tail().finish_batch(batch);
        if !early {
            shared.publish(end);
        }
    }
}

fn next_work(shared: &Shared) -> Work {
    let mut tail = shared.tail();
    let idle_since = Instant::now();
    loop {
        if let Phase::Poisoned(reason) = &tail.phase {
            return Work::Poisoned(reason.clone());
        }
        if let Some(batch) = tail.take_batch() {
            return Work::Write(batch);
        }
        if let Phase::Closing { stop } = tail.phase {
            if tail.has_pending() && !tail.full {
                tail = shared.wait_for_work(tail, None);
                continue;
            }
            return if stop && !tail.has_pending() { Work::Stop } else { Work::End };
        }
        let idle = shared.options.idle_mark_after.filter(|_| tail.wants_mark());
        let rest = idle.map(|after| after.saturating_sub(idle_since.elapsed()));
        if rest.is_some_and(|rest| rest.is_zero()) {
            tail.push_mark();
            continue;
        }
        tail = shared.wait_for_work(tail, rest);
    }
}

fn write_batch(shared: &Shared, batch: &Batch, segment_before: Option<u64>) -> io::Result<()> {
    let file = |segment| shared.file(segment).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    if shared.options.sync == SyncMode::Os
        && let Some(before) = segment_before
    {
        file(before)?.sync_data()?;
    }
    let file = file(batch.segment)?;
    file.write_at(&batch.bytes, batch.offset)?;
    if shared.options.sync == SyncMode::Always && !skips_sync(shared.options.fault) {
        file.sync_data()?;
    }
    Ok(())
}

/// Syncs at a stop what `SyncMode::Os` left to the system. `false`: the log has failed.
fn sync_at_stop(shared: &Shared, segment: Option<u64>) -> bool {
    let file = segment.filter(|_| shared.options.sync == SyncMode::Os).and_then(|segment| shared.file(segment));
    let Some(Err(error)) = file.map(|file| file.sync_data()) else { return true };
    shared.poison(format!("the log cannot be synced at the stop: {error}"));
    false
}

#[cfg(feature = "faults")]
fn skips_sync(fault: Fault) -> bool {
    fault == Fault::SkipSync
}

#[cfg(not(feature = "faults"))]
fn skips_sync(_: Fault) -> bool {
    false
}

#[cfg(feature = "faults")]
fn publish_early(shared: &Shared, batch: &Batch) -> bool {
    let Fault::AckBeforeWrite { delay } = shared.options.fault else { return false };
    shared.publish(batch.end);
    std::thread::sleep(delay);
    true
}

#[cfg(not(feature = "faults"))]
fn publish_early(_: &Shared, _: &Batch) -> bool {
    false
}

/// Keeps segments ready beyond the one that is appended to, and tries again while none can be made.
pub(crate) fn prepare_segments(shared: &Shared) {
    while let Some((version, number)) = next_needed_segment(shared) {
        let share = || shared.tail().share_for_segments();
        match shared.prepare(version, number, share, || shared.tail().waits_for_segment()) {
            Ok(()) => continue_in(shared, number),
            Err(PrepareError::Retry(error)) => wait_for_retry(shared, number, &error),
            Err(PrepareError::Final(error)) => {
                let path = shared.storage.path_of(&name_of(number));
                shared.poison(format!("{path} cannot be made: {error}"));
            }
        }
    }
}

fn continue_in(shared: &Shared, number: u64) {
    let mut tail = shared.tail();
    tail.add_ready(number);
    tail.space_has_changed = true;
    if std::mem::take(&mut tail.full) {
        tracing::info!("the log has room again: all is accepted");
    }
    shared.wake_all();
}

fn next_needed_segment(shared: &Shared) -> Option<(SegmentVersion, u64)> {
    let mut tail = shared.tail();
    loop {
        match tail.phase {
            Phase::Open => {}
            // What is pending still needs its segment, but nothing ahead of it.
            Phase::Closing { .. } if tail.ready < tail.segment && tail.has_pending() && !tail.full => {}
            _ => return None,
        }
        if tail.needs_segment() {
            let number = tail.ready + 1;
            return Some((tail.version(number), number));
        }
        tail = shared.wait_until_segment_needed(tail, None);
    }
}

fn wait_for_retry(shared: &Shared, number: u64, error: &io::Error) {
    let mut tail = shared.tail();
    if !tail.full {
        if has_no_room(error) {
            tracing::error!(%error, "the log has no room for its next segment: only acknowledgements are accepted until it has");
        } else {
            let path = shared.storage.path_of(&name_of(number));
            tracing::error!(path, %error, "the next segment cannot be made and is tried again: it must be there before this one is full");
        }
        tail.full = true;
        tail.space_has_changed = true;
        shared.wake_all();
    }
    let begin = Instant::now();
    while tail.phase == Phase::Open {
        let rest = shared.options.full_retry_every.saturating_sub(begin.elapsed());
        if rest.is_zero() {
            return;
        }
        tail = shared.wait_until_segment_needed(tail, Some(rest));
    }
}
