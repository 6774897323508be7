//! Signals between terminal and service, and the states of a meeting.
//!
//! What it is: the one schema of call signalling (JSON, [`Up`] and [`Down`]), the join parameters and token claims
//! that a terminal carries to the RTC server, the slot messages of the media connection, what service and RTC server
//! tell each other of a channel, and the pure state machine of a meeting. What it is not: it does no I/O, reads no clock and makes no ids; time and ids reach it as parameters.
//!
//! `signalling.schema.json` is generated from these types; the TypeScript types are generated from that file.

pub mod channel;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod join;
pub mod meeting;
pub mod past;
pub mod reference;
pub mod schema;
pub mod signal;
pub mod topics;
mod wire;

pub use channel::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelFuture, LeftReason, Participant,
    SourceTraffic,
};
pub use ids::{ChannelId, ClientId, InvitationId, MeetingId, ParticipationId, SignalId, UserName};
pub use join::{JoinAnswer, JoinClaims, JoinParameters, JoinRequest, Profile, Purpose, Rights, Slot, SlotMap, Source};
pub use past::{CallResult, Direction, PastCall, Person};
pub use signal::{
    Contact, Down, DownBody, EndReason, Envelope, Joinable, Media, Member, MemberState, Muted, Outcome, OutcomeKind,
    Presence, RefusalCode, RejectReason, Ring, Roster, RosterChange, StandingCall, State, Track, Up, UpBody,
};
