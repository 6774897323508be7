//! The state machine of a meeting, on virtual time.

mod answering;
mod channel;
mod coming_back;
mod conference;
mod followers;
mod going;
mod no_media;
mod operator;
mod past;
mod play;
mod purity;
mod random;
mod ring;
mod rosters;
mod rows;
mod set_clock;
mod wire;
mod world;
