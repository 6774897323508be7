//! The storage on a real disk: a folder of files.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::storage::{LockError, Storage, StorageFile, StorageLock};
use crate::sys;

const LOCK_FILE: &str = "lock";

/// Files in one folder, which is created if it is missing.
#[derive(Clone, Debug)]
pub struct DiskStorage {
    folder: PathBuf,
    /// Opened with the lock: a sync and a look at the free space need no descriptor, of which there may be none left.
    handle: Arc<OnceLock<File>>,
}

impl DiskStorage {
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), handle: Arc::default() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Storage for DiskStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.folder)?;
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(self.at(name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = File::options().read(true).write(true).open(self.at(name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        sys::exchange(&self.at(one), &self.at(other))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        match self.handle.get() {
            Some(folder) => folder.sync_all(),
            None => File::open(&self.folder)?.sync_all(),
        }
    }

    fn lock(&self) -> Result<StorageLock, LockError> {
        make_folder(&self.folder).map_err(LockError::Io)?;
        let handle = File::open(&self.folder).map_err(LockError::Io)?;
        self.handle.get_or_init(|| handle);
        lock_file(&self.at(LOCK_FILE)).map(StorageLock::new)
    }

    fn random_id(&self) -> io::Result<[u8; 16]> {
        let mut id = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut id)?;
        Ok(id)
    }

    fn free_space(&self) -> io::Result<u64> {
        match self.handle.get() {
            Some(folder) => sys::free_space(folder),
            None => sys::free_space(&File::open(&self.folder)?),
        }
    }

    fn path_of(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }
}

/// Creates the folder and makes its name durable: a power cut must not take the folder away with the log in it.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn lock_file(path: &Path) -> Result<File, LockError> {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LockError::Held { pid: read_pid(&mut file) }),
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    file.set_len(0).map_err(LockError::Io)?;
    writeln!(file, "{}", std::process::id()).map_err(LockError::Io)?;
    Ok(file)
}

fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

struct DiskFile(File);

impl StorageFile for DiskFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        sys::allocate(&self.0, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
