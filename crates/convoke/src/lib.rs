//! Audio and video calls that always ring, in one program: configuration, keys, HTTP, and the wiring of the roles.

pub mod config;
mod explain;
pub mod http;
pub mod keys;
mod openapi;
mod output;
pub mod serve;
mod sys;

pub use explain::explain;
pub use openapi::{document as openapi, page as api_reference};
pub use output::print_line;
pub use sys::make_files_private;

/// Chooses the one crypto back end for TLS in this process; a second call changes nothing.
pub fn install_crypto() {
    // The only error is that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
