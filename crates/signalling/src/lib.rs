//! The vocabulary of calls: what terminals, meeting service and RTC server tell each other.
//!
//! What it is: the one schema of call signalling (JSON, [`Up`] and [`Down`]), ids and topics, the join parameters and
//! token claims that a terminal carries to the RTC server, the slot messages of the media connection, and the words
//! between the owner of a channel and the RTC server. What it is not: it decides nothing, does no I/O, reads no
//! clock and creates no ids.
//!
//! `signalling.schema.json` is generated from these types; the TypeScript types are generated from that file.

pub mod channel;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod join;
pub mod past;
pub mod schema;
pub mod signal;
pub mod sources;
pub mod topics;
mod wire;

pub use channel::{
    Admission, ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelEvents, ChannelFuture,
    DesiredChannel, DesiredParticipation, EventCursor, LeftReason, Participant, Placement, SourceTraffic,
};
pub use ids::{ChannelId, ClientId, InvitationId, MeetingId, ParticipationId, SignalId, UserName};
pub use join::{JoinAnswer, JoinClaims, JoinParameters, JoinRequest, Profile, Purpose, Rights, Slot, SlotMap, Source};
pub use past::{CallResult, Direction, PastCall, Person};
pub use signal::{
    Contact, Down, DownBody, EndReason, Envelope, Joinable, Media, Member, MemberState, Muted, Outcome, OutcomeKind,
    Presence, RefusalCode, RejectReason, Ring, Roster, RosterChange, StandingCall, State, Track, Up, UpBody,
};
pub use sources::Sources;
