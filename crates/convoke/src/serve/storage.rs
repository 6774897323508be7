//! Durable storage: the data directory with the log and the catalog, opened and replayed.

use super::seeded_replay::SeededReplay;
use crate::config::Config;
use anyhow::{Context, Result, bail};
use catalog::{Catalog, SqliteCatalog};
use clock::Clock;
use commitlog::{DiskStorage, Log, Options, ReplayError, ReplayedRecord, SyncMode};
use queue::{Engine, EngineOptions};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tracing::info;

/// Owners of the log beside the workers of the broker.
const QUEUE: usize = 1;

pub(super) struct Storage {
    pub clock: Clock,
    pub log: Log,
    pub queue: Engine,
    pub inboxes: broker::Recovery,
    pub catalog: Arc<dyn Catalog>,
}

/// The log's lock guards the whole data directory, so the log comes first.
pub(super) async fn open(config: &Config) -> Result<Storage> {
    fs::create_dir_all(&config.data_dir).with_context(|| unusable(&config.data_dir))?;
    let clock = super::time_file::start(&config.data_dir)?;
    let (log, queue, inboxes) = replay(config, &clock)?;
    let catalog = SqliteCatalog::open(config.data_dir.join("catalog.sqlite")).await?;
    Ok(Storage { clock, log, queue, inboxes, catalog: Arc::new(catalog) })
}

fn unusable(folder: &Path) -> String {
    format!(
        "cannot use the data directory {}\n  remedy: let this user write there, or name another with --data",
        folder.display()
    )
}

fn replay(config: &Config, clock: &Clock) -> Result<(Log, Engine, broker::Recovery)> {
    let began = Instant::now();
    let storage = Arc::new(DiskStorage::new(config.data_dir.join("log")));
    let (log, replay) = Log::open(storage, options(config)).context("cannot open the log")?;
    let queue = EngineOptions {
        delay_max: config.queue.delay_max,
        clock: clock.clone(),
        is_log_owner: true,
        ..EngineOptions::default()
    };
    let mut queue = Engine::recover(queue);
    let mut inboxes = broker::Recovery::default();
    let mut seeded = SeededReplay::new(config.test.replay);
    let replayed = replay.run(|record| seeded.show(record, |record| apply(record, &mut queue, &mut inboxes)));
    let replayed = replayed.map_err(|error| match error {
        ReplayError::Apply(error) => error,
        other => anyhow::anyhow!("{other}"),
    });
    let replayed = replayed.context("cannot rebuild the state from the log")?;
    info!(
        records = replayed.records,
        from_snapshot = replayed.snapshot_records,
        bytes = replayed.bytes,
        took_ms = began.elapsed().as_millis() as u64,
        "log replayed"
    );
    // Before anything is too old for the queue.
    clock.not_before(inboxes.latest_ms());
    let engine = queue.start(log.clone());
    Ok((log, engine, inboxes))
}

/// Each part has its kinds of records; a record of an unknown kind ends the start, so that it is not lost silently.
fn apply(record: ReplayedRecord<'_>, queue: &mut queue::Recovery, inboxes: &mut broker::Recovery) -> Result<()> {
    let (kind, position) = (record.kind, record.position);
    if queue::owns(kind) {
        queue.apply(record)?;
    } else if broker::owns(kind) {
        inboxes.apply(record)?;
    } else {
        bail!(
            "log record of kind {kind:#04x} at log position {position}: no part of this program has such records: \
             was it written by a newer version? Then start that version"
        );
    }
    Ok(())
}

fn options(config: &Config) -> Options {
    let sync = if config.sync_always { SyncMode::Always } else { SyncMode::Os };
    let options = Options {
        sync,
        space_max: config.log_space_max,
        owners: config.threads + QUEUE,
        fault: config.test.log,
        ..Options::default()
    };
    let Some(segment_size) = config.test.segment_bytes else { return options };
    // What is one part of a segment of the usual size stays one of a smaller one.
    let part = |bytes: u64| (bytes * segment_size / options.segment_size).max(1);
    Options {
        segment_size,
        reserve_bytes: part(options.reserve_bytes),
        append_bytes_max: usize::try_from(segment_size / 2).unwrap_or(usize::MAX),
        reclaim_above: config.test.reclaim_above_bytes.unwrap_or(part(options.reclaim_above)),
        snapshot_every: options.snapshot_every.map(part),
        ..options
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use commitlog::Position;

    #[test]
    fn a_record_that_no_part_knows_ends_the_start_whatever_its_kind() {
        for kind in [0x31, 0x3f, 0x5f, 0x7f, 0x80, 0xff] {
            let (mut queue, mut inboxes) = (Engine::recover(EngineOptions::default()), broker::Recovery::default());
            let record =
                ReplayedRecord { kind, owner: 0, position: Position(77), is_carried: false, payload: b"from later" };
            let error = apply(record, &mut queue, &mut inboxes).unwrap_err().to_string();
            for part in [format!("kind {kind:#04x} at log position 77"), "by a newer version?".to_owned()] {
                assert!(error.contains(&part), "{error}");
            }
        }
    }
}
