//! SDP negotiation: one offer in, one peer connection and its answer out. It runs on threads of the join endpoint, so that no
//! packet waits for SDP.

use crate::crypto;
use crate::offer::{MediaPlan, OfferError, kind_of, without_simulcast};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::crypto::dtls::DtlsVersion;
use str0m::format::Codec;
use str0m::media::{Mid, Pt};
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

/// Packets that a slot keeps for retransmission.
const RESEND_CACHE_PACKETS: usize = 512;
const AUDIO_RESEND_CACHE_PACKETS: usize = 16;
/// Bytes that are buffered for the data channels of a terminal, at most.
const DATA_BUFFER_BYTES: usize = 128 * 1024;
const DATA_MESSAGE_BYTES: u32 = 64 * 1024;
/// Between reports of loss and round-trip time.
const STATS_INTERVAL: Duration = Duration::from_secs(5);
const UFRAG_RANDOM_CHARS: usize = 14;
const PASSWORD_CHARS: usize = 32;

/// Creates the peer connections of one server, with what they have in common.
pub(crate) struct Negotiator {
    certificate: DtlsCert,
    candidates: Vec<SocketAddr>,
}

/// A peer connection that waits for its first packet.
pub(crate) struct Negotiated {
    pub(crate) rtc: Rtc,
    pub(crate) ice: IceCreds,
    pub(crate) media: NegotiatedMedia,
    pub(crate) answer: String,
    /// Where sequence numbers and times of its slots begin.
    pub(crate) seed: u64,
}

/// The sections of the answer, in the media stack's words.
#[derive(Clone, Debug)]
pub(crate) struct NegotiatedMedia {
    pub(crate) plan: MediaPlan,
    pub(crate) opus: Option<Pt>,
    pub(crate) vp8: Option<Pt>,
}

impl Negotiator {
    pub(crate) fn new(candidates: Vec<SocketAddr>) -> Option<Self> {
        let certificate = crypto::provider().dtls_provider.generate_certificate()?;
        Some(Self { certificate, candidates })
    }

    /// Answers an offer for a peer on `shard`.
    pub(crate) fn answer(&self, sdp: &str, plan: MediaPlan, shard: usize) -> Result<Negotiated, OfferError> {
        // The media stack asserts in a few places that only strange offers reach: they end the offer, not the server.
        let attempt = without_logs(|| catch_unwind(AssertUnwindSafe(|| self.negotiate(sdp, plan, shard))));
        attempt.unwrap_or_else(|_| Err(not_answered("a panic".to_owned())))
    }

    fn negotiate(&self, sdp: &str, plan: MediaPlan, shard: usize) -> Result<Negotiated, OfferError> {
        let offer =
            SdpOffer::from_sdp_string(&without_simulcast(sdp)).map_err(|error| unreadable(error.to_string()))?;
        let ice = ice_credentials(shard)?;
        let mut rtc = self.configuration(&ice).build(Instant::now());
        for address in &self.candidates {
            let candidate = Candidate::host(*address, "udp").map_err(|error| not_answered(error.to_string()))?;
            rtc.add_local_candidate(candidate);
        }
        let answer =
            rtc.sdp_api().accept_offer(offer).map_err(|error| not_answered(error.to_string()))?.to_sdp_string();
        let media = NegotiatedMedia { plan, opus: payload(&rtc, Codec::Opus), vp8: payload(&rtc, Codec::Vp8) };
        media.check(&rtc)?;
        Ok(Negotiated { rtc, ice, media, answer, seed: random_u64()? })
    }

    fn configuration(&self, ice: &IceCreds) -> RtcConfig {
        RtcConfig::new()
            .set_crypto_provider(crypto::provider())
            .set_dtls_cert(self.certificate.clone())
            // 1.3 would take the client's order of SRTP profiles, 1.2 takes ours: GCM first.
            .set_dtls_version(DtlsVersion::Dtls12)
            .set_local_ice_credentials(ice.clone())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_stats_interval(Some(STATS_INTERVAL))
            .set_send_buffer_audio(AUDIO_RESEND_CACHE_PACKETS)
            .set_send_buffer_video(RESEND_CACHE_PACKETS)
            .set_sctp_max_buffered_amount(DATA_BUFFER_BYTES)
            .set_sctp_max_message_size(DATA_MESSAGE_BYTES)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
    }
}

impl NegotiatedMedia {
    fn check(&self, rtc: &Rtc) -> Result<(), OfferError> {
        use crate::offer::MediaKind::{Audio, Video};
        let sources = self.plan.sources.iter().map(|(source, mid)| (kind_of(*source), mid));
        for (kind, mid) in sources.chain(self.plan.slots.iter().map(|(kind, mid)| (*kind, mid))) {
            let codec = match kind {
                Audio => self.opus,
                Video => self.vp8,
            };
            if codec.is_none() || rtc.media(mid_of(mid)).is_none_or(str0m::media::Media::disabled) {
                return Err(bad(format!("mid {mid}: audio must offer Opus, video must offer VP8")));
            }
        }
        Ok(())
    }
}

pub(crate) fn mid_of(mid: &str) -> Mid {
    Mid::from(mid)
}

fn payload(rtc: &Rtc, codec: Codec) -> Option<Pt> {
    rtc.codec_config().find(|params| params.spec().codec == codec).map(|params| params.pt())
}

/// The user fragment begins with the shard, so that any shard knows whose a binding request is.
fn ice_credentials(shard: usize) -> Result<IceCreds, OfferError> {
    let random = random_text(UFRAG_RANDOM_CHARS)?;
    Ok(IceCreds { ufrag: format!("{shard:02x}{random}"), pass: random_text(PASSWORD_CHARS)? })
}

/// The shard that a user fragment of ours names.
pub(crate) fn shard_of(ufrag: &str) -> Option<usize> {
    usize::from_str_radix(ufrag.get(..2)?, 16).ok()
}

fn random_text(chars: usize) -> Result<String, OfferError> {
    const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = vec![0; chars];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| bad("no random numbers"))?;
    Ok(bytes.iter().map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)])).collect())
}

fn random_u64() -> Result<u64, OfferError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| bad("no random numbers"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Runs `act` without logs: what the media stack warns of here, only the sender of the offer can correct, and is told.
fn without_logs<T>(act: impl FnOnce() -> T) -> T {
    tracing::dispatcher::with_default(&tracing::Dispatch::none(), act)
}

fn unreadable(cause: String) -> OfferError {
    OfferError::Stack { words: "it is no SDP (RFC 8866): send the offer as the peer connection made it", cause }
}

fn not_answered(cause: String) -> OfferError {
    let words = "the media stack cannot answer it: offer sections in one BUNDLE group with rtcp-mux, as browsers do";
    OfferError::Stack { words, cause }
}

fn bad(why: impl Into<String>) -> OfferError {
    OfferError::Bad(why.into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The parser warns of its section, which has no mid.
    const BAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";

    #[test]
    fn a_bad_offer_is_refused_in_our_words_and_makes_no_line_in_the_log() {
        let said = LogBuffer::default();
        let (negotiator, to_log) = (Negotiator::new(Vec::new()).unwrap(), said.clone());
        let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || to_log.clone());
        let answer =
            tracing::subscriber::with_default(logs.finish(), || negotiator.answer(BAD, MediaPlan::default(), 0));
        let refusal = answer.err().unwrap();
        assert!(refusal.to_string().contains("it is no SDP"), "{refusal}");
        assert!(matches!(refusal, OfferError::Stack { cause, .. } if cause.contains("parse")));
        assert_eq!(String::from_utf8(said.0.lock().unwrap().clone()).unwrap(), "");
    }
}
