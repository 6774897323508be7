//! What the log does beside its work, by what the server logs of it: how often it gave a segment back and wrote a snapshot,
//! and what of that was under way when the server was killed.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// What the server must log for it, in the words of `CONVOKE_LOG`.
pub const LOGS: &str = "info,commitlog=debug";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// From the wish to have the oldest segment back until it is gone.
    Reclaim,
    Snapshot,
}

/// How often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub done: u64,
    /// It was under way when the server was killed.
    pub hit: u64,
}

/// Words in the server's log.
struct Words {
    begun: &'static str,
    done: &'static str,
    given_up: &'static [&'static str],
}

const RECLAIM: Words =
    Words { begun: "a segment of the log is wanted back", done: "a segment of the log was given back", given_up: &[] };
const SNAPSHOT: Words = Words {
    begun: "a snapshot of the log is begun",
    done: "a snapshot of the log was written",
    given_up: &["a snapshot of the log was given up", "a snapshot of the log cannot be written"],
};

/// Reads the log of a server that is killed and started again.
pub struct LogWork {
    path: PathBuf,
    /// Bytes of the log that were looked at.
    seen: u64,
    of_reclaim: Follow,
    of_snapshot: Follow,
}

#[derive(Default)]
struct Follow {
    is_under_way: bool,
    tally: Tally,
}

impl LogWork {
    pub fn in_log(path: PathBuf) -> Self {
        Self { path, seen: 0, of_reclaim: Follow::default(), of_snapshot: Follow::default() }
    }

    pub fn is_under_way(&mut self, work: Work) -> Result<bool> {
        self.read()?;
        Ok(self.of(work).is_under_way)
    }

    /// The server was killed and has not been started again.
    pub fn killed(&mut self) -> Result<()> {
        self.read()?;
        self.of_reclaim.killed();
        self.of_snapshot.killed();
        Ok(())
    }

    pub fn tally(&self, work: Work) -> Tally {
        self.of(work).tally
    }

    fn of(&self, work: Work) -> &Follow {
        match work {
            Work::Reclaim => &self.of_reclaim,
            Work::Snapshot => &self.of_snapshot,
        }
    }

    /// Takes the lines that are whole.
    fn read(&mut self) -> Result<()> {
        let mut file = File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.seen))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.seen += whole as u64;
        for line in String::from_utf8_lossy(&new[..whole]).lines() {
            self.of_reclaim.take(line, &RECLAIM);
            self.of_snapshot.take(line, &SNAPSHOT);
        }
        Ok(())
    }
}

impl Follow {
    fn take(&mut self, line: &str, words: &Words) {
        if line.contains(words.begun) {
            self.is_under_way = true;
        } else if line.contains(words.done) {
            self.is_under_way = false;
            self.tally.done += 1;
        } else if words.given_up.iter().any(|words| line.contains(words)) {
            self.is_under_way = false;
        }
    }

    fn killed(&mut self) {
        self.tally.hit += u64::from(std::mem::take(&mut self.is_under_way));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write as _;

    #[test]
    fn what_was_under_way_at_a_kill_is_counted_and_what_was_over_is_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("server.log");
        let log = |line: &str| -> Result<()> {
            Ok(OpenOptions::new().create(true).append(true).open(&path)?.write_all(line.as_bytes())?)
        };
        log("a segment of the log is wanted back\na snapshot of the log is begun\n")?;
        let mut work = LogWork::in_log(path.clone());
        assert!(work.is_under_way(Work::Reclaim)? && work.is_under_way(Work::Snapshot)?);
        log("a segment of the log was given back\na snapshot of the log was writ")?;
        assert!(!work.is_under_way(Work::Reclaim)? && work.is_under_way(Work::Snapshot)?);
        log("ten\na snapshot of the log is begun\n")?;
        work.killed()?;
        log("a snapshot of the log is begun\na snapshot of the log was given up\n")?;
        work.killed()?;
        assert_eq!(work.tally(Work::Reclaim), Tally { done: 1, hit: 0 });
        assert_eq!(work.tally(Work::Snapshot), Tally { done: 1, hit: 1 });
        Ok(())
    }
}
