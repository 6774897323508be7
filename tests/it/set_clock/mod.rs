//! A system clock that can be set, and a machine that sleeps: of the program under test alone, while it runs.

use crate::support::program;
use anyhow::{Context, Result, ensure};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/set_clock/clock.c");

/// Runs a program with a system clock of its own.
pub(crate) struct SetClock {
    /// To be started instead of the program.
    pub(crate) script: PathBuf,
    file: PathBuf,
}

impl SetClock {
    /// For the program under test.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Self::of(folder, &program()?)
    }

    pub(crate) fn of(folder: &Path, program: &Path) -> Result<Self> {
        let (library, file, script) = (folder.join("clock.so"), folder.join("ahead"), folder.join("at-another-time"));
        let output = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(LIBRARY).output();
        let output = output.context("there is no C compiler")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let [preload, ahead, program] = [&library, &file, program].map(|path| path.display().to_string());
        let text = format!("#!/bin/sh\nexec env CLOCK_AHEAD_FILE={ahead} LD_PRELOAD={preload} {program} \"$@\"\n");
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
        let clock = Self { script, file };
        clock.set_ahead(0)?;
        clock.set_slept(0)?;
        Ok(clock)
    }

    /// By so many milliseconds of this machine's clock, from now on.
    pub(crate) fn set_ahead(&self, ms: i64) -> Result<()> {
        self.write(ms, 0)
    }

    /// So many milliseconds in all, which may not become fewer.
    pub(crate) fn set_slept(&self, ms: i64) -> Result<()> {
        self.write(ms, 8)
    }

    fn write(&self, ms: i64, at: u64) -> Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.file)?;
        Ok(file.write_all_at(&ms.to_ne_bytes(), at)?)
    }
}

#[test]
fn the_clock_that_is_set_is_the_one_that_is_asked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = SetClock::of(folder.path(), Path::new("date"))?;
    let mut said = Vec::new();
    for (ahead_ms, slept_ms) in [(0, 0), (3_600_000, 0), (-3_600_000, 0), (0, 3_600_000)] {
        clock.set_ahead(ahead_ms)?;
        clock.set_slept(slept_ms)?;
        let output = Command::new(&clock.script).arg("+%s").output()?;
        said.push(String::from_utf8(output.stdout)?.trim().parse::<i64>()?);
    }
    let [now, later, earlier, awake] = said[..] else { anyhow::bail!("{said:?}") };
    ensure!((3_600..3_605).contains(&(later - now)) && (3_595..=3_600).contains(&(now - earlier)), "{said:?}");
    ensure!((3_600..3_605).contains(&(awake - now)), "{said:?}");
    Ok(())
}
