//! Secret files: created once, synced, readable by their owner only.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Returns the file's text; a missing file is created with what `make` returns.
pub(crate) fn read_or_create(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let text = make()?;
            write_secret(path, &text)?;
            Ok(text)
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}\n  {}", path.display(), remedy_for(path))),
    }
}

/// Written whole or not at all: temporary file, sync, rename, sync of the folder, which is made if it is missing.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().expect("secrets lie in a folder");
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}\n  {}", path.display(), remedy_for(path)))
}

fn remedy_for(path: &Path) -> String {
    format!("remedy: let the user that runs convoke read and write {}", path.display())
}
