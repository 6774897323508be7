//! Settings of the service.

use crate::machine::Rules;
use queue::TopicName;
use signalling::join::TurnServer;
use signalling::topics::MEETING_UP;
use std::time::Duration;
use uuid::Uuid;

/// A bug that is switched on to show that a checker can fail. Only builds with the feature `faults` have any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// A decision that changes nothing is stored some time later, whatever has changed meanwhile.
    #[cfg(feature = "faults")]
    AnswersLate { delay: Duration },
}

impl Fault {
    /// The delay of answers, which are stored without a check of the revision.
    pub(crate) fn answers_late(self) -> Option<Duration> {
        match self {
            Self::None => None,
            #[cfg(feature = "faults")]
            Self::AnswersLate { delay } => Some(delay),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Times and sizes of meetings. Any value is taken here; public limits are checked where it is configured.
    pub rules: Rules,
    /// Base addresses of join endpoints, the best first.
    pub endpoints: Vec<String>,
    /// Name of the instance.
    pub app: String,
    /// Parent topics whose requests this service answers. None: it acts in no meeting, and keeps only who is online.
    pub topics: Vec<TopicName>,
    /// By whom this service claims what it shares with others. One that starts again under the same id has at once what
    /// it had before.
    pub claimant: Uuid,
    pub turn: Vec<TurnServer>,
    /// Meetings that one user may create in a minute.
    pub creates_per_minute_max: u32,
    /// Requests that one user may make at once, and how many more each second; what is beyond is not handled.
    pub requests_burst_max: u32,
    pub requests_per_second_max: u32,
    /// Longest life of a create, from its arrival at the broker.
    pub create_ms: u64,
    pub payload_bytes_max: usize,
    /// A handled request is remembered this long beyond its expiry.
    pub handled_kept_ms: u64,
    /// Requests of different users that are handled concurrently.
    pub requests_at_once_max: usize,
    /// How long a request that was received may take before the queue hands it out again.
    pub invisible: Duration,
    pub prune_every: Duration,
    pub fault: Fault,
}

impl Config {
    /// Contacts that are named to a user.
    pub(crate) const CONTACTS_MAX: u32 = 200;
    /// Unseen outcomes in one state answer.
    pub(crate) const OUTCOMES_MAX: u32 = 50;
    /// Standing rings in one state answer: more than the broker sends at once. It says if further ones stand.
    pub(crate) const RINGS_MAX: usize = 40;
    /// Meetings that a user has left and may join again, in one state answer; and how many are looked at for it.
    pub(crate) const JOINABLE_MAX: usize = 10;
    pub(crate) const LEFT_MAX: usize = 50;
    /// Callees that one request may name.
    pub(crate) const CALLEES_MAX: usize = 50;
    /// Longest time to the expiry of a request.
    pub(crate) const EXPIRY_MAX_MS: u64 = 24 * 3_600_000;

    /// Whether it answers no requests, so that it is others who run the meetings.
    pub(crate) fn is_off(&self) -> bool {
        self.topics.is_empty()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            endpoints: Vec::new(),
            app: signalling::topics::INSTANCE.to_owned(),
            topics: TopicName::parse(MEETING_UP).into_iter().collect(),
            claimant: crate::ids::new_id(),
            turn: Vec::new(),
            creates_per_minute_max: 20,
            requests_burst_max: 200,
            requests_per_second_max: 20,
            create_ms: 30_000,
            payload_bytes_max: 64 * 1024,
            handled_kept_ms: 3 * 24 * 3_600_000,
            requests_at_once_max: 32,
            invisible: Duration::from_secs(30),
            prune_every: Duration::from_secs(3_600),
            fault: Fault::None,
        }
    }
}
