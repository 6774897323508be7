//! Counters of the RTC server, defined once: what came in, what went out, what was dropped and why.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Between two log lines of what was dropped.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Why a datagram or a media packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Neither a known address nor STUN for a known user fragment.
    UnknownSource,
    /// STUN with a wrong or missing MESSAGE-INTEGRITY.
    Unauthenticated,
    /// Not STUN, DTLS, RTP or RTCP (RFC 7983), or cut short.
    Malformed,
    /// The source is muted.
    Muted,
    /// The right to publish is missing.
    NoRight,
    /// The sender still waits to be admitted.
    Waiting,
    /// Media that the offer did not announce.
    Unannounced,
    /// A slot waits for a key frame of its new source.
    AwaitsKeyFrame,
    /// Another shard's mailbox was full.
    ShardFull,
    /// The socket did not take it.
    SendFailed,
    /// The event mailbox was full, or has no receiver.
    Event,
}

impl DropReason {
    pub const ALL: [Self; 11] = [
        Self::UnknownSource,
        Self::Unauthenticated,
        Self::Malformed,
        Self::Muted,
        Self::NoRight,
        Self::Waiting,
        Self::Unannounced,
        Self::AwaitsKeyFrame,
        Self::ShardFull,
        Self::SendFailed,
        Self::Event,
    ];

    /// What a call without faults does not cause; the others are how muting, blocks and switches of slots work.
    const UNUSUAL: [Self; 7] = [
        Self::UnknownSource,
        Self::Unauthenticated,
        Self::Malformed,
        Self::Unannounced,
        Self::ShardFull,
        Self::SendFailed,
        Self::Event,
    ];

    /// As the log spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownSource => "unknown_source",
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed => "malformed",
            Self::Muted => "muted",
            Self::NoRight => "no_right",
            Self::Waiting => "waiting",
            Self::Unannounced => "unannounced",
            Self::AwaitsKeyFrame => "key_frame_gate",
            Self::ShardFull => "shard_full",
            Self::SendFailed => "send_failed",
            Self::Event => "event",
        }
    }
}

/// Joined peers by negotiated SRTP profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherCount {
    pub cipher: &'static str,
    pub peers: u64,
}

/// A snapshot of all counters since the start; gauges are named as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams received.
    pub packets_in: u64,
    pub bytes_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    pub bytes_out: u64,
    /// Media packets that were authenticated.
    pub media_in: u64,
    /// Copies of media packets written to other peers.
    pub media_forwarded: u64,
    /// Key frame requests sent to publishers.
    pub key_frame_requests: u64,
    /// Joins that were answered with an SDP answer.
    pub joins: u64,
    /// Gauge: joins that wait for their channel, or for their place in it.
    pub joins_waiting: u64,
    /// Gauge: open channels.
    pub channels: u64,
    /// Gauge: peers, connected or connecting.
    pub peers: u64,
    /// Peers that reached `Joined`, by cipher.
    pub ciphers: Vec<CipherCount>,
    dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// SRTP profiles by their IANA names (RFC 7714 §14.2, RFC 5764 §4.1.2), best first.
pub(crate) const CIPHERS: [&str; 3] = ["AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES128_CM_SHA1_80"];

/// One counter, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) packets_in: Count,
    pub(crate) bytes_in: Count,
    pub(crate) packets_out: Count,
    pub(crate) bytes_out: Count,
    pub(crate) media_in: Count,
    pub(crate) media_forwarded: Count,
    pub(crate) key_frame_requests: Count,
    pub(crate) joins: Count,
    pub(crate) joins_waiting: Count,
    pub(crate) channels: Count,
    pub(crate) peers: Count,
    ciphers: [Count; CIPHERS.len()],
    dropped: [Count; DropReason::ALL.len()],
    last_report: Mutex<LastReport>,
}

/// The drops that were logged last.
#[derive(Debug, Default)]
struct LastReport {
    at: Option<Instant>,
    dropped: [u64; DropReason::ALL.len()],
}

impl Metrics {
    /// What was dropped since the last report, by reason; `None` if nothing was, or if less than a minute has passed.
    pub(crate) fn unusual_drops(&self, now: Instant) -> Option<String> {
        // Another shard that holds the lock reports the same.
        let mut last_report = self.last_report.try_lock().ok()?;
        if last_report.at.is_some_and(|at| now < at + REPORT_EVERY) {
            return None;
        }
        let dropped: [u64; DropReason::ALL.len()] = std::array::from_fn(|index| self.dropped[index].read());
        let more = |reason: &DropReason| dropped[*reason as usize] - last_report.dropped[*reason as usize];
        let news = DropReason::UNUSUAL.iter().filter(|reason| more(reason) > 0);
        let news: Vec<String> = news.map(|reason| format!("{}={}", reason.name(), more(reason))).collect();
        if news.is_empty() {
            return None;
        }
        *last_report = LastReport { at: Some(now), dropped };
        Some(news.join(" "))
    }

    pub(crate) fn discard(&self, reason: DropReason) {
        self.dropped[reason as usize].add(1);
    }

    pub(crate) fn joined(&self, cipher: &str) {
        if let Some(index) = CIPHERS.iter().position(|known| *known == cipher) {
            self.ciphers[index].add(1);
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let ciphers = CIPHERS.iter().zip(&self.ciphers);
        Stats {
            packets_in: self.packets_in.read(),
            bytes_in: self.bytes_in.read(),
            packets_out: self.packets_out.read(),
            bytes_out: self.bytes_out.read(),
            media_in: self.media_in.read(),
            media_forwarded: self.media_forwarded.read(),
            key_frame_requests: self.key_frame_requests.read(),
            joins: self.joins.read(),
            joins_waiting: self.joins_waiting.read(),
            channels: self.channels.read(),
            peers: self.peers.read(),
            ciphers: ciphers.map(|(cipher, peers)| CipherCount { cipher, peers: peers.read() }).collect(),
            dropped: std::array::from_fn(|index| self.dropped[index].read()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_drops_are_reported_once_and_at_most_every_minute() {
        let (metrics, start) = (Metrics::default(), Instant::now());
        metrics.discard(DropReason::Muted);
        assert_eq!(metrics.unusual_drops(start), None);
        metrics.discard(DropReason::Malformed);
        assert_eq!(metrics.unusual_drops(start).as_deref(), Some("malformed=1"));
        metrics.discard(DropReason::Malformed);
        metrics.discard(DropReason::Malformed);
        metrics.discard(DropReason::Event);
        assert_eq!(metrics.unusual_drops(start + REPORT_EVERY / 2), None);
        assert_eq!(metrics.unusual_drops(start + REPORT_EVERY).as_deref(), Some("malformed=2 event=1"));
        assert_eq!(metrics.unusual_drops(start + REPORT_EVERY * 9), None);
    }
}
