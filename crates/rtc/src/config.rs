//! Configuration of the RTC server, and the errors of its start.

use crate::token::JoinKey;
use clock::Clock;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Everything that can be set; [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where media is received (UDP). Port 0 takes a free one.
    pub media_addr: SocketAddr,
    /// Addresses that terminals are told to send to. Empty: the bound address, or those of all interfaces if it is
    /// unspecified.
    pub advertised: Vec<IpAddr>,
    /// Media threads; each owns a socket on the same port.
    pub shards: usize,
    /// Public keys that join tokens are verified with.
    pub keys: Vec<JoinKey>,
    /// The instance whose channels are served.
    pub app: String,
    /// Join tokens expire by it.
    pub clock: Clock,
    /// A connected peer without an authenticated packet for so long is *lost*.
    pub lost_after: Duration,
    /// A connected peer without an authenticated packet for so long has left. Counted from the last packet too.
    pub gone_after: Duration,
    /// A join whose ICE and DTLS are not done by then has failed.
    pub join_timeout: Duration,
    pub limits: Limits,
}

impl Config {
    pub fn new(media_addr: SocketAddr, keys: Vec<JoinKey>) -> Self {
        Self {
            media_addr,
            advertised: Vec::new(),
            shards: 1,
            keys,
            app: "convoke".to_owned(),
            clock: Clock::system(),
            lost_after: Duration::from_secs(4),
            gone_after: Duration::from_secs(20),
            join_timeout: Duration::from_secs(15),
            limits: Limits::default(),
        }
    }
}

/// Bounds of everything that the network, or a caller, can make grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open channels per shard; the next `open` fails with [`ChannelError::Limit`](crate::ChannelError::Limit).
    pub channels: usize,
    /// Connected or connecting peers per channel; the next join is refused with `channel_full`.
    pub peers_per_channel: usize,
    /// Participations that a channel remembers (rights, mutes, removals), joined or not.
    pub participations_per_channel: usize,
    /// Bytes of an SDP offer; more is answered with 413.
    pub offer_bytes: usize,
    /// Media sections of an offer; more is answered with 413.
    pub media_sections: usize,
}

impl Limits {
    /// Each member may be joining anew, or a callee that warms its path; and each has a history of some devices.
    pub fn for_meetings_of(members: usize) -> Self {
        let (peers_per_channel, participations_per_channel) = (2 * members, (40 * members).max(2_000));
        Self { peers_per_channel, participations_per_channel, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 10_000,
            peers_per_channel: 100,
            participations_per_channel: 2_000,
            offer_bytes: 128 * 1024,
            media_sections: 80,
        }
    }
}

/// Why the RTC server does not start: the thing, the cause, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "media port {addr}/udp cannot be opened: {cause}. Stop the process that holds it (ss -ulpn), or set another media address"
    )]
    Bind { addr: SocketAddr, cause: std::io::Error },
    #[error("no address for media could be found on this machine: {cause}. Name the addresses to advertise")]
    NoAddress { cause: std::io::Error },
    #[error("a media thread could not be started: {cause}. Raise the limit of threads or lower the number of shards")]
    Thread { cause: std::io::Error },
    #[error("no DTLS certificate could be made: the system's random numbers fail")]
    Certificate,
    #[error("the number of shards is {0}, it must be 1 to {max}: set it to the number of cores", max = crate::shard::MAX_SHARDS)]
    Shards(usize),
}
