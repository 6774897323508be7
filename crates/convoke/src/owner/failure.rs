//! Failures that have an exit code of their own, of sysexits(3) and of clap.

/// All others end with 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "cannot reach {url}\n  remedy: start the server there (`convoke serve`), or name another with --url; if its \
         certificate is of its own authority, name that with --ca <data directory>/tls/ca.pem"
    )]
    Unreachable {
        url: String,
        #[source]
        cause: reqwest::Error,
    },
    /// The command cannot be meant like that.
    #[error("{0}")]
    Usage(String),
    /// A profile or a file that it names.
    #[error("{0}")]
    Configuration(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 69,
            Self::Configuration(_) => 78,
        }
    }
}
