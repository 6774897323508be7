//! Body of the fuzz target `signalling_signals`: any bytes as a signal, and as what the join endpoint and the data channel
//! carry.
//!
//! Only with the feature `fuzzing`. `fuzz/` calls it; the tests below play its corpus.

use crate::{Down, JoinAnswer, JoinClaims, JoinRequest, SlotMap, Up};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is read says the same when it is written and read again.
pub fn signals(bytes: &[u8]) {
    round_trip::<Up>(bytes);
    round_trip::<Down>(bytes);
    round_trip::<JoinRequest>(bytes);
    round_trip::<JoinAnswer>(bytes);
    round_trip::<JoinClaims>(bytes);
    round_trip::<SlotMap>(bytes);
}

fn round_trip<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_string(&read).expect("a signal is plain data");
    assert_eq!(serde_json::from_str::<T>(&written).expect("what is written is read"), read, "{written}");
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_keep_their_word_on_their_corpus() {
        replay::corpus("signalling_signals", 100, signals);
    }

    /// Else the corpus would reach nothing.
    #[test]
    fn the_seeds_that_are_signals_are_read() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/signalling_signals");
        for entry in std::fs::read_dir(corpus).expect("the corpus is there") {
            let path = entry.expect("it can be listed").path();
            let (name, text) = (path.display().to_string(), std::fs::read(&path).expect("it can be read"));
            assert!(!name.contains("/up-") || serde_json::from_slice::<Up>(&text).is_ok(), "{name}");
            assert!(!name.contains("/down-") || serde_json::from_slice::<Down>(&text).is_ok(), "{name}");
        }
    }
}
