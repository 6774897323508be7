//! The trace of all calls of a storage, and the disk that a power cut would leave at any moment of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fate::{Fate, SectorFate};
use super::storage::ForgettingStorage;

/// Size of what a disk writes whole or not at all, mostly.
pub const SECTOR: usize = 512;

/// One call that changed something, or a note of the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        name: String,
        file: usize,
    },
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    /// The file gets this length. Of what is not synced, nothing is kept at a power cut.
    Allocate {
        file: usize,
        len: usize,
    },
    Sync {
        file: usize,
    },
    /// The sync reported an error: what was written will never be on the disk, although reads still see it.
    SyncFailed {
        file: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Exchange {
        one: String,
        other: String,
    },
    Remove {
        name: String,
    },
    SyncFolder,
    /// A note of the test about this moment, for example what was acknowledged.
    Note(u64),
}

/// Files by number, and names for some of them. A copy of it shares the contents until they change.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) files: BTreeMap<usize, Arc<Vec<u8>>>,
    pub(super) names: BTreeMap<String, usize>,
}

impl Image {
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { file, offset, bytes } => self.write(*file, *offset, bytes),
            Op::Allocate { file, len } => self.allocate(*file, *len),
            Op::Create { .. } | Op::Rename { .. } | Op::Exchange { .. } | Op::Remove { .. } => self.apply_to_folder(op),
            Op::Sync { .. } | Op::SyncFailed { .. } | Op::SyncFolder | Op::Note(_) => {}
        }
    }

    fn apply_to_folder(&mut self, op: &Op) {
        match op {
            Op::Create { name, file } => {
                self.files.entry(*file).or_default();
                self.names.insert(name.clone(), *file);
            }
            Op::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Op::Exchange { one, other } => {
                if let (Some(first), Some(second)) = (self.names.get(one).copied(), self.names.get(other).copied()) {
                    self.names.insert(one.clone(), second);
                    self.names.insert(other.clone(), first);
                }
            }
            Op::Remove { name } => {
                self.names.remove(name);
            }
            _ => {}
        }
    }

    /// What all files that have a name take.
    pub(super) fn bytes(&self) -> usize {
        self.names.values().filter_map(|file| self.files.get(file)).map(|content| content.len()).sum()
    }

    /// Of the content of a file that there may not be yet.
    pub(super) fn content_mut(&mut self, file: usize) -> &mut Vec<u8> {
        Arc::make_mut(self.files.entry(file).or_default())
    }

    fn allocate(&mut self, file: usize, len: usize) {
        let content = self.content_mut(file);
        content.resize(content.len().max(len), 0);
    }

    fn write(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let content = self.content_mut(file);
        if content.len() < offset + bytes.len() {
            content.resize(offset + bytes.len(), 0);
        }
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// All calls since the storage was created or last lost its power.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) begin: Image,
    pub(super) ops: Vec<Op>,
}

impl Trace {
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Returns the notes before the moment `at` (an index into `ops`).
    #[must_use]
    pub fn notes_before(&self, at: usize) -> Vec<u64> {
        let notes = self.ops[..at].iter();
        notes.filter_map(|op| if let Op::Note(note) = op { Some(*note) } else { None }).collect()
    }

    /// Returns how many sectors were written and not synced at the moment `at`.
    #[must_use]
    pub fn unsynced_sectors(&self, at: usize) -> usize {
        self.moment(at).unsynced_sectors()
    }

    /// Returns how many changes of the folder were not synced at the moment `at`.
    #[must_use]
    pub fn unsynced_folder_changes(&self, at: usize) -> usize {
        self.moment(at).unsynced_folder_changes()
    }

    /// Returns the disk at the moment `at`, for many cuts of it.
    #[must_use]
    pub fn moment(&self, at: usize) -> Moment<'_> {
        Moment { disk: Disk::at(self, at) }
    }

    /// Returns a storage with what the disk holds after a power cut at the moment `at`.
    #[must_use]
    pub fn cut(&self, at: usize, fate: &mut dyn Fate) -> ForgettingStorage {
        ForgettingStorage::from_image(self.image_after_cut(at, fate))
    }

    pub(super) fn image_after_cut(&self, at: usize, fate: &mut dyn Fate) -> Image {
        self.moment(at).image_after_cut(fate)
    }
}

/// The disk at a moment of a trace: what is durable, and what is not.
pub struct Moment<'a> {
    disk: Disk<'a>,
}

impl Moment<'_> {
    /// Returns how many sectors were written and not synced.
    #[must_use]
    pub fn unsynced_sectors(&self) -> usize {
        self.disk.writes.iter().map(|write| pieces(write).count()).sum()
    }

    /// Returns how many changes of the folder were not synced.
    #[must_use]
    pub fn unsynced_folder_changes(&self) -> usize {
        self.disk.folder.len()
    }

    /// Returns a storage with what the disk holds after a power cut now.
    #[must_use]
    pub fn cut(&self, fate: &mut dyn Fate) -> ForgettingStorage {
        ForgettingStorage::from_image(self.image_after_cut(fate))
    }

    fn image_after_cut(&self, fate: &mut dyn Fate) -> Image {
        let mut image = self.disk.image.clone();
        let kept = fate.folder(self.disk.folder.len());
        for change in &self.disk.folder[..kept] {
            image.apply_to_folder(change);
        }
        for write in &self.disk.writes {
            for piece in pieces(write) {
                keep(&mut image, &piece, fate.sector());
            }
        }
        image
    }
}

struct Disk<'a> {
    /// What is durable.
    image: Image,
    writes: Vec<Write<'a>>,
    /// Files with the length that each shall have.
    allocations: Vec<(usize, usize)>,
    folder: Vec<&'a Op>,
}

#[derive(Clone, Copy)]
struct Write<'a> {
    file: usize,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Disk<'a> {
    fn at(trace: &'a Trace, at: usize) -> Self {
        let mut disk =
            Self { image: trace.begin.clone(), writes: Vec::new(), allocations: Vec::new(), folder: Vec::new() };
        for op in &trace.ops[..at] {
            disk.note(op);
        }
        disk
    }

    fn note(&mut self, op: &'a Op) {
        match op {
            Op::Write { file, offset, bytes } => self.writes.push(Write { file: *file, offset: *offset, bytes }),
            Op::Allocate { file, len } => self.allocations.push((*file, *len)),
            Op::Sync { file } => self.sync(*file),
            Op::SyncFailed { file } => {
                self.writes.retain(|write| write.file != *file);
                self.allocations.retain(|(of, _)| of != file);
            }
            Op::Create { .. } | Op::Rename { .. } | Op::Exchange { .. } | Op::Remove { .. } => self.folder.push(op),
            Op::SyncFolder => {
                for change in self.folder.drain(..) {
                    self.image.apply_to_folder(change);
                }
            }
            Op::Note(_) => {}
        }
    }

    fn sync(&mut self, file: usize) {
        let image = &mut self.image;
        self.allocations.retain(|(of, len)| {
            if *of == file {
                image.allocate(file, *len);
            }
            *of != file
        });
        self.writes.retain(|write| {
            if write.file == file {
                image.write(file, write.offset, write.bytes);
            }
            write.file != file
        });
    }
}

/// Splits a write at the borders of the disk's sectors.
fn pieces<'a>(write: &Write<'a>) -> impl Iterator<Item = Write<'a>> {
    let (file, mut offset, mut rest) = (write.file, write.offset, write.bytes);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let len = (SECTOR - offset % SECTOR).min(rest.len());
        let (bytes, after) = rest.split_at(len);
        let piece = Write { file, offset, bytes };
        rest = after;
        offset += len;
        Some(piece)
    })
}

fn keep(image: &mut Image, piece: &Write<'_>, fate: SectorFate) {
    match fate {
        SectorFate::Lost => {}
        SectorFate::Kept => image.write(piece.file, piece.offset, piece.bytes),
        SectorFate::Torn(len) => {
            image.write(piece.file, piece.offset, &piece.bytes[..len.min(piece.bytes.len())]);
        }
        SectorFate::Garbage(byte) => {
            image.write(piece.file, piece.offset, &vec![byte; piece.bytes.len()]);
        }
    }
}
