//! Bodies of the fuzz targets, which live beside the parsers, and the tests that play their corpus. Only with the feature
//! `fuzzing`.

pub use crate::store::fuzzing::records;
pub use crate::transport::fuzzing::websocket;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_keep_their_word_on_their_corpus() {
        replay::corpus("broker_records", 500, records);
    }

    #[test]
    fn the_frames_keep_their_word_on_their_corpus() {
        replay::corpus("broker_websocket", 500, websocket);
    }
}
