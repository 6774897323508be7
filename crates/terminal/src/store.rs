//! The ring store: what this device knows of each ring, on disk, so that an invitation rings once or is missed once
//! over any crash.
//!
//! ```text
//! <client id>.rings   one record a line, appended:   <checksum, 16 hex digits> <JSON of a RingEntry>\n
//! <client id>.lock    locked while a process has the store
//! ```
//! The last record of an invitation counts. [`RingStore::put`] returns after `fdatasync`: the entry survives a power
//! cut. A last line that is not whole (a torn tail) is left out when the store is opened, and the file is then written
//! anew, as it is when most of its records are out of date. If others are not whole, the file is damaged: it is put
//! aside as `<client id>.damaged`, and what can be read is kept. Entries are kept until 3 days after the invitation's
//! expiry by the service's clock; the broker keeps nothing longer. A missed call is kept until it is seen, since the service lists it as long.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
use crate::media::clip::Checksum;
use serde::{Deserialize, Serialize};
use signalling::InvitationId;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How long an entry is kept past the invitation's expiry.
pub const KEPT_PAST_EXPIRY_MS: u64 = 3 * 24 * 60 * 60 * 1000;
/// Entries of one device; past it the oldest go.
const ENTRIES_MAX: usize = 10_000;
/// No record is longer.
const LINE_BYTES_MAX: usize = 1_000;
/// Records out of date, or entries too many, that are not worth writing the file anew.
const STALE_RECORDS_MAX: usize = 256;

/// How far an invitation is on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RingPhase {
    /// In doubt: it rings only if the service confirms that it stands.
    Held,
    /// It rings, or rang when the process ended.
    Ring,
    /// The person was told of a missed call.
    Missed,
    /// Answered, declined, ended elsewhere, or seen.
    Done,
}

impl RingPhase {
    /// Whether the service has still to decide it.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Held | Self::Ring)
    }
}

/// The record of one invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingEntry {
    pub invitation: InvitationId,
    pub rev: u64,
    #[serde(rename = "is")]
    pub phase: RingPhase,
    /// When the invitation expires, by the service's clock in milliseconds since 1970.
    pub expires_at_ms: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the ring store {0} is in use by another process; end it, or choose another folder or device")]
    InUse(PathBuf),
    #[error("the ring store {path} cannot be {doing}: {error}; check the folder's permissions and the disk's space")]
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    #[error("the ring store {0} failed before; restart the terminal")]
    Failed(PathBuf),
}

pub struct RingStore {
    path: PathBuf,
    /// `None` after a failed write: what is on disk is unknown then.
    file: Option<File>,
    entries: BTreeMap<InvitationId, RingEntry>,
    records: usize,
    _lock: File,
}

impl RingStore {
    /// Opens or creates the store of one client id in `folder`.
    ///
    /// # Errors
    /// It is in use, or the folder or file cannot be read and written.
    pub fn open(folder: &Path, client_id: &str) -> Result<Self, StoreError> {
        let name: String = client_id.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let path = folder.join(format!("{name}.rings"));
        std::fs::create_dir_all(folder).map_err(|error| failed(&path, "made", error))?;
        let lock = lock(&folder.join(format!("{name}.lock")))?;
        let text = read(&path)?;
        let Recovered { entries, records, torn, damaged } = recover(&text);
        if damaged {
            set_aside(&path)?;
        }
        let mut store = Self { path, file: None, entries, records, _lock: lock };
        if torn || damaged || store.is_stale() || text.is_empty() {
            store.rewrite()?;
        } else {
            let file = OpenOptions::new().append(true).open(&store.path);
            store.file = Some(file.map_err(|error| failed(&store.path, "opened", error))?);
        }
        Ok(store)
    }

    pub fn entries(&self) -> impl Iterator<Item = &RingEntry> {
        self.entries.values()
    }

    /// Stores entries; when this returns, they are on disk.
    ///
    /// # Errors
    /// Each of them may or may not be on disk; every later `put` fails too.
    pub fn put(&mut self, entries: &[RingEntry]) -> Result<(), StoreError> {
        let mut file = self.file.take().ok_or_else(|| StoreError::Failed(self.path.clone()))?;
        let lines: String = entries.iter().map(line).collect();
        let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| failed(&self.path, "written", error))?;
        self.file = Some(file);
        self.entries.extend(entries.iter().map(|entry| (entry.invitation, *entry)));
        self.records += entries.len();
        if self.is_stale() { self.rewrite() } else { Ok(()) }
    }

    /// Forgets what is over by the service's clock. A local clock that is wrong by a week must not forget a ring that may
    /// come again.
    ///
    /// # Errors
    /// As of `put`.
    pub fn forget_over(&mut self, service_ms: u64) -> Result<(), StoreError> {
        self.entries.retain(|_, entry| !is_over(entry, service_ms));
        if self.is_stale() { self.rewrite() } else { Ok(()) }
    }

    fn is_stale(&self) -> bool {
        let count = self.entries.len();
        self.records > 2 * count + STALE_RECORDS_MAX || count > ENTRIES_MAX + STALE_RECORDS_MAX
    }

    /// Writes all entries into a new file and puts it in the old one's place.
    fn rewrite(&mut self) -> Result<(), StoreError> {
        while self.entries.len() > ENTRIES_MAX {
            self.entries.pop_first();
        }
        self.file = None;
        let text: String = self.entries.values().map(line).collect();
        let file = replace(&self.path, &text).map_err(|error| failed(&self.path, "written anew", error))?;
        self.file = Some(file);
        self.records = self.entries.len();
        Ok(())
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@')
}

fn is_over(entry: &RingEntry, now_ms: u64) -> bool {
    entry.phase != RingPhase::Missed && entry.expires_at_ms.saturating_add(KEPT_PAST_EXPIRY_MS) < now_ms
}

fn failed(path: &Path, doing: &'static str, error: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), doing, error }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| failed(path, "locked", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(path, "locked", error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| failed(path, "read", error)),
    }
}

fn replace(path: &Path, text: &str) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn line(entry: &RingEntry) -> String {
    let json = serde_json::to_string(entry).expect("an entry is plain data");
    format!("{} {json}\n", Checksum::of(json.as_bytes()))
}

fn set_aside(path: &Path) -> Result<(), StoreError> {
    let aside = path.with_extension("damaged");
    tracing::warn!(store = %path.display(), "the ring store is damaged: a call may ring again or be missed again; the file is kept as {}", aside.display());
    std::fs::rename(path, aside).map_err(|error| failed(path, "put aside", error))
}

#[derive(Default)]
struct Recovered {
    /// The newest of each invitation.
    entries: BTreeMap<InvitationId, RingEntry>,
    records: usize,
    /// The last line has no end.
    torn: bool,
    /// Something else cannot be read.
    damaged: bool,
}

fn recover(text: &[u8]) -> Recovered {
    let mut recovered = Recovered::default();
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let Some(entry) = parse(line) else {
            let is_torn = !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX;
            recovered.torn |= is_torn;
            recovered.damaged |= !is_torn;
            continue;
        };
        recovered.entries.insert(entry.invitation, entry);
        recovered.records += 1;
    }
    recovered
}

fn parse(line: &[u8]) -> Option<RingEntry> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (checksum, json) = line.split_once(' ')?;
    (checksum == Checksum::of(json.as_bytes()).to_string()).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use uuid::Uuid;

    const CLIENT: &str = "GID_dev@@@bob";
    const NOW: u64 = 1_800_000_000_000;

    fn entry(id: u128, rev: u64, phase: RingPhase) -> RingEntry {
        RingEntry { invitation: InvitationId(Uuid::from_u128(id)), rev, phase, expires_at_ms: NOW + 45_000 }
    }

    fn entries(store: &RingStore) -> Vec<RingEntry> {
        store.entries().copied().collect()
    }

    /// Files of older versions have these names.
    #[test]
    fn the_stored_names_of_a_record_stay() {
        for (phase, name) in [
            (RingPhase::Held, "held"),
            (RingPhase::Ring, "ring"),
            (RingPhase::Missed, "missed"),
            (RingPhase::Done, "done"),
        ] {
            let stored = serde_json::to_string(&entry(7, 2, phase)).expect("a record is JSON");
            let expected = format!(
                r#"{{"invitation":"00000000-0000-0000-0000-000000000007","rev":2,"is":"{name}","expires_at_ms":1800000045000}}"#
            );
            assert_eq!(stored, expected);
        }
    }

    #[test]
    fn the_last_word_on_an_invitation_survives() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RingStore::open(folder.path(), CLIENT).unwrap();
        store.put(&[entry(1, 1, RingPhase::Ring)]).unwrap();
        store.put(&[entry(2, 4, RingPhase::Ring)]).unwrap();
        store.put(&[entry(1, 3, RingPhase::Missed)]).unwrap();
        drop(store);
        let store = RingStore::open(folder.path(), CLIENT).unwrap();
        assert_eq!(entries(&store), [entry(1, 3, RingPhase::Missed), entry(2, 4, RingPhase::Ring)]);
    }

    #[test]
    fn cut_at_every_byte_it_opens_with_all_whole_records_and_goes_on() {
        let records = [entry(1, 1, RingPhase::Ring), entry(2, 2, RingPhase::Ring), entry(1, 5, RingPhase::Done)];
        let text: String = records.iter().map(line).collect();
        for cut in 0..=text.len() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("GID_dev@@@bob.rings"), &text[..cut]).unwrap();
            let whole = text[..cut].matches('\n').count();
            let mut expected: BTreeMap<_, _> = records[..whole].iter().map(|e| (e.invitation, *e)).collect();
            let mut store = RingStore::open(folder.path(), CLIENT).unwrap();
            assert_eq!(entries(&store), expected.values().copied().collect::<Vec<_>>(), "cut at {cut}");
            let next = entry(9, 9, RingPhase::Missed);
            store.put(&[next]).unwrap();
            drop(store);
            expected.insert(next.invitation, next);
            let store = RingStore::open(folder.path(), CLIENT).unwrap();
            assert_eq!(entries(&store), expected.into_values().collect::<Vec<_>>(), "cut at {cut}, then one more");
        }
    }

    #[test]
    fn a_damaged_record_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text: String = [entry(1, 1, RingPhase::Ring), entry(2, 2, RingPhase::Missed)].iter().map(line).collect();
        let mut bytes = text.into_bytes();
        bytes[30] ^= 1;
        std::fs::write(folder.path().join("GID_dev@@@bob.rings"), &bytes).unwrap();
        let store = RingStore::open(folder.path(), CLIENT).unwrap();
        assert_eq!(entries(&store), [entry(2, 2, RingPhase::Missed)]);
        assert_eq!(std::fs::read(folder.path().join("GID_dev@@@bob.damaged")).unwrap(), bytes, "kept to be looked at");
        drop(store);
        let again = RingStore::open(folder.path(), CLIENT).unwrap();
        assert_eq!(entries(&again), [entry(2, 2, RingPhase::Missed)], "written anew");
    }

    #[test]
    fn entries_go_three_days_after_the_expiry() {
        let folder = tempfile::tempdir().unwrap();
        RingStore::open(folder.path(), CLIENT).unwrap().put(&[entry(1, 1, RingPhase::Done)]).unwrap();
        let last = NOW + 45_000 + KEPT_PAST_EXPIRY_MS;
        let mut store = RingStore::open(folder.path(), CLIENT).unwrap();
        store.forget_over(last).unwrap();
        assert_eq!(store.entries().count(), 1);
        store.forget_over(last + 1).unwrap();
        assert_eq!(store.entries().count(), 0);
    }

    #[test]
    fn a_missed_call_is_known_as_long_as_it_may_be_unseen() {
        let folder = tempfile::tempdir().unwrap();
        RingStore::open(folder.path(), CLIENT).unwrap().put(&[entry(1, 1, RingPhase::Missed)]).unwrap();
        let later = NOW + 30 * KEPT_PAST_EXPIRY_MS;
        let mut store = RingStore::open(folder.path(), CLIENT).unwrap();
        store.forget_over(later).unwrap();
        assert_eq!(entries(&store), [entry(1, 1, RingPhase::Missed)]);
        store.put(&[entry(1, 2, RingPhase::Done)]).unwrap();
        store.forget_over(later).unwrap();
        assert_eq!(store.entries().count(), 0, "seen");
    }

    #[test]
    fn the_file_is_written_anew_before_it_grows_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RingStore::open(folder.path(), CLIENT).unwrap();
        for rev in 0..1000 {
            store.put(&[entry(u128::from(rev % 3), rev, RingPhase::Ring)]).unwrap();
        }
        let length = std::fs::metadata(folder.path().join("GID_dev@@@bob.rings")).unwrap().len();
        assert!(length < 300 * 200, "{length}");
        drop(store);
        let revs: Vec<_> = entries(&RingStore::open(folder.path(), CLIENT).unwrap()).iter().map(|e| e.rev).collect();
        assert_eq!(revs, [999, 997, 998]);
    }

    #[test]
    fn the_oldest_go_where_each_has_a_record_or_two() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RingStore::open(folder.path(), CLIENT).unwrap();
        let many: Vec<_> =
            (0..=(ENTRIES_MAX + STALE_RECORDS_MAX) as u128).map(|id| entry(id, 1, RingPhase::Done)).collect();
        store.put(&many).unwrap();
        assert_eq!(entries(&store), many[many.len() - ENTRIES_MAX..]);
        drop(store);
        assert_eq!(entries(&RingStore::open(folder.path(), CLIENT).unwrap()), many[many.len() - ENTRIES_MAX..]);
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = RingStore::open(folder.path(), CLIENT).unwrap();
        assert!(matches!(RingStore::open(folder.path(), CLIENT), Err(StoreError::InUse(_))));
        drop(first);
        assert!(RingStore::open(folder.path(), CLIENT).is_ok());
    }
}
