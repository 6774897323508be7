//! The service that runs meetings: it verifies requests, decides them, sends what they cause, and controls the RTC
//! server.
//!
//! What it is: a pure state machine ([`machine`]), and the shell around it. A consumer group on the queue topic of
//! requests and on the status topics of all groups; one transaction in the catalog per event (document, outbox, handled
//! id, timers, engagements, outcomes); a relay from the outbox to the queue; a reconciler that makes the RTC server do
//! what the documents say. What it is not: it is no RTC server, and has no listener of its own.
//!
//! Contract. A request is handled once per id, whatever crashes: its queue receipt is acknowledged after the commit,
//! and a second commit with the same id is refused. A message leaves at least once after the commit, in order per
//! receiver. An event that meets a changed document is decided anew.
//!
//! Those who run the server act by [`Operator`](operator::Operator), on the same machine and in the same transaction.
//!
//! Reads change nothing: their answers go to the queue without the outbox, and so do changes of presence and of the
//! roster. While the catalog accepts nothing, nothing is received and events of the RTC server wait in memory; what
//! cannot be read or sent is set aside. Neither stops the rest.
//!
//! Several services may run side by side on one queue and one catalog, which settles what is decided, and by its revisions
//! also what the RTC server does: a late call of one service changes nothing that another has put since. What it does not
//! settle: two users who call each other in the same millisecond at two services both ring.

mod commit;
mod config;
#[cfg(feature = "contract")]
pub mod contract;
mod deadlines;
mod directory;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod intake;
pub mod machine;
pub mod operator;
mod outage;
mod outbox;
mod presence;
pub mod reference;
mod requests;
mod rosters;
mod rtc;
mod service;
mod set_aside;
mod state;
mod token;

pub use config::{Config, Fault};
pub use machine::Rules;
pub use rtc::channels::Channels;
pub use service::{MeetingService, StartError};
pub use signalling::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelEvents, ChannelFuture, DesiredChannel,
    EventCursor, LeftReason, Participant, Placement,
};
pub use token::{JoinSigner, KeyError, alias};
