//! `convoke demo`: the demo's call, played with this program's own executable.

use crate::cli::Demo;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Data and logs of a failed demo are kept.
pub(crate) async fn run(flags: Demo) -> Result<()> {
    let temporary = flags.keep.is_none();
    let folder = flags.keep.map_or_else(temporary_folder, Ok)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let output = demo::Output { json: flags.json, print: |line| convoke::print_line(line), explain: convoke::explain };
    demo::run(&program, &folder, output).await?;
    if temporary {
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(())
}

fn temporary_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("convoke-demo-{}", convoke::keys::random_hex::<6>()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(folder)
}
