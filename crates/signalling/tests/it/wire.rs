//! Signals as text.

use signalling::{Down, Up, UpBody};
use uuid::Uuid;

#[test]
fn unknown_fields_are_ignored_and_unknown_types_are_not_read() {
    let text = |kind: &str| {
        format!(
            r#"{{"v":1,"id":"{}","type":"{kind}","sent_at_ms":1,"expires_at_ms":2,"colour":"red"}}"#,
            Uuid::from_u128(1)
        )
    };
    assert_eq!(serde_json::from_str::<Up>(&text("state")).unwrap().body, UpBody::State {});
    assert!(serde_json::from_str::<Up>(&text("dance")).is_err());
    assert!(serde_json::from_str::<Down>(&text("dance")).is_err());
}
