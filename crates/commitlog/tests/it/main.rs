//! The log through its public interface, on the storage that forgets and on a real disk.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

mod appending;
mod budget;
mod carrying;
mod cornered;
mod crash;
mod damage;
mod disk;
mod faults;
mod flips;
mod full;
mod harness;
mod owned_flips;
mod owners;
mod power;
mod random;
mod snapshots;
mod table;
