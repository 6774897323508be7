//! What scenarios need of this machine: the program under test, and random numbers from a printed seed.

use anyhow::{Result, ensure};
use std::path::PathBuf;

/// `target/<profile>/convoke`, beside this test's own folder.
pub(crate) fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.ancestors().nth(2).map(|folder| folder.join("convoke")).unwrap_or_default();
    ensure!(program.is_file(), "{} is not there: build it with `cargo build --workspace --bins`", program.display());
    Ok(program)
}

/// SplitMix64.
pub(crate) struct Random(u64);

/// A fixed seed, or `CONVOKE_SEED`; printed, so that a failure can be played again.
pub(crate) fn seed(name: &str) -> Random {
    let seed = std::env::var("CONVOKE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed);
    println!("{name}: CONVOKE_SEED={seed}");
    Random(seed)
}

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.next(limit as u64) as usize
    }

    /// Below `limit`.
    pub(crate) fn next(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
