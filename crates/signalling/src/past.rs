//! Calls that are over, as a user's history has them: the content of
//! [`DownBody::History`](crate::signal::DownBody::History).

use crate::ids::{MeetingId, UserName};
use crate::signal::Media;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A call that is over for this user: one entry for each meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PastCall {
    pub meeting: MeetingId,
    pub direction: Direction,
    /// With whom, at most ten, named as they were at the time: who called first, or else those who were called.
    pub with: Vec<Person>,
    /// How many more there were.
    pub others: u32,
    pub media: Media,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub result: CallResult,
    /// When it was made, or first rang for this user: milliseconds since 1970, service's clock.
    pub started_at_ms: u64,
    /// When `answered`: for how long this user was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// A user by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    pub user: UserName,
    /// The user's name for people.
    pub name: String,
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The user made the meeting, by its `create`.
    Made,
    /// The user was called into it. Of two who call each other: the later caller's, too.
    Received,
}

/// What became of a call, for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallResult {
    /// The user was in it with somebody.
    Answered,
    /// Received, and not answered; also while the user was in another call.
    Missed,
    /// Received: the user declined, or a device of it said busy. Made: all who could answer declined.
    Declined,
    /// Made: nobody answered in time.
    NoAnswer,
    /// Made: who was called is in another call, or a device of it said so.
    Busy,
    /// Made: the user gave up before there was an answer.
    Cancelled,
    /// It came to nothing without anybody's doing, or as the caller lost the connection.
    Failed,
}
