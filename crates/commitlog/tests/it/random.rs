//! Random lives of a log, compared with a list.

use commitlog::testing::{ForgettingStorage, Random};
use commitlog::{Log, NewRecord, Part, Position};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::harness::{KIND, Seen, append_patiently, see, small};

#[derive(Clone, Debug)]
enum Step {
    Append { len: usize, wait: bool },
    Close,
    Kill,
    CutPower { seed: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3000_usize, any::<bool>()).prop_map(|(len, wait)| Step::Append { len, wait }),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(|seed| Step::CutPower { seed }),
    ]
}

struct Life {
    storage: ForgettingStorage,
    log: Log,
    /// All appended, and how many of them must still be there.
    records: Vec<Seen>,
    promised: usize,
}

impl Life {
    fn begin() -> Self {
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), small()).unwrap();
        Self { storage, log, records: Vec::new(), promised: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { len, wait } => self.append(*len, *wait),
            Step::Close => {
                self.log.close().unwrap();
                self.promised = self.records.len();
                self.restart();
            }
            Step::Kill => {
                self.storage.kill_process();
                self.restart();
            }
            Step::CutPower { seed } => {
                self.storage.cut_power_with(&mut Random::new(*seed));
                self.restart();
            }
        }
    }

    fn append(&mut self, len: usize, wait: bool) {
        let payload = vec![u8::try_from(len % 251).unwrap(); len];
        let appended = append_patiently(&self.log, &[NewRecord::new(KIND, 1, &[Part::Bytes(&payload)])]).unwrap();
        self.records.push(Seen { position: appended.positions[0], owner: 1, payload });
        if wait {
            self.log.wait_durable(appended.end).unwrap();
            self.promised = self.records.len();
        }
    }

    fn restart(&mut self) {
        let (log, replay) = Log::open(self.storage.handle(), small()).unwrap();
        self.log = log;
        let seen = see(replay).unwrap();
        assert!(seen.len() >= self.promised, "{} promised, {} there", self.promised, seen.len());
        assert_eq!(seen, self.records[..seen.len()]);
        self.records.truncate(seen.len());
        // What a start has shown stays.
        self.promised = seen.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, rng_seed: RngSeed::Fixed(4), ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_whatever_happens_to_it(steps in prop::collection::vec(step(), 1..60)) {
        let mut life = Life::begin();
        for step in &steps {
            life.step(step);
        }
        life.step(&Step::Close);
    }

    #[test]
    fn any_bytes_in_place_of_a_segment_are_refused_or_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        at in 0..16_384_usize,
    ) {
        let life = Life::begin();
        life.storage.kill_process();
        life.storage.corrupt("00000000000000000001.segment", |content| {
            let end = (at + bytes.len()).min(content.len());
            content[at.min(end)..end].copy_from_slice(&bytes[..end - at.min(end)]);
        }).unwrap();
        if let Ok((log, replay)) = Log::open(life.storage.handle(), small()) {
            prop_assert_eq!(see(replay), Ok(Vec::new()));
            prop_assert!(log.durable() > Position(0));
        }
    }
}
