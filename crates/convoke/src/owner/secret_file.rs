//! A new file that takes a secret, readable by its owner only.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Made before the secret is: one that cannot be kept is not asked for. Vanishes if nothing is kept.
pub(super) struct SecretFile {
    file: File,
    path: PathBuf,
    is_kept: bool,
}

impl SecretFile {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| {
            format!("cannot create {}\n  remedy: name a new file in a folder that you may write to", path.display())
        })?;
        Ok(Self { file, path: path.to_owned(), is_kept: false })
    }

    /// Returns what to say about it.
    pub(super) fn keep(mut self, answer: &Value) -> Result<String> {
        // Even half a secret is of more use than none.
        self.is_kept = true;
        let path = self.path.display();
        let written = writeln!(self.file, "{answer:#}").and_then(|()| self.file.sync_all());
        written.with_context(|| {
            format!("cannot write to {path}, so the new secret is lost\n  remedy: ask for another one")
        })?;
        Ok(format!("Wrote the secret to {path}."))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // It is empty; what else is there to do about it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_file_is_private_never_replaced_and_gone_if_nothing_came() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key.json");
        drop(SecretFile::create(&path)?);
        assert!(!path.exists());
        SecretFile::create(&path)?.keep(&json!({ "secret": "s" }))?;
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        assert!(SecretFile::create(&path).is_err());
        assert_eq!(serde_json::from_slice::<Value>(&fs::read(&path)?)?, json!({ "secret": "s" }));
        Ok(())
    }
}
