//! Audio and video calls that always ring, in one program: configuration, keys, HTTP, and the wiring of the roles.

pub mod config;
pub mod demo;
pub mod http;
pub mod keys;
pub mod serve;
mod sys;
