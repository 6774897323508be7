//! Data directories as a killed server left them: each version of the program writes one, and every later one opens it.
//!
//! [`write`] plays with a program of any version until its disk holds some of everything, kills it, and packs an archive:
//! a compressed tar of `server`, the data directory, and of `manifest.json`, which has what the writer did not know before
//! (credentials, ids, when the server was killed) and the settings that not all archives have. What is the same in all
//! archives stands here and stays as it is.

mod archive;
mod write;

pub use archive::{Content, SNAPSHOT, unpack};
pub use write::{KINDS, write};

use crate::link::Link;
use anyhow::{Context, Result};
use mqtt::Version;
use mqtt::client::Options;
use mqtt::codec::{PropertiesBuf, Property};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// A wait that takes longer has failed.
pub const SOON: Duration = Duration::from_secs(20);

/// What the server is started with: a ring that waits for a day, members who may be gone for ten minutes.
pub const SETTINGS: [&str; 3] = ["meeting.reach_s=86400", "meeting.ring_s=180", "meeting.gone_s=600"];

/// Users with a phone each: `<user>-phone`. Carol's has never connected.
pub const PEOPLE: [(&str, &str); 4] = [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol"), ("dora", "Dora")];

/// Speaks 5.0, has asked for a session without end, subscribes to [`NEWS_BELOW`], and no longer to [`OLD_NEWS`].
pub const READER: &str = "GID_dev@@@reader";
/// Speaks 3.1.1 and subscribes to [`NEWS_OF_ONE_LEVEL`].
pub const OLD_READER: &str = "GID_dev@@@reader-3";
/// Has had and acknowledged all that made the log give its first segments back.
pub const SINK: &str = "GID_dev@@@sink";
/// Has acknowledged some of what was sent to it.
pub const HOLDER: &str = "GID_dev@@@holder";
/// Had a session, and has ended it.
pub const LEAVER: &str = "GID_dev@@@leaver";

pub const NEWS_BELOW: &str = "meeting-down/news/#";
pub const NEWS_OF_ONE_LEVEL: &str = "meeting-down/news/+";
pub const OLD_NEWS: &str = "ring-down/old";

/// What waits for both readers, in its order. The second has [`CONTENT_TYPE`] and [`ORIGIN`], the third expires after
/// [`EXPIRES_AFTER`].
pub const NEWS: [(&str, &str); 3] =
    [("meeting-down/news/one", "first"), ("meeting-down/news/two", "second"), ("meeting-down/news/one", "third")];
pub const CONTENT_TYPE: &str = "text/plain";
pub const ORIGIN: (&str, &str) = ("origin", "press");
pub const EXPIRES_AFTER: Duration = Duration::from_secs(2 * 24 * 3600);
/// To the reader alone.
pub const NOTE: &str = "for you";
/// A collapse key with its versions; the reader has only the last of the two waiting, before all else.
pub const BELL: (&str, [u64; 2]) = ("bell", [1, 2]);
/// A collapse key with the version that the holder has acknowledged.
pub const DONE: (&str, u64) = ("done", 5);
/// What the holder was sent: the first was acknowledged, the others were not.
pub const HELD: [&str; 3] = ["one", "two", "three"];

/// A request of a terminal, made at `now_ms`.
pub fn request(kind: &str, meeting: &str, now_ms: u64, body: &Value) -> Value {
    let mut request = json!({
        "v": 1, "id": Uuid::now_v7(), "meeting": meeting, "type": kind, "sent_at_ms": now_ms,
        "expires_at_ms": now_ms + 3_600_000,
    });
    if let (Some(fields), Some(body)) = (request.as_object_mut(), body.as_object()) {
        fields.extend(body.clone());
    }
    request
}

/// The next signal that is wanted; those before it are acknowledged, too.
///
/// # Errors
/// None comes.
pub fn signal(link: &mut Link, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    loop {
        let message = link.message(SOON).with_context(|| format!("no {what} came"))?;
        let said: Value = serde_json::from_slice(&message.payload)?;
        if wanted(&said) {
            return Ok(said);
        }
    }
}

/// Sends the text `<key> <version>` to a client on `ring-down`, under that collapse key.
///
/// # Errors
/// It is not acknowledged.
pub fn publish_collapsing(link: &mut Link, client_id: &str, key: &str, version: u64) -> Result<()> {
    let properties = PropertiesBuf::new()
        .with(Property::UserProperty("collapseKey", key))?
        .with(Property::UserProperty("collapseVersion", &version.to_string()))?;
    let payload = format!("{key} {version}");
    link.publish_durably(&format!("ring-down/p2p/{client_id}/bell"), payload.as_bytes(), properties.view())
}

/// How a service logs in to a server that keeps its data there.
///
/// # Errors
/// The server has written no access key.
pub fn service_login(data: &Path, version: Version, client_id: &str) -> Result<Options> {
    let key: Value = serde_json::from_str(&std::fs::read_to_string(data.join("access-key"))?)?;
    let mut options = Options::new(version, client_id);
    options.username = Some(format!("Signature|{}|{}", text(&key, "key_id")?, text(&key, "instance")?));
    options.password = Some(crate::sign(text(&key, "secret")?, client_id).into_bytes());
    Ok(options)
}

/// # Errors
/// There is no such text.
pub fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}
