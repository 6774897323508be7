//! Plays the committed corpus of a fuzz target as an ordinary test: each file as it is, then with a few changes that
//! depend on nothing but the file's bytes. Part of each crate's tests by `#[path]`; std only.

use std::fs;
use std::path::Path;

/// Calls `body` with every file of `fuzz/corpus/<target>` and with `changes` altered copies of each.
pub(crate) fn corpus(target: &str, changes: u64, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let seeds = read_all(&folder);
    assert!(!seeds.is_empty(), "the corpus of {target} is empty");
    for (name, seed) in &seeds {
        play(target, name, 0, seed, body);
        let mut random = Random(checksum(seed));
        for change in 1..=changes {
            let other = &seeds[random.below(seeds.len())].1;
            play(target, name, change, &altered(seed, other, &mut random), body);
        }
    }
}

/// In the order of their names, so that every run is the same.
fn read_all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("fuzz/corpus has a folder of this target");
    let paths = entries.map(|entry| entry.expect("a folder that can be listed").path());
    let read = |path: &Path| fs::read(path).expect("a file that can be read");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut seeds: Vec<_> = paths.map(|path| (name(&path), read(&path))).collect();
    seeds.sort();
    seeds
}

fn play(target: &str, name: &str, change: u64, bytes: &[u8], body: fn(&[u8])) {
    let told = TellsWhatFailed { target, name, change, bytes };
    body(bytes);
    drop(told);
}

struct TellsWhatFailed<'a> {
    target: &'a str,
    name: &'a str,
    change: u64,
    bytes: &'a [u8],
}

impl Drop for TellsWhatFailed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { target, name, change, bytes } = self;
            eprintln!("fuzz/corpus/{target}/{name}, change {change}: {}", bytes.escape_ascii());
        }
    }
}

/// One to four changes, of the kinds that a fuzzer begins with.
fn altered(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        alter(&mut bytes, other, random);
    }
    bytes
}

fn alter(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    const EDGES: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF, b'/', b'"'];
    let (at, to) = (random.below(bytes.len() + 1), random.below(bytes.len() + 1));
    let (begin, end) = (at.min(to), at.max(to));
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, EDGES[random.below(EDGES.len())]),
        2 => drop(bytes.drain(begin..end.min(begin + 8))),
        3 => bytes.extend_from_within(begin..end),
        4 => drop(bytes.splice(at.., other[other.len().min(at)..].iter().copied())),
        5 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = EDGES[random.below(EDGES.len())]),
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }
}
