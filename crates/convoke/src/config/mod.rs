//! Configuration in two stages: raw values from file, environment and flags, then checked ready-to-use values.
//!
//! Precedence: flag, environment (`CONVOKE_SECTION__KEY`), file, default. An unknown key is refused, and the nearest
//! known one is named. Every error says where its value came from.

mod checked;
mod issuers;
mod layers;
mod raw;
mod reference;
mod test;

pub use checked::{ClientCertificatesConfig, Config, Listen, MeetingTimes, QueueConfig};
pub use issuers::JwtIssuerConfig;
pub(crate) use issuers::is_loopback;
pub use layers::{Layers, Origin, Setting};
pub use raw::Raw;
pub use reference::markdown;
pub use test::{ReplayFault, Test};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {cause}\n  remedy: check the path and its permissions")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{origin} is not valid TOML: {cause}")]
    Syntax { origin: Origin, cause: String },
    #[error("--set {0} has no `=`\n  remedy: --set section.key=value")]
    Setting(String),
    #[error("unknown key `{key}` in {origin}{}", nearest.as_ref().map(|n| format!("\n  remedy: did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey { key: String, origin: Origin, nearest: Option<String> },
    #[error("`{key}` in {origin} cannot be used: {cause}\n  remedy: {remedy}")]
    Value { key: String, origin: Origin, cause: String, remedy: String },
}

#[cfg(test)]
mod tests;
