//! The join endpoint's check of an SDP offer, before any other part reads it: its size, its media sections, and what each
//! section is for. Pure; it checks only what slots and sources depend on, the media stack checks the rest.

use signalling::{Profile, Purpose, Source};
use std::collections::{BTreeMap, BTreeSet};

const MID_CHARS_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OfferError {
    #[error("the offer has more than {0} bytes: offer fewer sections and codecs")]
    TooLarge(usize),
    #[error("the offer has more than {0} media sections: offer fewer")]
    TooManyMedia(usize),
    #[error("{0}")]
    Bad(String),
    /// The media stack's own words are `cause`: not for the terminal.
    #[error("{words}")]
    Stack { words: &'static str, cause: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MediaKind {
    Audio,
    Video,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SectionKind {
    Media(MediaKind),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Direction {
    sends: bool,
    receives: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    mid: String,
    kind: SectionKind,
    direction: Direction,
}

/// An offer whose sections are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    sections: Vec<Section>,
}

/// Which section carries what, by mid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MediaPlan {
    pub(crate) sources: Vec<(Source, String)>,
    pub(crate) slots: Vec<(MediaKind, String)>,
}

/// Reads an offer's sections.
pub(crate) fn read(sdp: &str, bytes_max: usize, sections_max: usize) -> Result<Offer, OfferError> {
    if sdp.len() > bytes_max {
        return Err(OfferError::TooLarge(bytes_max));
    }
    check_connection(sdp)?;
    let mut sections: Vec<Section> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            if sections.len() == sections_max {
                return Err(OfferError::TooManyMedia(sections_max));
            }
            sections.push(Section::new(media));
        } else if let Some(attribute) = line.strip_prefix("a=") {
            check_role(attribute)?;
            if let Some(section) = sections.last_mut() {
                section.read(attribute);
            }
        }
    }
    check_sections(&sections)?;
    Ok(Offer { sections })
}

/// The offer without simulcast, so that a terminal that could send several layers sends one: layers are not chosen yet.
pub(crate) fn without_simulcast(sdp: &str) -> String {
    let kept = |line: &&str| !line.starts_with("a=simulcast:") && !line.starts_with("a=rid:");
    sdp.lines().filter(kept).flat_map(|line| [line, "\r\n"]).collect()
}

/// What ICE and DTLS need, in the session or in its sections.
fn check_connection(sdp: &str) -> Result<(), OfferError> {
    for attribute in ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
        if !sdp.lines().any(|line| line.starts_with(attribute)) {
            let name = attribute.trim_end_matches(':');
            return Err(bad(format!("{name} is missing: send the offer as the peer connection made it")));
        }
    }
    Ok(())
}

/// The server is always the DTLS server, so that its order of ciphers counts.
fn check_role(attribute: &str) -> Result<(), OfferError> {
    match attribute.strip_prefix("setup:").map(str::trim) {
        None | Some("actpass" | "active") => Ok(()),
        Some(other) => Err(bad(format!("a=setup:{other}: offer actpass, the server is the DTLS server"))),
    }
}

fn check_sections(sections: &[Section]) -> Result<(), OfferError> {
    if sections.is_empty() {
        return Err(bad("no media section (m=): offer what you send, slots to receive, and a data channel"));
    }
    let mut mids = BTreeSet::new();
    for section in sections {
        if !is_plain(&section.mid) {
            return Err(bad("a=mid is missing, or is not 1 to 16 of A-Z, a-z, 0-9 and _: name every section so"));
        }
        if !mids.insert(&section.mid) {
            return Err(bad(format!("a=mid:{} is used twice: name every section differently", section.mid)));
        }
    }
    Ok(())
}

/// What the media stack can carry unchanged; it would cut or replace the rest, and two mids could become one.
fn is_plain(mid: &str) -> bool {
    (1..=MID_CHARS_MAX).contains(&mid.len()) && mid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn bad(why: impl Into<String>) -> OfferError {
    OfferError::Bad(why.into())
}

impl Section {
    fn new(media: &str) -> Self {
        let kind = match media.split(' ').next() {
            Some("audio") => SectionKind::Media(MediaKind::Audio),
            Some("video") => SectionKind::Media(MediaKind::Video),
            _ => SectionKind::Other,
        };
        // RFC 8866 §6.7: sendrecv unless said otherwise.
        Self { mid: String::new(), kind, direction: Direction { sends: true, receives: true } }
    }

    fn read(&mut self, attribute: &str) {
        if let Some(mid) = attribute.strip_prefix("mid:") {
            mid.trim().clone_into(&mut self.mid);
        }
        let direction = match attribute.trim() {
            "sendrecv" => Direction { sends: true, receives: true },
            "sendonly" => Direction { sends: true, receives: false },
            "recvonly" => Direction { sends: false, receives: true },
            "inactive" => Direction { sends: false, receives: false },
            _ => return,
        };
        self.direction = direction;
    }

    fn fits(&self, purpose: Purpose) -> bool {
        let kind = match purpose {
            Purpose::Microphone | Purpose::ScreenAudio | Purpose::AudioSlot => MediaKind::Audio,
            Purpose::Camera | Purpose::Screen | Purpose::VideoSlot => MediaKind::Video,
        };
        let direction = match source_of(purpose) {
            Some(_) => self.direction.sends,
            None => self.direction.receives,
        };
        self.kind == SectionKind::Media(kind) && direction
    }
}

impl Offer {
    /// Checks the purposes against the sections and the profile, and puts them in the order of the offer.
    pub(crate) fn plan(&self, profile: Profile, purposes: &BTreeMap<String, Purpose>) -> Result<MediaPlan, OfferError> {
        let known: BTreeSet<&str> = self.sections.iter().map(|section| section.mid.as_str()).collect();
        if let Some(unknown) = purposes.keys().find(|mid| !known.contains(mid.as_str())) {
            return Err(bad(format!("purposes name mid {unknown}, which is not in the offer: name its a=mid values")));
        }
        let mut plan = MediaPlan::default();
        for section in &self.sections {
            if let Some(purpose) = purposes.get(&section.mid) {
                plan.add(section, *purpose)?;
            }
        }
        plan.check(profile)?;
        Ok(plan)
    }
}

impl MediaPlan {
    /// Neither sends nor receives media.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.slots.is_empty()
    }

    fn add(&mut self, section: &Section, purpose: Purpose) -> Result<(), OfferError> {
        if !section.fits(purpose) {
            let purpose = purpose_name(purpose);
            let mid = &section.mid;
            return Err(bad(format!(
                "mid {mid} cannot be a {purpose}: wrong kind or direction; give each section a purpose that fits it"
            )));
        }
        let mid = section.mid.clone();
        match (source_of(purpose), purpose) {
            (Some(source), _) => self.sources.push((source, mid)),
            (None, Purpose::AudioSlot) => self.slots.push((MediaKind::Audio, mid)),
            (None, _) => self.slots.push((MediaKind::Video, mid)),
        }
        Ok(())
    }

    fn check(&self, profile: Profile) -> Result<(), OfferError> {
        let sources: BTreeSet<Source> = self.sources.iter().map(|(source, _)| *source).collect();
        if sources.len() < self.sources.len() {
            return Err(bad("two sections have the same sending purpose: send each source once"));
        }
        let count = |kind| self.slots.iter().filter(|(of, _)| *of == kind).count();
        let (video, audio) = profile.slots();
        if count(MediaKind::Video) > video || count(MediaKind::Audio) > audio {
            return Err(bad(format!(
                "more slots than the profile has ({video} video, {audio} audio): offer fewer, or join with a larger one"
            )));
        }
        Ok(())
    }
}

/// The purpose as the request spells it.
fn purpose_name(purpose: Purpose) -> String {
    serde_json::to_value(purpose).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The source that a sending purpose stands for; `None` for slots.
fn source_of(purpose: Purpose) -> Option<Source> {
    match purpose {
        Purpose::Microphone => Some(Source::Microphone),
        Purpose::Camera => Some(Source::Camera),
        Purpose::Screen => Some(Source::Screen),
        Purpose::ScreenAudio => Some(Source::ScreenAudio),
        Purpose::AudioSlot | Purpose::VideoSlot => None,
    }
}

pub(crate) fn kind_of(source: Source) -> MediaKind {
    match source {
        Source::Microphone | Source::ScreenAudio => MediaKind::Audio,
        Source::Camera | Source::Screen => MediaKind::Video,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const CALL: &str = "v=0\r\na=setup:actpass\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 00\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=rid:l send\r\na=simulcast:send l\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:2\r\na=recvonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\na=recvonly\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:4\r\n";

    fn purposes(pairs: &[(&str, Purpose)]) -> BTreeMap<String, Purpose> {
        pairs.iter().map(|(mid, purpose)| ((*mid).to_owned(), *purpose)).collect()
    }

    fn plan(sdp: &str, pairs: &[(&str, Purpose)]) -> Result<MediaPlan, OfferError> {
        read(sdp, 10_000, 8)?.plan(Profile::Call, &purposes(pairs))
    }

    #[test]
    fn the_plan_follows_the_offer() {
        let pairs =
            [("3", Purpose::VideoSlot), ("0", Purpose::Microphone), ("1", Purpose::Camera), ("2", Purpose::AudioSlot)];
        let plan = plan(CALL, &pairs).unwrap();
        assert_eq!(plan.sources, [(Source::Microphone, "0".to_owned()), (Source::Camera, "1".to_owned())]);
        assert_eq!(plan.slots, [(MediaKind::Audio, "2".to_owned()), (MediaKind::Video, "3".to_owned())]);
    }

    #[test]
    fn purposes_that_do_not_fit_the_offer_are_refused() {
        for (pairs, word) in [
            (vec![("9", Purpose::Camera)], "not in the offer"),
            (vec![("0", Purpose::Camera)], "wrong kind"),
            (vec![("2", Purpose::Microphone)], "direction"),
            (vec![("4", Purpose::Microphone)], "wrong kind"),
            (vec![("1", Purpose::VideoSlot)], "direction"),
        ] {
            let refusal = plan(CALL, &pairs).unwrap_err();
            assert!(refusal.to_string().contains(word), "{pairs:?}: {refusal}");
        }
    }

    #[test]
    fn a_purpose_taken_twice_and_slots_over_the_profile_are_refused() {
        let both = CALL.replace("sendonly", "sendrecv").replace("recvonly", "sendrecv");
        let twice = [("1", Purpose::Camera), ("3", Purpose::Camera)];
        assert!(plan(&both, &twice).unwrap_err().to_string().contains("same sending purpose"));
        let slots = [("1", Purpose::VideoSlot), ("3", Purpose::VideoSlot)];
        assert!(plan(&both, &slots).unwrap_err().to_string().contains("more slots"));
    }

    #[test]
    fn size_sections_mids_and_the_dtls_role_are_checked() {
        assert_eq!(read(CALL, 100, 80), Err(OfferError::TooLarge(100)));
        assert_eq!(read(CALL, 10_000, 4), Err(OfferError::TooManyMedia(4)));
        for (sdp, word) in [
            (CALL.split("m=").next().unwrap().to_owned(), "no media section"),
            (CALL.replace("a=ice-ufrag", "a=x"), "a=ice-ufrag is missing"),
            (CALL.replace("a=ice-pwd", "a=x"), "a=ice-pwd is missing"),
            (CALL.replace("a=fingerprint", "a=x"), "a=fingerprint is missing"),
            (CALL.replace("a=mid:1", "a=mid:0"), "used twice"),
            (CALL.replace("a=mid:1\r\n", ""), "missing"),
            (CALL.replace("a=mid:1", "a=mid:12345678901234567"), "1 to 16"),
            (CALL.replace("actpass", "passive"), "DTLS server"),
            (CALL.replace("actpass", "holdconn"), "DTLS server"),
        ] {
            assert!(read(&sdp, 10_000, 80).unwrap_err().to_string().contains(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_text_is_reading_it_ends_and_keeps_the_limits(lines in vec("(m=|a=|a=mid:|a=setup:)?[ -~]{0,20}", 0..40)) {
            let text = lines.join("\r\n");
            if let Ok(offer) = read(&text, 1_000, 5) {
                prop_assert!(text.len() <= 1_000 && (1..=5).contains(&offer.sections.len()));
            }
            without_simulcast(&text);
        }
    }

    #[test]
    fn simulcast_is_taken_out_and_nothing_else() {
        let stripped = without_simulcast(CALL);
        assert!(!stripped.contains("rid:") && !stripped.contains("simulcast"));
        assert_eq!(stripped.lines().count(), CALL.lines().count() - 2);
    }
}
