//! Options of a terminal.

use crate::media::clip::Clip;
use serde::Deserialize;
use signalling::UserName;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The answer of the devices API, unchanged, as the program that logged the user in passes it on.
#[derive(Clone, Deserialize)]
pub struct Credentials {
    pub client_id: String,
    pub username: String,
    pub password: String,
    pub endpoints: Endpoints,
    /// Whose device it is; absent from answers of older servers.
    #[serde(default)]
    pub user: Option<UserName>,
}

/// Where to connect; TLS is taken where it is offered.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Endpoints {
    /// `mqtts://host:port`
    #[serde(default)]
    pub mqtts: Option<String>,
    /// `mqtt://host:port`
    #[serde(default)]
    pub mqtt: Option<String>,
}

/// Everything that can be set; [`Options::new`] has the defaults.
#[derive(Clone)]
pub struct Options {
    pub credentials: Credentials,
    /// Authorities to trust, PEM. Without them those of the system count.
    pub ca: Option<Vec<u8>>,
    /// Folder of the ring store.
    pub store: PathBuf,
    /// What this terminal plays in a call.
    pub clip: Arc<Clip>,
    /// What others are known to play: their frames are checked against it.
    pub expect: HashMap<UserName, Arc<Clip>>,
    /// Where whole frames of all senders are recorded.
    pub record: Option<PathBuf>,
    /// False: signalling only, no channel is joined.
    pub media: bool,
    /// Prepare the media path while it rings.
    pub warm: bool,
    pub fault: Fault,
}

/// A bug that is switched on to show that a checker can fail. Only builds with the feature `faults` have any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// An invitation in doubt is not acknowledged.
    #[cfg(feature = "faults")]
    DoubtUnacknowledged,
    /// Signals that are delivered again, or that are older than what is known, are accepted.
    #[cfg(feature = "faults")]
    RepeatsBelieved,
}

impl Fault {
    pub(crate) fn leaves_doubt_unacknowledged(self) -> bool {
        #[cfg(feature = "faults")]
        return self == Self::DoubtUnacknowledged;
        #[cfg(not(feature = "faults"))]
        false
    }

    pub(crate) fn believes_repeats(self) -> bool {
        #[cfg(feature = "faults")]
        return self == Self::RepeatsBelieved;
        #[cfg(not(feature = "faults"))]
        false
    }
}

impl Options {
    /// Plays the built-in clip of its user's name, if there is one, and expects the built-in clips of the others.
    pub fn new(credentials: Credentials, store: PathBuf) -> Self {
        let built_in = ["alice", "bob", "carol"].map(|name| (UserName::from(name), Clip::built_in(name)));
        let expect: HashMap<_, _> =
            built_in.into_iter().filter_map(|(name, clip)| Some((name, Arc::new(clip?)))).collect();
        let own = credentials.user.as_ref().and_then(|user| expect.get(user)).cloned();
        let clip = own.unwrap_or_else(|| Arc::new(Clip::silent()));
        Self { credentials, ca: None, store, clip, expect, record: None, media: true, warm: true, fault: Fault::None }
    }
}
