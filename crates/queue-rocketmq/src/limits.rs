//! Limits of what comes over the wire.

use std::time::Duration;

/// Largest request with messages: a body of the queue's limit and what stands beside it.
pub(crate) const SEND_BYTES_MAX: usize = queue::limits::BODY_BYTES_MAX + (128 << 10);
/// Largest request of another kind, and largest command on a telemetry stream.
pub(crate) const REQUEST_BYTES_MAX: usize = 128 << 10;
/// Requests with messages at the same time, of one connection; more wait.
pub(crate) const SENDS_PER_CONNECTION_MAX: usize = 128;
/// Bytes of requests with messages from their first byte to their answer, of one key and of all, in units of `SEND_UNIT`;
/// more wait.
pub(crate) const SENDS_UNITS_PER_KEY_MAX: usize = 32_768;
pub(crate) const SENDS_UNITS_MAX: usize = 65_536;
pub(crate) const SEND_UNIT: usize = 4 << 10;
/// How long a message waits for a busy queue, and how often it is tried: such a queue is making its next segment, mostly.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(25);
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// From the headers of a request to its answer, but for what waits for messages.
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Polls that wait at the same time, of all connections.
pub(crate) const POLLS_MAX: usize = 16_384;
/// Telemetry streams of one connection: official clients open one.
pub(crate) const TELEMETRY_PER_CONNECTION_MAX: usize = 16;
/// Requests of one connection at the same time; a push consumer has an open poll for each topic.
pub(crate) const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
pub(crate) const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Messages that were handed out and whose answers are not written to their consumers, of one key and of all, in units of
/// `queue::limits::ROOM_UNIT`; while there is no room for more, nothing is handed out.
pub(crate) const ANSWERS_UNITS_PER_KEY_MAX: usize = 16_384;
pub(crate) const ANSWERS_UNITS_MAX: usize = 65_536;
/// How long a consumer may take for the next message of an answer.
pub(crate) const ANSWER_STEP_MAX: Duration = Duration::from_secs(20);
/// Messages of one request, and entries of one acknowledgement.
pub(crate) const BATCH_MAX: usize = 32;
/// A shorter or longer poll is taken as these.
pub(crate) const POLL_MIN: Duration = Duration::from_secs(5);
pub(crate) const POLL_MAX: Duration = Duration::from_secs(20);
/// So long before the client gives up, a poll is answered.
pub(crate) const ANSWER_AHEAD: Duration = Duration::from_millis(500);
pub(crate) const INVISIBLE_MIN: Duration = Duration::from_secs(10);
pub(crate) const INVISIBLE_MAX: Duration = queue::limits::INVISIBLE_MAX;
/// Where the consumer leaves it to the server, which renews it,
pub(crate) const INVISIBLE_OF_SERVER: Duration = Duration::from_secs(60);
/// so long before it is over,
pub(crate) const RENEW_AHEAD: Duration = Duration::from_secs(10);
/// until so long after the hand-out,
pub(crate) const RENEWED_MAX: Duration = Duration::from_hours(3);
/// or until the client has not been seen for so long: official clients send a heartbeat every 10 s.
pub(crate) const CLIENT_GONE_AFTER: Duration = Duration::from_secs(35);
pub(crate) const RENEWALS_LOOK: Duration = Duration::from_secs(5);
/// Hand-outs that are renewed, of all clients.
pub(crate) const RENEWALS_MAX: usize = 200_000;
/// The same of the clients of one key.
pub(crate) const RENEWALS_PER_KEY_MAX: usize = 50_000;
/// Characters of a message id that a client has made.
pub(crate) const MESSAGE_ID_CHARS_MAX: usize = 64;
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 256;
/// Addresses that a client may have dialled: they are given back to it.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// How far the time of a signature may lie from the server's: one of the official clients signs its local time as if it were UTC.
pub(crate) const SIGNATURE_SKEW: Duration = Duration::from_hours(24);
/// Until a connection has said what it speaks, and for its TLS handshake.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// A connection that nobody has come in by until then is closed.
pub(crate) const FIRST_REQUEST_MAX: Duration = Duration::from_secs(10);
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);
