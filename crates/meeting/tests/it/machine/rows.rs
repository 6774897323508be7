//! The document as a head with rows: whatever changes, the rows that are kept say the same.

use super::world::World;
use meeting::machine::{DocumentError, DocumentRow, DocumentRowChanges, Meeting, Places};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a catalog keeps of a meeting.
#[derive(Default)]
struct Kept {
    head: String,
    rows: BTreeMap<(String, u64), String>,
}

impl Kept {
    fn take(&mut self, head: String, changes: DocumentRowChanges) {
        self.head = head;
        for (kind, place) in changes.gone {
            assert!(self.rows.remove(&(kind.to_owned(), place)).is_some(), "{kind} {place} is not there");
        }
        for ((kind, place), entry) in changes.put {
            self.rows.insert((kind.to_owned(), place), entry);
        }
    }

    fn read(&self) -> (Meeting, Places) {
        let rows = self.rows.iter().map(|((kind, place), entry)| row(kind, *place, entry));
        Meeting::from_rows(&self.head, rows).unwrap()
    }
}

fn row(kind: &str, place: u64, entry: &str) -> DocumentRow {
    DocumentRow { kind: kind.to_owned(), place, entry: entry.to_owned() }
}

fn uuid(n: u64) -> String {
    Uuid::from_u128(n.into()).to_string()
}

fn member(user: u64, value: u64) -> Value {
    json!({
        "user": format!("u{user}"), "name": "U", "client": "c", "participation": uuid(value), "media": "there",
        "media_since_ms": value, "online": true, "online_since_ms": 1, "muted": { "audio": false, "video": false },
    })
}

fn invitation(id: u64, value: u64) -> Value {
    json!({
        "id": uuid(id), "user": "u", "name": "U", "by": "v", "by_name": "V", "reach_until_ms": value,
        "state": { "is": "ringing" }, "devices": [],
    })
}

/// A document of version 1, with everything in one text.
fn whole(lists: &[Vec<(u64, u64)>], rev: u64) -> String {
    let list = |at: usize, entry: fn(u64, u64) -> Value| -> Vec<Value> {
        lists[at].iter().map(|(name, value)| entry(*name, *value)).collect()
    };
    let blocked: BTreeMap<String, Value> =
        lists[2].iter().map(|(user, value)| (format!("u{user}"), json!({ "audio": value % 2 == 0 }))).collect();
    let text = json!({
        "v": 1, "id": uuid(7), "rev": rev, "host": "u", "media": "video", "ends_below": 2, "members": list(0, member),
        "invitations": list(1, invitation), "blocked": blocked,
        "bans": list(3, |user, until_ms| json!({ "user": format!("u{user}"), "until_ms": until_ms })),
        "removed": list(4, |who, until_ms| json!({ "participation": uuid(who), "until_ms": until_ms })),
        "spent": list(5, |id, user| json!({ "meeting": uuid(id), "user": format!("u{user}") })),
    });
    text.to_string()
}

/// Lists whose entries have a name and a value, a name perhaps twice.
fn document() -> impl Strategy<Value = Vec<Vec<(u64, u64)>>> {
    prop::collection::vec(prop::collection::vec((0..8_u64, 0..3_u64), 0..7), 6)
}

#[test]
fn kept_rows_and_their_changes_are_the_new_document_whatever_the_two_documents() {
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, seed)
        .run(&prop::collection::vec(document(), 2..6), |documents| {
            let (mut kept, mut before) = (Kept::default(), None);
            for (rev, lists) in documents.iter().enumerate() {
                let (after, _) = Meeting::from_rows(&whole(lists, rev as u64), []).unwrap();
                let (changes, places) = after.rows_since(before.as_ref().map(|(meeting, places)| (meeting, places)));
                kept.take(after.head(), changes);
                prop_assert_eq!(&kept.read(), &(after.clone(), places.clone()));
                let (again, same) = after.rows_since(Some((&after, &places)));
                prop_assert!(has_twins(lists) || (again, same) == (DocumentRowChanges::default(), places.clone()));
                before = Some((after, places));
            }
            Ok(())
        })
        .unwrap();
}

/// Whether a list names somebody twice, which no decision makes.
fn has_twins(lists: &[Vec<(u64, u64)>]) -> bool {
    let twins = |list: &Vec<(u64, u64)>| (1..list.len()).any(|at| list[..at].iter().any(|had| had.0 == list[at].0));
    lists.iter().any(twins)
}

#[test]
fn a_change_of_one_member_is_a_change_of_one_row() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    let before = world.document().clone();
    let (_, places) = before.rows_since(None);
    world.media("alice.phone", meeting::machine::MediaChange::Joined);
    let (changes, _) = world.document().rows_since(Some((&before, &places)));
    assert_eq!((changes.put.len(), changes.gone.len()), (1, 0), "{changes:?}");
    assert_eq!(changes.put[0].0.0, "member");
    assert!(world.document().head().len() < 300, "{}", world.document().head());
}

#[test]
fn an_old_document_is_read_whole_and_gets_its_rows_with_the_next_change() {
    let text = whole(&vec![vec![(1, 1), (2, 1)]; 6], 5);
    let (old, places) = Meeting::from_rows(&text, []).unwrap();
    assert_eq!((old.rev, old.members.len(), old.invitations.len(), old.blocked.len()), (5, 2, 2, 2));
    let mut kept = Kept::default();
    let (changes, places) = old.rows_since(Some((&old, &places)));
    kept.take(old.head(), changes);
    assert_eq!(kept.rows.len(), 12);
    assert_eq!(kept.read(), (old, places));
}

#[test]
fn what_a_newer_program_wrote_is_not_read() {
    let head = World::in_call().document().head();
    let newer = head.replacen("\"v\":2", "\"v\":3", 1);
    assert!(matches!(Meeting::from_rows(&newer, []), Err(DocumentError::Version(3))));
    let strange = Meeting::from_rows(&head, [row("dance", 1, "{}")]);
    assert!(matches!(strange, Err(DocumentError::Row(kind)) if kind == "dance"));
}
