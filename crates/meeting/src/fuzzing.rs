//! Body of the fuzz target `meeting_document`: any bytes as the stored document of a meeting.
//!
//! Only with the feature `fuzzing`. `fuzz/` calls it; the tests below play its corpus. (Any events in any order are
//! `tests/it/machine/play.rs`.)

use crate::machine::{Context, DocumentRow, Event, Meeting, Rules};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A document that is read says the same when it is written and read again, and whatever it says, the machine handles
/// events on it: `rev` never falls, and each change has a new one.
pub fn document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok((meeting, _)) = Meeting::from_rows(text, []) else { return };
    assert_eq!(rewritten(&meeting), meeting);
    for event in events(&meeting) {
        for now_ms in [0, 1_000_000, 1 << 52] {
            check_decided(&meeting, event.clone(), now_ms);
        }
    }
}

fn rewritten(meeting: &Meeting) -> Meeting {
    let (rows, places) = meeting.rows_since(None);
    let rows = rows.put.into_iter().map(|((kind, place), entry)| DocumentRow { kind: kind.to_owned(), place, entry });
    let (read, read_places) = Meeting::from_rows(&meeting.head(), rows).expect("what is written is read");
    assert_eq!(read_places, places);
    read
}

fn events(meeting: &Meeting) -> Vec<Event> {
    let none = BTreeSet::new();
    let connected: BTreeSet<_> = meeting.members.iter().map(|member| member.participation).collect();
    let online: BTreeSet<_> = meeting.members.iter().map(|member| member.client.clone()).collect();
    let gone = online.iter().map(|client| Event::Online { client: client.clone(), online: false });
    let removed = online.iter().map(|client| Event::Removed { client: client.clone() });
    let rung = meeting.invitations.iter().map(|ring| Event::Unreachable { user: ring.user.clone() });
    let whole = [
        Event::Due { online: none.clone() },
        Event::Due { online: online.clone() },
        Event::Restarted { connected: BTreeSet::new(), online: none },
        Event::Connected { connected: connected.clone() },
        Event::Restarted { connected, online: online.clone() },
        Event::ChannelClosed,
    ];
    gone.take(4).chain(removed.take(4)).chain(rung.take(4)).chain(whole).collect()
}

fn check_decided(meeting: &Meeting, event: Event, now_ms: u64) {
    let (rules, mut last) = (Rules::default(), 0);
    let mut ids = || {
        last += 1;
        Uuid::from_u128(last)
    };
    let context = Context { now_ms, held_ms: 0..0, is_settled: true, rules: &rules, ids: &mut ids };
    let decided = meeting.handle_event(event, context);
    let after = &decided.meeting;
    assert!(after.rev >= meeting.rev, "rev never falls");
    assert!(decided.changed || after == meeting, "what is not stored has not changed");
    assert!(!after.is_over() || after.timers(&rules).is_empty() && after.engagements().is_empty());
    assert_eq!(after.desired_channel(ToString::to_string).is_none(), after.is_over());
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_keeps_its_word_on_its_corpus() {
        replay::corpus("meeting_document", 100, document);
    }

    #[test]
    fn the_seeds_that_are_documents_are_read() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/meeting_document");
        let seeds = std::fs::read_dir(corpus).expect("the corpus is there");
        let texts = seeds.map(|seed| std::fs::read_to_string(seed.expect("it can be listed").path()).expect("text"));
        assert_eq!(
            texts.filter(|text| Meeting::from_rows(text, []).is_err()).count(),
            2,
            "a newer one and a damaged one"
        );
    }
}
