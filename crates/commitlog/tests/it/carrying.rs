//! Records that are carried: copies that keep the name of the first one.

use commitlog::testing::{Everything, Nothing};
use commitlog::{AppendError, Log, Need, NewRecord, Part, Position};

use crate::harness::{KIND, append_durably, open, payloads, small, storage};

fn carry(log: &Log, name: Position, payload: &[u8]) -> Position {
    let parts = [Part::Bytes(payload)];
    let record = NewRecord::new(KIND, 7, &parts).carried(name);
    let reference = [Part::PositionOf(0)];
    let appended = log.append(Need::Essential, &[record, NewRecord::new(KIND, 8, &reference)]).unwrap();
    log.wait_durable(appended.end).unwrap();
    assert_eq!(appended.positions[0], name);
    assert_eq!(log.read(appended.positions[1]).unwrap().payload, name.to_bytes(), "a reference has the name");
    appended.positions[1]
}

#[test]
fn a_replay_shows_a_carried_record_once_and_under_its_name() {
    for power_cut in [false, true] {
        let storage = storage();
        let (log, _) = open(&storage, &small());
        let name = append_durably(&log, b"carried");
        append_durably(&log, b"other");
        carry(&log, name, b"carried");
        carry(&log, name, b"carried");
        assert_eq!(log.read(name).unwrap().payload, b"carried");
        if power_cut {
            storage.cut_power_with(&mut Everything)
        } else {
            storage.cut_power_with(&mut Nothing)
        }
        drop(log);
        let (log, seen) = open(&storage, &small());
        assert_eq!(payloads(&seen)[..2], ["carried", "other"]);
        assert_eq!(seen.len(), 4, "and the two references");
        assert_eq!(seen.iter().filter(|seen| seen.position == name).count(), 1);
        assert_eq!(log.read(name).unwrap().payload, b"carried");
    }
}

#[test]
fn a_name_that_was_never_given_is_refused() {
    let (log, _) = open(&storage(), &small());
    let end = append_durably(&log, b"one").0 + 48;
    for name in [0, end, u64::MAX] {
        let refused = log.append(Need::Normal, &[NewRecord::new(KIND, 7, &[]).carried(Position(name))]);
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{name}");
    }
}
