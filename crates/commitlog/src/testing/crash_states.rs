//! The enumeration of crash states: power cuts at every moment of a trace, with every subset of what was not synced.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::fate::{Fate, Random, Subset};
use super::storage::ForgettingStorage;
use super::trace::Trace;

/// How far crash states are enumerated.
#[derive(Clone, Copy, Debug)]
pub struct CrashStates {
    /// Of so many un-synced sectors all subsets are tried, each with every prefix of what happened to the folder.
    pub sectors_max: u32,
    /// Cuts at each moment in which sectors are kept, lost, torn and garbage by chance.
    pub torn_per_moment: u64,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckedStates {
    pub states: usize,
    /// Of them, those that are exactly what there was after a step.
    pub exact: usize,
    /// Of them, those that begin with a snapshot.
    pub of_snapshots: usize,
}

impl AddAssign for CheckedStates {
    fn add_assign(&mut self, other: Self) {
        self.states += other.states;
        self.exact += other.exact;
        self.of_snapshots += other.of_snapshots;
    }
}

impl CrashStates {
    /// Gives every crash state of the trace to `check`, on all cores: the storage after the cut, and the last note of the
    /// test before it. Returns the sum of what it returns.
    ///
    /// # Errors
    /// One of the states in which something is wrong, and what; the others are not looked at any more.
    pub fn check<S>(
        &self,
        trace: &Trace,
        check: impl Fn(&ForgettingStorage, Option<u64>) -> Result<S, String> + Sync,
    ) -> Result<S, String>
    where
        S: Default + AddAssign + Send,
    {
        let next = AtomicUsize::new(0);
        let check_some = || {
            let mut sum = S::default();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at > trace.ops().len() {
                    return Ok(sum);
                }
                let checked = self.check_moment(trace, at, &check, &mut sum);
                checked.inspect_err(|_| next.store(trace.ops().len() + 1, Ordering::Relaxed))?;
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let all: Vec<Result<S, String>> = thread::scope(|scope| {
            let spawned: Vec<_> = (0..threads).map(|_| scope.spawn(check_some)).collect();
            spawned.into_iter().map(|thread| thread.join().expect("a check does not panic")).collect()
        });
        let mut sum = S::default();
        for checked in all {
            sum += checked?;
        }
        Ok(sum)
    }

    fn check_moment<S: AddAssign>(
        &self,
        trace: &Trace,
        at: usize,
        check: &impl Fn(&ForgettingStorage, Option<u64>) -> Result<S, String>,
        sum: &mut S,
    ) -> Result<(), String> {
        let (moment, note) = (trace.moment(at), trace.notes_before(at).last().copied());
        let mut check = |fate: &mut dyn Fate, named: std::fmt::Arguments<'_>| {
            *sum += check(&moment.cut(fate), note).map_err(|error| format!("moment {at}, {named}: {error}"))?;
            Ok::<_, String>(())
        };
        let sectors = u32::try_from(moment.unsynced_sectors()).unwrap_or(u32::MAX).min(self.sectors_max);
        for folder in 0..=moment.unsynced_folder_changes() {
            for bits in 0..1_u64 << sectors {
                check(
                    &mut Subset::new(bits, folder),
                    format_args!("sectors {bits:b}, {folder} changes of the folder"),
                )?;
            }
        }
        for nth in 0..self.torn_per_moment {
            let seed = at as u64 * self.torn_per_moment + nth;
            check(&mut Random::new(seed), format_args!("seed {seed}"))?;
        }
        Ok(())
    }
}
