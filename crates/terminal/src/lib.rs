//! A terminal: the SDK for Rust, and the headless terminal made of it.
//!
//! ```text
//!   Client ─requests─► driver ──inputs──► core (pure): what rings, what is missed, which call stands
//!     ▲                  │ ▲                 │
//!   events ◄─────────────┘ └──── effects ◄───┘
//!                        ├── connection: MQTT 5 over TLS, one session over many connections
//!                        ├── store: what is known of each ring, on disk before its PUBACK
//!                        └── media: one task per connection to an RTC server
//! ```
//!
//! What it is: [`Client`] connects one device of one user, calls, answers, joins the media channel, plays an encoded
//! clip into it and counts and checks what arrives. [`headless`] drives it by lines of JSON. What it is not: it encodes
//! and decodes nothing, opens no camera, and knows of no service but through the signals of the `signalling` crate.
//!
//! Contract: an invitation rings once or is missed once on this device, over any crash of either side. What is
//! acknowledged to the broker about rings is on disk. While a call lives, signalling and media reconnect by themselves.

mod client;
mod connection;
pub mod core;
pub mod event;
pub mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod headless;
pub mod media;
mod options;
pub mod store;

pub use client::{Call, Client, Closed, Events, IncomingCall, StartError};
pub use connection::SetupError;
pub use event::Event;
pub use media::clip::Clip;
pub use options::{Credentials, Endpoints, Fault, Options};
pub use signalling::{EndReason, InvitationId, Media, MeetingId, RejectReason, Track, UserName};
