//! The JSON of a document, as it is in somebody's catalog: it is written so, and read, for ever. A field that is new may
//! be added here with its default; none of those below may go, be renamed or mean something else.

use meeting::machine::{Meeting, Places, Row, RowChanges, TimerKind};
use signalling::{InvitationId, ParticipationId};
use uuid::Uuid;

const ID: &str = "01890000-0000-7000-8000-00000000000a";

/// Every field, with a value that is not its default.
const HEAD: &str = r#"{"v":2,"id":"ID","rev":7,"host":"alice","creator":"dora","media":"video","title":"Standing","ends_below":1,"end":{"reason":"no_answer","at_ms":9,"early":true},"closed":true}"#;
/// The same of a meeting of which there is less to say.
const SHORT_HEAD: &str =
    r#"{"v":2,"id":"ID","rev":1,"host":"alice","media":"audio","title":null,"ends_below":2,"end":null,"closed":false}"#;

/// In the order in which the catalog hands them out: by kind and place.
fn rows() -> Vec<Row> {
    let states = [
        r#"{"is":"invited"}"#,
        r#"{"is":"ringing"}"#,
        r#"{"is":"answered","on":"GID_dev@@@b"}"#,
        r#"{"is":"declined","on":"GID_dev@@@b","reason":"busy"}"#,
        r#"{"is":"busy"}"#,
        r#"{"is":"ended","reason":"caller_gone"}"#,
    ];
    let invitation = |state: &&str| {
        r#"{"id":"ID","user":"bob","name":"Bob","by":"alice","by_name":"Alice","reach_until_ms":1,"ring_until_ms":2,"state":STATE,"waited_for":true,"devices":[{"client":"GID_dev@@@b","participation":"ID","warm":true}]}"#
            .replace("STATE", state)
    };
    let member = |media: &&str| {
        r#"{"user":"alice","name":"Alice","client":"GID_dev@@@a","participation":"ID","media":"MEDIA","media_since_ms":1,"no_media":true,"online":true,"online_since_ms":2,"said_goodbye":true,"muted":{"audio":true,"video":false},"answered_at_ms":3}"#
            .replace("MEDIA", media)
    };
    let lists: [(&str, Vec<String>); 7] = [
        ("ban", vec![r#"{"user":"erin","until_ms":5}"#.to_owned()]),
        ("blocked", vec![r#"["bob",{"audio":true,"video":false}]"#.to_owned()]),
        ("former", vec![r#"{"user":"frank","left_at_ms":6}"#.to_owned()]),
        ("invitation", states.iter().map(invitation).collect()),
        ("member", ["absent", "there", "lost", "closed"].iter().map(member).collect()),
        ("removed", vec![r#"{"participation":"ID","until_ms":8}"#.to_owned()]),
        ("spent", vec![r#"{"meeting":"ID","user":"alice","answered":true}"#.to_owned()]),
    ];
    let row = |kind: &str, place: usize, entry: &String| Row {
        kind: kind.to_owned(),
        place: place as u64,
        entry: entry.replace("ID\"", &format!("{ID}\"")),
    };
    let rows = lists.iter().flat_map(|(kind, list)| (1..).zip(list).map(|(place, entry)| row(kind, place, entry)));
    rows.collect()
}

fn head(text: &str) -> String {
    text.replace("ID\"", &format!("{ID}\""))
}

#[test]
fn a_stored_document_is_read_and_written_again_as_it_was() {
    let (meeting, _) = Meeting::from_rows(&head(HEAD), rows()).unwrap();
    assert_eq!(meeting.head(), head(HEAD));
    let (RowChanges { mut put, gone }, _) = meeting.rows_since(Some((&meeting, &Places::default())));
    put.sort();
    let written: Vec<Row> =
        put.into_iter().map(|((kind, place), entry)| Row { kind: kind.to_owned(), place, entry }).collect();
    assert_eq!((written, gone), (rows(), vec![]));
}

#[test]
fn a_stored_document_without_its_optional_fields_is_read_and_written_again_as_it_was() {
    let (meeting, _) = Meeting::from_rows(&head(SHORT_HEAD), []).unwrap();
    assert_eq!(meeting.head(), head(SHORT_HEAD));
}

#[test]
fn a_field_that_a_newer_program_added_is_passed_over_and_not_kept() {
    let newer = head(HEAD).replacen("\"rev\":7", "\"rev\":7,\"later\":{\"x\":1}", 1);
    let (meeting, _) = Meeting::from_rows(&newer, []).unwrap();
    assert_eq!(meeting.head(), head(HEAD));
}

#[test]
fn a_value_that_a_newer_program_added_is_not_read() {
    assert!(Meeting::from_rows(&head(HEAD).replacen("video", "hologram", 1), []).is_err());
    let newer = |row: Row| Row { entry: row.entry.replacen("\"is\":", "\"is\":\"parked\",\"was\":", 1), ..row };
    assert!(Meeting::from_rows(&head(HEAD), rows().into_iter().map(newer)).is_err());
}

#[test]
fn the_keys_of_timers_keep_their_names() {
    let id = Uuid::parse_str(ID).unwrap();
    let (invitation, participation) = (InvitationId(id), ParticipationId(id));
    for (kind, key) in [
        (TimerKind::Reach(invitation), "reach"),
        (TimerKind::Ring(invitation), "ring"),
        (TimerKind::Gone(participation), "gone"),
        (TimerKind::Closed(participation), "closed"),
        (TimerKind::NoMedia(participation), "no_media"),
    ] {
        assert_eq!(kind.key(), format!("{key}:{ID}"));
    }
}
