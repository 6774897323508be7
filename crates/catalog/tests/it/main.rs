//! The catalog's contract on SQLite, and what only SQLite can do.
#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod old_files;
mod process;
mod sqlite;

use catalog::SqliteCatalog;
use catalog::contract::Store;
use tempfile::TempDir;

/// A folder that vanishes afterwards, with the catalog's file in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("catalog.db")
    }
}

impl Store for Place {
    type Engine = SqliteCatalog;

    async fn open(&self) -> SqliteCatalog {
        SqliteCatalog::open(self.file()).await.unwrap()
    }
}

mod contract {
    use super::Place;

    catalog::catalog_contract!(Place::new());
}
