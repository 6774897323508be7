//! Limits of what is kept of all that comes from the network: how much, and for how long.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Connections of one client that are remembered; the oldest go first. A broker has one open connection per client.
pub const CONNECTIONS_REMEMBERED_MAX: u32 = 32;
/// Unseen outcomes that are kept for one user; the oldest go first.
pub const OUTCOMES_PER_USER_MAX: u32 = 200;
/// An ended meeting is kept this long from the first pruning after its end: it is listed, and its id is refused, for as long.
pub const ENDED_MEETING_KEEP_MS: u64 = 90 * DAY_MS;
/// How long a `tcpclean` wins over its `connect`: longer than an event can be delivered again.
pub const TCPCLEAN_KEEP_MS: u64 = 4 * DAY_MS;
/// How long a removed device is remembered: as long as events of its connections may come.
pub const REMOVED_DEVICE_KEEP_MS: u64 = TCPCLEAN_KEEP_MS;
/// How long a created meeting is counted: longer than any window.
pub const CREATES_KEEP_MS: u64 = DAY_MS;
/// How long the presence of a client that is no registered device is kept.
pub const UNREGISTERED_CLIENT_KEEP_MS: u64 = 30 * DAY_MS;
/// How long a call that is over stays in its users' histories, from its start.
pub const PAST_CALL_KEEP_MS: u64 = 90 * DAY_MS;
/// How long a credential is valid at most.
pub const CREDENTIAL_VALID_MS: u64 = 30 * DAY_MS;
/// What lies further ahead than it can was written by a clock that was wrong, if it is by more than this.
pub const AHEAD_MAX_MS: u64 = 60 * 60 * 1000;
/// How long a device whose credential has expired stays registered.
pub const EXPIRED_DEVICE_KEEP_MS: u64 = 30 * DAY_MS;
/// How long the log of what owners change is kept.
pub const AUDIT_KEEP_MS: u64 = 90 * DAY_MS;
/// Rows of that log about devices, of which every login makes one: the oldest go first.
pub const AUDIT_OF_DEVICES_MAX: u32 = 1_000_000;
/// The same of tokens, each of which may be revoked.
pub const AUDIT_OF_TOKENS_MAX: u32 = 1_000_000;
/// The same of acts in meetings.
pub const AUDIT_OF_MEETINGS_MAX: u32 = 1_000_000;
/// Revoked tokens that are remembered: all of them are in memory. Those of one key take half at most of what the others leave.
pub const REVOKED_TOKENS_MAX: u32 = 20_000;
/// A revoked token is forgotten so long after its time: a clock may be set back.
pub const REVOKED_TOKEN_KEEP_MS: u64 = DAY_MS;
/// Grants of all kinds: all of them are in memory, and are read anew when a rule of access changes.
pub const GRANTS_MAX: u32 = 20_000;
/// How long the answer to a request with an idempotency key is kept.
pub const ANSWER_KEEP_MS: u64 = DAY_MS;
/// Answers that are kept for one caller; the oldest go first.
pub const ANSWERS_PER_CALLER_MAX: u32 = 10_000;
/// How long a login link whose time is over is still listed.
pub const EXPIRED_LINK_KEEP_MS: u64 = 30 * DAY_MS;
