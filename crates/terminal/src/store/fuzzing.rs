//! The body of the fuzz target: any bytes as the file of a ring store.

use super::{LINE_BYTES_MAX, Recovered, RingEntry, line, recover};

/// Lines that hold an entry may lack their checksum, which is then added. What is recovered is found again in
/// the file that is written of it, and in that file with anything torn behind it.
pub fn ring_store(bytes: &[u8]) {
    let recovered = recover(&signed(bytes));
    assert!(recovered.entries.len() <= recovered.records);
    let written: String = recovered.entries.values().map(line).collect();
    assert!(written.lines().all(|line| line.len() < LINE_BYTES_MAX));
    assert_same(&recover(written.as_bytes()), &recovered, false);
    let torn = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let torn = &torn[..torn.len().min(LINE_BYTES_MAX - 1)];
    assert_same(&recover(&[written.as_bytes(), torn].concat()), &recovered, !torn.is_empty());
}

fn assert_same(again: &Recovered, first: &Recovered, torn: bool) {
    assert_eq!(again.entries, first.entries);
    assert_eq!((again.records, again.torn, again.damaged), (first.entries.len(), torn, false));
}

fn signed(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines
        .flat_map(|bytes| serde_json::from_slice::<RingEntry>(bytes).map_or(bytes.to_vec(), |e| line(&e).into()))
        .collect()
}
