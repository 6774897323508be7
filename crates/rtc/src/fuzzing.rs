//! The body of the fuzz target: any bytes as an offer at the join endpoint.
//!
//! Only with the feature `fuzzing`. `fuzz/` calls it; the tests below play its corpus.

use crate::offer::{MediaKind, MediaPlan, OfferError, read, without_simulcast};
use signalling::{Profile, Purpose};
use std::collections::BTreeMap;

const OFFER_BYTES_MAX: usize = 8 << 10;
const SECTIONS_MAX: usize = 12;

/// The first line says what the sections are for (`meeting 0=microphone 1=camera`), the rest is the offer. Limits hold,
/// and a plan has in it what was asked for, within the profile.
pub fn offer(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (wishes, sdp) = text.split_once('\n').unwrap_or((text, ""));
    let (profile, purposes) = parse_wishes(wishes);
    check_stripped(sdp);
    match read(sdp, OFFER_BYTES_MAX, SECTIONS_MAX) {
        Ok(offer) => {
            let sections = sdp.lines().filter(|line| line.starts_with("m=")).count();
            assert!(sdp.len() <= OFFER_BYTES_MAX && (1..=SECTIONS_MAX).contains(&sections));
            if let Ok(plan) = offer.plan(profile, &purposes) {
                check_plan(&plan, profile, &purposes);
            }
        }
        Err(OfferError::TooLarge(_)) => assert!(sdp.len() > OFFER_BYTES_MAX),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check_stripped(sdp: &str) {
    let stripped = without_simulcast(sdp);
    assert!(!stripped.lines().any(|line| line.starts_with("a=simulcast:") || line.starts_with("a=rid:")));
    assert_eq!(without_simulcast(&stripped), stripped, "once is enough");
}

fn check_plan(plan: &MediaPlan, profile: Profile, purposes: &BTreeMap<String, Purpose>) {
    let mids: Vec<&String> =
        plan.sources.iter().map(|(_, mid)| mid).chain(plan.slots.iter().map(|(_, mid)| mid)).collect();
    assert_eq!(mids.len(), purposes.len(), "every purpose has its section");
    assert!(mids.iter().all(|mid| purposes.contains_key(*mid)), "and no section has another");
    let count = |kind| plan.slots.iter().filter(|(of, _)| *of == kind).count();
    let (video, audio) = profile.slots();
    assert!(count(MediaKind::Video) <= video && count(MediaKind::Audio) <= audio && plan.sources.len() <= 4);
}

fn parse_wishes(line: &str) -> (Profile, BTreeMap<String, Purpose>) {
    let mut words = line.split_whitespace();
    let profile = if words.next() == Some("call") { Profile::Call } else { Profile::Meeting };
    let pairs = words.filter_map(|word| word.split_once('='));
    let known = pairs.filter_map(|(mid, purpose)| Some((mid.to_owned(), parse_purpose(purpose)?)));
    (profile, known.collect())
}

fn parse_purpose(word: &str) -> Option<Purpose> {
    Some(match word {
        "microphone" => Purpose::Microphone,
        "camera" => Purpose::Camera,
        "screen" => Purpose::Screen,
        "screen_audio" => Purpose::ScreenAudio,
        "audio_slot" => Purpose::AudioSlot,
        "video_slot" => Purpose::VideoSlot,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negotiator::{Negotiated, Negotiator};
    use std::sync::OnceLock;

    #[test]
    fn the_offer_check_keeps_its_word_on_its_corpus() {
        replay::corpus("rtc_offer", 200, offer);
    }

    /// No fuzz target: a fuzzer ends at a panic, also at one of the media stack that the join endpoint catches.
    #[test]
    fn what_passes_the_check_is_answered_or_refused() {
        replay::corpus("rtc_offer", 10, |bytes| {
            let Some(negotiated) = answered(bytes) else { return };
            assert!(negotiated.answer.contains("a=ice-lite") && negotiated.ice.ufrag.starts_with("03"));
        });
        let call = include_bytes!("../../../fuzz/corpus/rtc_offer/call");
        assert!(answered(call).is_some(), "else the corpus would reach nothing");
    }

    fn answered(bytes: &[u8]) -> Option<Negotiated> {
        static NEGOTIATOR: OnceLock<Negotiator> = OnceLock::new();
        let negotiator = NEGOTIATOR.get_or_init(|| Negotiator::new(Vec::new()).expect("a certificate"));
        let (wishes, sdp) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let (profile, purposes) = parse_wishes(wishes);
        let plan = read(sdp, OFFER_BYTES_MAX, SECTIONS_MAX).ok()?.plan(profile, &purposes).ok()?;
        negotiator.answer(sdp, plan, 3).ok()
    }
}
