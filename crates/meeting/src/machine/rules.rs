//! The rules of a meeting: its times, and the limits of its document.

/// Times and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Create → first ringing.
    pub reach_ms: u64,
    /// Ringing → answer.
    pub ring_ms: u64,
    /// Without media and without signalling until a member counts as gone.
    pub gone_ms: u64,
    /// The same after a DISCONNECT, as a page sends that is closed; and how long closed media is still shown as there.
    /// A page that is reloaded is back within it.
    pub clean_gone_ms: u64,
    /// Without media, though the client is online, until a member is shown as unable to get any.
    pub no_media_ms: u64,
    /// Life of a join token.
    pub token_ms: u64,
    /// How long signals about rings and their ends are kept for a terminal that is off.
    pub ring_kept_ms: u64,
    /// The same for all other signals.
    pub meeting_kept_ms: u64,
    /// In, ringing or within reach.
    pub members_max: usize,
}

impl Rules {
    /// The largest `members_max` for which the other bounds are made.
    pub const MEMBERS_MAX: usize = 200;
    /// Invitations of one meeting that are remembered; the oldest ended ones are forgotten first.
    pub const INVITATIONS_MAX: usize = 500;
    /// Rings of one user in one meeting, among those that are remembered: nobody is rung endlessly.
    pub const RINGS_PER_USER_MAX: usize = 20;
    /// Devices of one callee that ring.
    pub const DEVICES_MAX: usize = 32;
    /// Removed participations that are remembered while their tokens live.
    pub const REMOVED_MAX: usize = 4_000;
    pub const BANS_MAX: usize = 200;
    /// Users from whom the host has taken something.
    pub const BLOCKED_MAX: usize = 200;
    pub const GLARE_CREATES_MAX: usize = 200;
    /// Former members who may come back; the longest gone are forgotten first.
    pub const FORMER_MAX: usize = 200;
}

impl Rules {
    /// No deadline of a meeting lies further ahead, unless the clock was ahead when it was set.
    #[must_use]
    pub fn deadline_max_ms(&self) -> u64 {
        [self.reach_ms, self.ring_ms, self.gone_ms, self.clean_gone_ms, self.no_media_ms].into_iter().max().unwrap_or(0)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            reach_ms: 45_000,
            ring_ms: 45_000,
            gone_ms: 20_000,
            clean_gone_ms: 4_000,
            no_media_ms: 8_000,
            token_ms: 600_000,
            ring_kept_ms: 3 * 24 * 3_600_000,
            meeting_kept_ms: 20_000,
            members_max: 50,
        }
    }
}
