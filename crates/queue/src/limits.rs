//! Limits of all that comes from the network.

use std::time::Duration;

/// Largest body.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Properties of one message.
pub const PROPERTIES_MAX: usize = 128;
/// Names and values of one message's properties, together.
pub const PROPERTY_BYTES_MAX: usize = 16 << 10;
/// Keys of one message; together with the tag they have at most `PROPERTY_BYTES_MAX` bytes.
pub const KEYS_MAX: usize = 64;
/// Longest name of a message group, in bytes.
pub const MESSAGE_GROUP_BYTES_MAX: usize = 64;
/// Longest message id of a sender's own, in bytes.
pub const CLIENT_MESSAGE_ID_BYTES_MAX: usize = 128;
/// Longest name of a sender, in bytes.
pub const SENDER_BYTES_MAX: usize = 256;
/// How long a message with a sender's id is known by it: what comes again under it is the same message.
pub const RECENT_IDS_TIME: Duration = Duration::from_secs(120);
/// Ids that one topic knows so; the oldest are forgotten first.
pub const RECENT_IDS_MAX: usize = 1_000_000;
/// Ids that all topics together know so, at some 200 bytes each; looked at every second, the oldest are forgotten first.
pub const RECENT_IDS_ALL_MAX: usize = 2_000_000;
/// How far ahead a delivery time may lie, if the engine is not told otherwise, and the most that it can be told.
pub const DELAY: Duration = Duration::from_secs(24 * 3600);
pub const DELAY_MAX: Duration = Duration::from_secs(3 * 24 * 3600);
/// Deliveries of one receive.
pub const RECEIVE_MAX: usize = 32;
/// Bodies of one receive: it ends early, but never empty, when the next message would pass this.
pub const RECEIVE_BYTES_MAX: usize = 8 << 20;
/// What a [`Room`](crate::Room) counts by.
pub const ROOM_UNIT: usize = 4 << 10;
/// Shortest and longest invisible time of a hand-out (an engine may be given a shorter minimum, for tests).
pub const INVISIBLE_MIN: Duration = Duration::from_secs(1);
pub const INVISIBLE_MAX: Duration = Duration::from_secs(12 * 3600);
/// Longest wait of one receive; a longer one is taken as this.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Receives of one group that wait on one topic at the same time.
pub const WAITERS_MAX: usize = 1024;
/// Hand-outs of one group on one topic that are not acknowledged yet. At the limit nothing new is handed out.
pub const IN_FLIGHT_MAX: usize = 100_000;
/// Sends that are not durable yet.
pub const SENDS_PENDING_MAX: usize = 100_000;
pub const TOPICS_MAX: usize = 10_000;
pub const GROUPS_MAX: usize = 10_000;
/// Messages that one topic holds.
pub const TOPIC_MESSAGES_MAX: usize = 10_000_000;
