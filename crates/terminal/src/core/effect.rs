//! Inputs and effects of the core.

use crate::event::Event;
use crate::store::RingEntry;
use signalling::{
    Down, InvitationId, JoinParameters, Media, MeetingId, Muted, ParticipationId, RejectReason, SignalId, Track, Up,
    UpBody, UserName,
};

/// Names one received message until its PUBACK; it means nothing on another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery(pub u64);

/// One media connection; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaId(pub u64);

#[derive(Clone, Debug)]
pub enum Input {
    Connected {
        session_present: bool,
        endpoint: String,
        tls: Option<String>,
    },
    Disconnected {
        reason: String,
        retry_ms: u64,
    },
    Signal(Box<ReceivedSignal>),
    Command(Command),
    Media(MediaId, MediaInput),
    /// The broker has refused this request for good.
    NotSent(SignalId),
}

/// A signal of the service.
#[derive(Clone, Debug)]
pub struct ReceivedSignal {
    pub down: Down,
    /// The broker may have delivered it before.
    pub dup: bool,
    pub delivery: Option<Delivery>,
}

/// A command of the person or the program.
#[derive(Clone, Debug)]
pub enum Command {
    Call {
        meeting: MeetingId,
        callees: Vec<UserName>,
        media: Media,
        title: Option<String>,
    },
    Accept {
        invitation: InvitationId,
    },
    Reject {
        invitation: InvitationId,
        reason: RejectReason,
    },
    /// Begins or ends to watch the presence of those whom this user may call.
    Watch(bool),
    /// Any other request; `Leave`, `Mute` and `Unmute` also act on the media path at once.
    Request {
        meeting: Option<MeetingId>,
        body: UpBody,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaInput {
    Joined {
        cipher: &'static str,
        after_ms: u64,
    },
    /// No datagram has arrived for a while.
    Quiet,
    /// Datagrams arrive again.
    Resumed,
    /// It failed, or was lost.
    Over(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// On disk before anything that follows.
    Store(RingEntry),
    Acknowledge(Delivery),
    Publish(Up),
    JoinMedia(Box<JoinMedia>),
    /// The waiting connection may send now.
    AdmitMedia(MediaId),
    MuteMedia(MediaId, Track, bool),
    /// The users of the participations.
    NameSenders(MediaId, Vec<(ParticipationId, UserName)>),
    CloseMedia(MediaId),
    Notify(Event),
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinMedia {
    pub id: MediaId,
    pub meeting: MeetingId,
    pub join: JoinParameters,
    /// Nothing may flow yet.
    pub waiting: bool,
    pub muted: Muted,
}
