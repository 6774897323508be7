//! What builds for tests alone can be told: seeded bugs by name, and a log and a lease that are gone through within a test.

use super::Raw;
use std::time::Duration;

/// Nothing but defaults where the program was built without `faults`.
#[derive(Clone, Debug, Default)]
pub struct Test {
    pub log: commitlog::Fault,
    pub meeting: meeting::Fault,
    pub replay: ReplayFault,
    /// The process ends between the commit of a change and the end of what it ends.
    pub dies_before_cuts: bool,
    /// The process ends between the commit of a block and the moment at which the RTC server is told of it.
    pub dies_before_blocks: bool,
    /// Size of a new log's segments.
    pub segment_bytes: Option<u64>,
    /// Below so many bytes the log keeps all its segments.
    pub reclaim_above_bytes: Option<u64>,
    /// How long channels stay open whose owner asks for no events.
    pub channel_lease: Option<Duration>,
}

/// A seeded bug of a start: what the log says, and the program does not know any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayFault {
    #[default]
    None,
    /// What was acknowledged waits again.
    #[cfg(feature = "faults")]
    ForgetsAcks,
    /// A collapse key and its version.
    #[cfg(feature = "faults")]
    ForgetsCollapseKeys,
    /// When a client went: its session is as new.
    #[cfg(feature = "faults")]
    ForgetsDisconnects,
    /// When a message ends.
    #[cfg(feature = "faults")]
    ForgetsExpiries,
    /// One message of many.
    #[cfg(feature = "faults")]
    ForgetsMessages,
    /// Under which packet id a message is in flight.
    #[cfg(feature = "faults")]
    ForgetsPacketIds,
    #[cfg(feature = "faults")]
    ForgetsSessions,
}

#[cfg(not(feature = "faults"))]
impl Test {
    #[expect(clippy::unnecessary_wraps, reason = "a build with seeded bugs refuses names that it does not know")]
    pub(super) fn check(_: &Raw) -> Result<Self, String> {
        Ok(Self::default())
    }
}

#[cfg(feature = "faults")]
impl Test {
    /// # Errors
    /// No bug has this name.
    pub(super) fn check(raw: &Raw) -> Result<Self, String> {
        const DELAY: Duration = Duration::from_millis(100);
        let given = |number: u64| (number > 0).then_some(number);
        let mut test = Self {
            segment_bytes: given(raw.test.segment_bytes),
            reclaim_above_bytes: given(raw.test.reclaim_above_bytes),
            channel_lease: given(raw.test.channel_lease_s).map(Duration::from_secs),
            ..Self::default()
        };
        match raw.test.fault.as_str() {
            "" => {}
            "ack_before_write" => test.log = commitlog::Fault::AckBeforeWrite { delay: DELAY },
            "forgets_copies" => test.log = commitlog::Fault::ForgetsCopies,
            "snapshot_leaves_out" => test.log = commitlog::Fault::SnapshotLeavesOut { every: 2 },
            "vacates_unasked" => test.log = commitlog::Fault::VacatesUnasked,
            "skip_sync" => test.log = commitlog::Fault::SkipSync,
            "dies_before_cuts" => test.dies_before_cuts = true,
            "dies_before_blocks" => test.dies_before_blocks = true,
            "answers_late" => test.meeting = meeting::Fault::AnswersLate { delay: DELAY },
            "forgets_acks" => test.replay = ReplayFault::ForgetsAcks,
            "forgets_collapse_keys" => test.replay = ReplayFault::ForgetsCollapseKeys,
            "forgets_disconnects" => test.replay = ReplayFault::ForgetsDisconnects,
            "forgets_expiries" => test.replay = ReplayFault::ForgetsExpiries,
            "forgets_messages" => test.replay = ReplayFault::ForgetsMessages,
            "forgets_packet_ids" => test.replay = ReplayFault::ForgetsPacketIds,
            "forgets_sessions" => test.replay = ReplayFault::ForgetsSessions,
            other => return Err(other.to_owned()),
        }
        Ok(test)
    }
}
