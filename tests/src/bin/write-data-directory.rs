//! Writes the archive of a data directory with a program of any version; `scripts/data-directory` is its front.

use anyhow::{Result, bail};
use scenarios::data_directory;
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [program, archive] = arguments.as_slice() else { bail!("usage: write-data-directory PROGRAM ARCHIVE") };
    data_directory::write(Path::new(program), Path::new(archive))
}
