//! The state machine of a meeting, pure: (document, event, now) → (document, effects).
//!
//! What it is: [`Meeting`], the document that the catalog stores; [`Meeting::handle_create`] and
//! [`Meeting::handle_event`], which decide and return [`Decided`]; the table of a ring ([`ring_table`]), which they
//! follow. What it is not: it opens no channel, sends nothing, signs no token. Effects are data; the service that
//! commits the document carries them out.
//!
//! Contract. The outcome of a race is the order in which events are committed. `rev` rises with each change; every
//! message of one change carries that change's `rev`. Who has to be sent a changed roster ([`RosterHistory`]), what
//! timers are due, which users are engaged and what the RTC server must do are derived from the document
//! ([`Meeting::timers`], [`Meeting::engagements`], [`desired`]), so that they can be derived again after a crash. Any
//! event may come in any state, also twice. No file of this folder does I/O, reads a clock, or uses anything of this
//! crate outside the folder: time, ids and rules come in with the [`Context`].

mod answer;
pub mod answer_table;
mod connectivity;
mod create;
mod decision;
pub mod desired;
mod document;
mod event;
mod history;
mod host;
mod invite;
mod membership;
mod operator;
mod ring;
pub mod ring_table;
mod roster;
mod rows;
mod rules;
mod view;

pub use document::{
    Ban, Device, DocumentError, End, Engagement, EngagementKind, Former, GlareCreate, Invitation, InvitationState,
    MediaState, Meeting, Member, Timer, TimerKind,
};
pub use event::{
    Actor, Callee, Context, Create, Decided, Event, HistoryEntry, MediaChange, Missed, OutgoingSignal, ParentTopic,
    Refusal, Request, Ticket,
};
pub use roster::{RosterHistory, roster_change};
pub use rows::{DocumentRow, DocumentRowChanges, DocumentRowName, Places};
pub use rules::Rules;
pub use view::CurrentCall;
