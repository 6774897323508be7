//! Bodies of the fuzz targets, which live beside the parsers, and the tests that play their corpus. Only with the feature
//! `fuzzing`.

pub use crate::files::fuzzing::{read_ivf, read_ogg};
pub use crate::media::fuzzing::receiver;
pub use crate::store::fuzzing::ring_store;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readers_of_files_keep_their_word_on_their_corpus() {
        replay::corpus("terminal_ivf", 300, read_ivf);
        replay::corpus("terminal_ogg", 300, read_ogg);
    }

    #[test]
    fn the_receiver_keeps_its_word_on_its_corpus() {
        replay::corpus("terminal_receiver", 200, receiver);
    }

    #[test]
    fn the_ring_store_keeps_its_word_on_its_corpus() {
        replay::corpus("terminal_ring_store", 300, ring_store);
    }
}
