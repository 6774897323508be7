//! What survives: the data directory with the log and the catalog, opened and replayed.

use crate::config::Config;
use anyhow::{Context, Result};
use catalog::SqliteCatalog;
use commitlog::{DiskStorage, Log, Options, ReplayError, SyncMode};
use queue::{Engine, EngineOptions};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tracing::info;

pub(super) struct Storage {
    pub log: Log,
    pub queue: Engine,
    pub inboxes: broker::Recovery,
    pub catalog: Arc<SqliteCatalog>,
}

/// The log's lock guards the whole data directory, so the log comes first.
pub(super) async fn open(config: &Config) -> Result<Storage> {
    fs::create_dir_all(&config.data_dir).with_context(|| unusable(&config.data_dir))?;
    let (log, queue, inboxes) = replay(config)?;
    let catalog = SqliteCatalog::open(config.data_dir.join("catalog.sqlite")).await?;
    Ok(Storage { log, queue, inboxes, catalog: Arc::new(catalog) })
}

fn unusable(folder: &Path) -> String {
    format!(
        "cannot use the data directory {}\n  remedy: let this user write there, or name another with --data",
        folder.display()
    )
}

fn replay(config: &Config) -> Result<(Log, Engine, broker::Recovery)> {
    let began = Instant::now();
    let storage = Arc::new(DiskStorage::new(config.data_dir.join("log")));
    let (log, replay) = Log::open(storage, options(config)).context("cannot open the log")?;
    let mut queue = Engine::recover(EngineOptions::default());
    let mut inboxes = broker::Recovery::default();
    let replayed = replay.run(|record| -> Result<()> {
        if queue::owns(record.kind) {
            queue.apply(record)?;
        } else {
            inboxes.apply(record)?;
        }
        Ok(())
    });
    let replayed = replayed.map_err(|error| match error {
        ReplayError::Apply(error) => error,
        other => anyhow::anyhow!("{other}"),
    });
    let replayed = replayed.context("cannot rebuild the state from the log")?;
    info!(
        records = replayed.records,
        bytes = replayed.bytes,
        took_ms = began.elapsed().as_millis() as u64,
        "log replayed"
    );
    let engine = queue.start(log.clone());
    Ok((log, engine, inboxes))
}

fn options(config: &Config) -> Options {
    let sync = if config.sync_always { SyncMode::Always } else { SyncMode::Os };
    Options { sync, fault: config.fault, ..Options::default() }
}
