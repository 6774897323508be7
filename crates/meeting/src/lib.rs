//! The service that runs meetings.

pub mod channels;

pub use channels::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelFuture, Channels, LeftReason, Participant,
};
