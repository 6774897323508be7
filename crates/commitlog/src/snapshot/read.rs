//! The snapshot at a start: all of it is checked before anything of it is shown.

use std::io;
use std::sync::Arc;

use super::NAME;
use super::format::{
    FRAME_BODY, FRAME_HEADER_LEN, HEADER_LEN, SnapshotHeader, Unfit, What, body_len, decode_copy, decode_record,
};
use crate::error::OpenError;
use crate::format::FIRST_RECORD;
use crate::record::ReplayedRecord;
use crate::recover::{Recovered, file_error};
use crate::segment::read_exact;
use crate::storage::{Storage, StorageFile};
use crate::{Position, USER_KIND_MIN};

/// A snapshot that fits to the log, and is whole.
pub(crate) struct Snapshot {
    file: Arc<dyn StorageFile>,
    header: SnapshotHeader,
}

/// Why a snapshot is not used.
enum Unusable {
    Missing,
    Unfit(Unfit),
    /// It says more than the log holds.
    Ahead,
    Unreadable(io::Error),
}

impl From<Unfit> for Unusable {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Returns the snapshot of this log if there is one that can be used; else the log says why.
pub(crate) fn find_snapshot(storage: &dyn Storage, recovered: &Recovered) -> Result<Option<Snapshot>, OpenError> {
    let why = match open(storage, recovered) {
        Ok(snapshot) => return Ok(Some(snapshot)),
        Err(Unusable::Missing) => return Ok(None),
        Err(Unusable::Unfit(Unfit(why))) => why.to_owned(),
        Err(Unusable::Unreadable(error)) => error.to_string(),
        Err(Unusable::Ahead) => {
            remove(storage)?;
            "it is ahead of the log, which has lost its end".to_owned()
        }
    };
    let path = storage.path_of(NAME);
    tracing::warn!(path, why, "the snapshot of the log cannot be used: this start reads the whole log");
    Ok(None)
}

/// What the file takes of the disk, whether it can be used or not.
pub(crate) fn bytes_on_disk(storage: &dyn Storage) -> u64 {
    // One that cannot be opened now is not counted until the next one takes its place.
    storage.open(NAME).and_then(|file| file.size()).unwrap_or(0)
}

/// What the log will hold where it has lost its end is not what the snapshot is of.
fn remove(storage: &dyn Storage) -> Result<(), OpenError> {
    let removed = storage.remove(NAME).and_then(|()| storage.sync_dir());
    removed.map_err(file_error(storage, NAME, "the file cannot be removed"))
}

fn open(storage: &dyn Storage, recovered: &Recovered) -> Result<Snapshot, Unusable> {
    let file = match storage.open(NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Missing),
        file => file?,
    };
    let header = read_header(&*file)?;
    check_fits(&header, recovered)?;
    let snapshot = Snapshot { file, header };
    snapshot.check()?;
    Ok(snapshot)
}

fn read_header(file: &dyn StorageFile) -> Result<SnapshotHeader, Unusable> {
    let length = file.size()?;
    if length < HEADER_LEN as u64 {
        return Err(Unfit("it ends within its header").into());
    }
    let mut bytes = [0; HEADER_LEN];
    read_exact(file, &mut bytes, 0)?;
    let header = SnapshotHeader::decode(&bytes)?;
    if header.length == length { Ok(header) } else { Err(Unfit("it has not the length that its header says").into()) }
}

fn check_fits(header: &SnapshotHeader, recovered: &Recovered) -> Result<(), Unusable> {
    let geometry = &recovered.geometry;
    if header.geometry != *geometry {
        return Err(Unfit("it belongs to another log").into());
    }
    let (segment, offset) = geometry.split(header.from);
    if header.from > header.end || offset < FIRST_RECORD {
        return Err(Unfit("no log can be replayed from its place").into());
    }
    if segment < recovered.begin {
        return Err(Unfit("the log begins behind its place").into());
    }
    if header.end > geometry.position(recovered.segment, recovered.cut) {
        return Err(Unusable::Ahead);
    }
    Ok(())
}

/// One thing that a snapshot holds.
pub(crate) enum Entry<'a> {
    Record(ReplayedRecord<'a>),
    Copy { name: Position, place: Position },
}

/// Why a walk through a snapshot ended before its end.
pub(crate) enum Stopped {
    /// The visitor wanted no more.
    Refused,
    Changed(Unfit),
    Unreadable(io::Error),
}

impl From<Unfit> for Stopped {
    fn from(unfit: Unfit) -> Self {
        Self::Changed(unfit)
    }
}

impl Snapshot {
    /// Where the replay goes on.
    pub(crate) fn from(&self) -> Position {
        self.header.from
    }

    pub(crate) fn length(&self) -> u64 {
        self.header.length
    }

    pub(crate) fn records(&self) -> u64 {
        self.header.records
    }

    fn check(&self) -> Result<(), Unusable> {
        let (mut records, mut copies) = (0, 0);
        let walked = self.walk(&mut |entry| match entry {
            Entry::Record(record) => {
                records += 1;
                record.kind >= USER_KIND_MIN
            }
            Entry::Copy { name, place } => {
                copies += 1;
                name < place && place < self.header.from
            }
        });
        match walked {
            Ok(()) if (records, copies) == (self.header.records, self.header.copies) => Ok(()),
            Ok(()) => Err(Unfit("something is missing in it").into()),
            Err(Stopped::Refused) => Err(Unfit("it holds what no snapshot does").into()),
            Err(Stopped::Changed(unfit)) => Err(unfit.into()),
            Err(Stopped::Unreadable(error)) => Err(error.into()),
        }
    }

    /// Shows all that the snapshot holds, as long as `visit` returns `true`. Memory is bounded by the largest frame.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Stopped> {
        let mut offset = HEADER_LEN as u64;
        let mut body = Vec::new();
        while offset < self.header.length {
            let what = self.read_frame(offset, &mut body)?;
            offset += (FRAME_HEADER_LEN + body.len()) as u64;
            let mut rest = &*body;
            while !rest.is_empty() {
                let entry = match what {
                    What::Records => Entry::Record(decode_record(&mut rest)?),
                    What::Copies => {
                        let (name, place) = decode_copy(&mut rest)?;
                        Entry::Copy { name, place }
                    }
                };
                if !visit(entry) {
                    return Err(Stopped::Refused);
                }
            }
        }
        Ok(())
    }

    fn read_frame(&self, offset: u64, body: &mut Vec<u8>) -> Result<What, Stopped> {
        const CUT: Unfit = Unfit("a frame in it is cut");
        let begin = offset + FRAME_HEADER_LEN as u64;
        if begin > self.header.length {
            return Err(CUT.into());
        }
        let mut header = [0; FRAME_HEADER_LEN];
        read_exact(&*self.file, &mut header, offset).map_err(Stopped::Unreadable)?;
        let len = body_len(&header);
        let most = self.header.geometry.segment_size.max(FRAME_BODY as u64);
        if len as u64 > most || begin + len as u64 > self.header.length {
            return Err(CUT.into());
        }
        body.resize(len, 0);
        read_exact(&*self.file, body, begin).map_err(Stopped::Unreadable)?;
        Ok(self.header.check_frame(offset, &header, body)?)
    }
}
