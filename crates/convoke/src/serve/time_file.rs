//! What a run keeps of the service's time, in the data directory, so that the next one in the same boot goes on by it.

use crate::keys::write_secret;
use anyhow::{Context, Result};
use clock::{Clock, Kept, SystemClocks};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

const FILE: &str = "clock";
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How long a restart may go by a time that was followed away meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The service's time, continued from the last run. Damaged, the file counts as missing: then the system's clock is
/// believed, as after a boot.
///
/// # Errors
/// The file cannot be read.
pub(super) fn start(data_dir: &Path) -> Result<Clock> {
    let path = data_dir.join(FILE);
    let kept = match std::fs::read_to_string(&path) {
        Ok(text) => text.parse::<Kept>().ok(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    Ok(Clock::start(Box::new(SystemClocks), kept.as_ref()))
}

/// Keeps it again and again, until it is dropped. The server does not depend on it.
pub(super) async fn keep(clock: Clock, data_dir: PathBuf) {
    let path = data_dir.join(FILE);
    let mut failed = false;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut last = None;
    loop {
        ticks.tick().await;
        let followed = clock.followed();
        if last.is_some_and(|(at, known): (Instant, u64)| known == followed && at.elapsed() < KEEP_EVERY) {
            continue;
        }
        last = Some((Instant::now(), followed));
        let (kept, to) = (clock.keep(), path.clone());
        let written = tokio::task::spawn_blocking(move || write_secret(&to, &kept.to_string())).await;
        match written {
            Ok(Ok(())) => failed = false,
            Ok(Err(error)) if !failed => {
                failed = true;
                warn!(error = format!("{error:#}"), "the time cannot be kept; a restart goes by the system's clock");
            }
            Ok(Err(error)) => debug!(error = format!("{error:#}"), "the time cannot be kept"),
            Err(_) => return,
        }
    }
}
