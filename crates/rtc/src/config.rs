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
    /// The name of this node, as owners of channels are told it.
    pub node: String,
    /// Join tokens expire by it.
    pub clock: Clock,
    /// A connected peer without an authenticated packet for so long is *lost*.
    pub lost_after: Duration,
    /// A connected peer without an authenticated packet for so long has left. Counted from the last packet too.
    pub gone_after: Duration,
    /// A join whose ICE and DTLS are not done by then has failed.
    pub join_timeout: Duration,
    /// An owner that has not asked for its events for so long counts as gone: its channels close when nobody is in them. So
    /// does one of revision 0 after this time, whoever its owner is.
    pub lease: Duration,
    /// A join waits for its channel, or for its place in it, for so long.
    pub join_wait: Duration,
    /// The longest life of a join token. For so long the end of a channel is remembered.
    pub token_life_max: Duration,
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
            node: "convoke".to_owned(),
            clock: Clock::system(),
            lost_after: Duration::from_secs(4),
            gone_after: Duration::from_secs(20),
            join_timeout: Duration::from_secs(15),
            lease: Duration::from_secs(120),
            join_wait: Duration::from_secs(2),
            token_life_max: Duration::from_secs(3_600),
            limits: Limits::default(),
        }
    }
}

/// Bounds of everything that the network, or a caller, can make grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open channels per shard; the next one is refused with [`ChannelError::Limit`](crate::ChannelError::Limit).
    pub channels: usize,
    /// The same of one owner, so that none takes the room of all others.
    pub channels_per_owner: usize,
    /// Participations of all wishes of one owner, per shard.
    pub participations_per_owner: usize,
    /// Connected or connecting peers per channel; the next join is refused with `channel_full`.
    pub peers_per_channel: usize,
    /// Participations that a wish may have, joined or not.
    pub participations_per_channel: usize,
    /// Ended channels that a shard remembers; then the oldest is forgotten.
    pub ended_channels: usize,
    /// Owners of channels; a further one is refused while none of them is gone.
    pub owners: usize,
    /// Events that are kept for one owner; one that has read less than these gets a snapshot.
    pub events_per_owner: usize,
    /// Bytes of an SDP offer; more is answered with 413.
    pub offer_bytes: usize,
    /// Media sections of an offer; more is answered with 413.
    pub media_sections: usize,
}

impl Limits {
    /// Each member may be joining anew, or a callee that warms its path; and each callee has some devices that ring.
    pub fn for_meetings_of(members: usize) -> Self {
        let (peers_per_channel, participations_per_channel) = (2 * members, (40 * members).max(2_000));
        Self { peers_per_channel, participations_per_channel, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 10_000,
            channels_per_owner: 8_000,
            participations_per_owner: 200_000,
            peers_per_channel: 100,
            participations_per_channel: 2_000,
            ended_channels: 20_000,
            owners: 64,
            events_per_owner: 8_192,
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
