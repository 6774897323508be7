//! Power cuts at every moment of a run, with every kind of remains.

use commitlog::testing::{Everything, Nothing, Random, Subset};
use commitlog::{Options, SyncMode};

use crate::harness::{Run, run, small, storage};

const SEED: u64 = 20_260_701;

fn segments_of_16k() -> Run {
    run(&storage(), &small(), 60, 4)
}

#[test]
fn nothing_acknowledged_is_lost_at_any_moment_when_all_unsynced_is_lost() {
    let run = segments_of_16k();
    let mut most = 0;
    for at in run.moments() {
        most = most.max(run.check(at, &mut Nothing).unwrap_or_else(|error| panic!("moment {at}: {error}")));
    }
    assert_eq!(most, 60, "the last moment shows all units");
}

#[test]
fn nothing_acknowledged_is_lost_at_any_moment_when_all_unsynced_is_kept() {
    let run = segments_of_16k();
    for at in run.moments() {
        run.check(at, &mut Everything).unwrap_or_else(|error| panic!("moment {at}: {error}"));
    }
}

#[test]
fn every_subset_of_a_batchs_sectors_leaves_whole_units_in_order() {
    let run = run(&storage(), &small(), 24, 3);
    let mut states = 0;
    for at in run.moments_of_open_batches() {
        let sectors = run.trace.unsynced_sectors(at);
        assert!(sectors > 0, "the batch is not synced yet");
        for bits in 0..1_u64 << sectors.min(7) {
            run.check(at, &mut Subset::new(bits, 0)).unwrap_or_else(|error| panic!("{at}, {bits:b}: {error}"));
            states += 1;
        }
    }
    assert!(states > 100, "only {states} crash states");
}

#[test]
fn torn_and_garbled_sectors_never_lose_or_invent_anything() {
    let run = segments_of_16k();
    for at in run.moments() {
        for round in 0..4 {
            let seed = SEED + (at * 4 + round) as u64;
            let fate = &mut Random::new(seed);
            run.check(at, fate).unwrap_or_else(|error| panic!("moment {at}, seed {seed}: {error}"));
        }
    }
}

#[test]
fn without_syncs_a_power_cut_still_leaves_a_prefix() {
    let options = Options { sync: SyncMode::Os, ..small() };
    let run = run(&storage(), &options, 60, 4);
    for at in run.moments() {
        for round in 0..4 {
            let seed = SEED + (at * 4 + round) as u64;
            let fate = &mut Random::new(seed);
            run.check(at, fate).unwrap_or_else(|error| panic!("moment {at}, seed {seed}: {error}"));
        }
    }
}
