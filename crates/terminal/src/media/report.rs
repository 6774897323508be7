//! Reports of a media connection: its counters, as they are printed.

use crate::media::check::Checked;
use serde::{Deserialize, Serialize};
use signalling::{ParticipationId, Source, UserName};

/// Everything about one media connection at one moment. Counters only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReport {
    pub connected: bool,
    pub admitted: bool,
    /// IANA name of the SRTP profile, once DTLS is done.
    pub cipher: Option<String>,
    pub sent: SentReport,
    #[serde(rename = "sources")]
    pub received: Vec<SourceReport>,
    /// Packets in a slot to which no source was assigned.
    pub unassigned_packets: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentReport {
    pub pictures: u64,
    pub picture_packets: u64,
    pub speech_packets: u64,
    /// Asked by the RTC server.
    pub key_frame_requests: u64,
}

/// One source of one participation, as it arrived here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    pub participation: ParticipationId,
    /// From the roster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    pub source: Source,
    pub packets: u64,
    pub bytes: u64,
    /// Given up after waiting for a repeat.
    pub lost: u64,
    /// Came twice, or after they were given up.
    pub late: u64,
    /// Whole frames (pictures) or packets (speech).
    pub frames: u64,
    pub key_frames: u64,
    /// Frames that came without their key frame, or not whole.
    pub dropped: u64,
    /// From the moment when it could first be expected to the first whole frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_frame_ms: Option<u64>,
    /// The very first frame that arrived was a key frame.
    pub key_frame_first: bool,
    /// Absent if no clip of this user is known.
    #[serde(flatten)]
    pub checked: Option<Checked>,
    /// Since the last packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_ms: Option<u64>,
}
