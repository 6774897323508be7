//! Checks of what a terminal reports of the pictures and the speech that it received of one user; pure.
//!
//! ```text
//!   enough frames of both ──► whose were they? ──► from a key frame on? ──► in order? ──► encrypted by what?
//! ```
//! Contract: counters only rise, so a report that is bad once stays bad; whatever a loss, a new start of the sender or
//! a key frame that was asked for explains is good.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use signalling::Source;
use terminal::media::check::Checked;
use terminal::media::report::{MediaReport, SourceReport};

/// A good run of pictures, at 15 a second. Frames that came before a roster named their sender are compared with nothing.
const PICTURES: u64 = 30;
/// A good run of speech, at 50 packets a second.
const SPEECH: u64 = 50;

/// A terminal's report of one user's sources.
pub(super) struct Received {
    cipher: Option<String>,
    camera: CheckedSource,
    microphone: CheckedSource,
}

struct CheckedSource {
    report: SourceReport,
    checked: Checked,
}

impl Received {
    /// `None`: the report says nothing of one of the sources.
    pub(super) fn of(event: &Value, user: &str) -> Option<Self> {
        let report = MediaReport::deserialize(event).ok()?;
        let (camera, microphone) =
            (CheckedSource::of(&report, user, Source::Camera)?, CheckedSource::of(&report, user, Source::Microphone)?);
        Some(Self { cipher: report.cipher, camera, microphone })
    }

    /// So much came that it can be judged.
    pub(super) fn is_enough(&self) -> bool {
        self.camera.checked.frames_ok >= PICTURES && self.microphone.checked.frames_ok >= SPEECH
    }

    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<()> {
        self.camera.check().with_context(|| self.camera.words("pictures"))?;
        self.microphone.check().with_context(|| self.microphone.words("speech"))?;
        let CheckedSource { report, checked } = &self.camera;
        ensure!(report.key_frame_first, "the first picture is no key frame");
        ensure!(checked.skips == 0, "pictures go on {} times at another place without a key frame", checked.skips);
        let (skips, explained) = (self.microphone.checked.skips, self.microphone.report.lost + checked.restarts);
        ensure!(skips <= explained, "speech skips {skips} times; losses and new starts explain {explained}");
        let cipher = self.cipher.as_deref().unwrap_or("none");
        ensure!(cipher.starts_with("AEAD_AES_") && cipher.ends_with("_GCM"), "the cipher is no AES-GCM, but {cipher}");
        Ok(())
    }

    pub(super) fn facts(&self) -> Value {
        let Self { cipher, camera, microphone } = self;
        json!({
            "cipher": cipher, "pictures": camera.checked.frames_ok, "speech": microphone.checked.frames_ok,
            "altered": camera.checked.frames_bad + microphone.checked.frames_bad,
            "key_frame_first": camera.report.key_frame_first,
            "skipped": camera.checked.skips + microphone.checked.skips,
            "packets": camera.report.packets + microphone.report.packets,
            "lost": camera.report.lost + microphone.report.lost,
        })
    }
}

impl CheckedSource {
    /// Of the user's latest participation.
    fn of(report: &MediaReport, user: &str, source: Source) -> Option<Self> {
        let is_it = |s: &&SourceReport| s.source == source && s.user.as_ref().is_some_and(|name| name.0 == user);
        let report = report.received.iter().rfind(is_it)?;
        Some(Self { report: report.clone(), checked: report.checked? })
    }

    fn check(&self) -> Result<()> {
        let Self { report, checked } = self;
        ensure!(checked.frames_bad == 0, "{} frames were altered, or are of somebody else", checked.frames_bad);
        ensure!(2 * checked.in_order > checked.frames_ok, "only {} frames are in order", checked.in_order);
        let explained = report.lost > 0 || checked.restarts > 0;
        ensure!(report.dropped == 0 || explained, "{} frames are not whole, although nothing was lost", report.dropped);
        Ok(())
    }

    fn words(&self, what: &str) -> String {
        format!("{what} did not arrive as sent\n  report: {}", serde_json::to_string(&self.report).unwrap_or_default())
    }
}

/// How many frames a report calls altered, of all sources.
pub(super) fn altered(event: &Value) -> u64 {
    let sources = event["sources"].as_array().into_iter().flatten();
    sources.filter_map(|source| source["frames_bad"].as_u64()).sum()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    const CAMERA: usize = 0;
    const MICROPHONE: usize = 1;

    fn source(source: &str, frames: u64) -> Value {
        json!({
            "participation": "01a20d04-2d5e-74ab-89eb-945d15422f64", "user": "bob", "source": source,
            "packets": 2 * frames, "bytes": 1_000, "lost": 0, "late": 0, "frames": frames, "key_frames": 1,
            "dropped": 0, "first_frame_ms": 40, "key_frame_first": true,
            "frames_ok": frames, "frames_bad": 0, "in_order": frames, "restarts": 0, "skips": 0,
        })
    }

    /// A report as a terminal prints it, all well, with some fields of one source set to other values.
    fn report(at: usize, changes: Value) -> Value {
        let mut event = json!({
            "event": "media", "meeting": "01a20d04-2d5c-7029-a9a1-90e62f918722", "connected": true, "admitted": true,
            "cipher": "AEAD_AES_256_GCM", "unassigned_packets": 0,
            "sent": { "pictures": 40, "picture_packets": 80, "speech_packets": 100, "key_frame_requests": 1 },
            "sources": [source("camera", 40), source("microphone", 100)],
        });
        let source = event["sources"][at].as_object_mut().unwrap();
        source.extend(changes.as_object().unwrap().clone());
        event
    }

    fn judge(event: &Value) -> Result<()> {
        let received = Received::of(event, "bob").unwrap();
        assert!(received.is_enough());
        received.check()
    }

    #[test]
    fn a_whole_run_is_good() {
        judge(&report(CAMERA, json!({}))).unwrap();
    }

    #[test]
    fn what_a_loss_or_a_new_start_explains_is_good() {
        judge(&report(CAMERA, json!({ "lost": 2, "dropped": 5, "in_order": 38, "restarts": 2 }))).unwrap();
        judge(&report(MICROPHONE, json!({ "lost": 3, "in_order": 97, "skips": 3 }))).unwrap();
        let mut again = report(MICROPHONE, json!({ "in_order": 99, "skips": 1 }));
        again["sources"][CAMERA]["restarts"] = 1.into();
        judge(&again).unwrap();
    }

    #[test]
    fn each_bad_report_is_caught() {
        let bad = [
            (CAMERA, json!({ "frames_ok": 39, "frames_bad": 1, "in_order": 39 }), "altered"),
            (MICROPHONE, json!({ "frames_ok": 99, "frames_bad": 1, "in_order": 99 }), "altered"),
            (CAMERA, json!({ "key_frame_first": false }), "no key frame"),
            (CAMERA, json!({ "in_order": 39, "skips": 1, "lost": 9 }), "another place"),
            (CAMERA, json!({ "in_order": 15, "restarts": 25 }), "in order"),
            (CAMERA, json!({ "dropped": 1 }), "not whole"),
            (MICROPHONE, json!({ "in_order": 99, "skips": 1 }), "speech skips"),
            (MICROPHONE, json!({ "in_order": 98, "skips": 2, "lost": 1 }), "speech skips"),
            (MICROPHONE, json!({ "in_order": 40, "skips": 60, "lost": 60 }), "in order"),
        ];
        for (at, changes, why) in bad {
            let error = judge(&report(at, changes.clone())).expect_err("a bad report was not caught");
            assert!(format!("{error:#}").contains(why), "{changes}: {error:#}");
        }
    }

    #[test]
    fn only_aes_gcm_is_good_enough() {
        for cipher in [json!("AES_CM_128_HMAC_SHA1_80"), json!("unknown"), Value::Null] {
            let mut event = report(CAMERA, json!({}));
            event["cipher"] = cipher;
            assert!(judge(&event).unwrap_err().to_string().contains("AES-GCM"));
        }
    }

    #[test]
    fn little_is_not_enough_and_nothing_cannot_be_judged() {
        assert!(!Received::of(&report(CAMERA, json!({ "frames_ok": 29 })), "bob").unwrap().is_enough());
        assert!(!Received::of(&report(MICROPHONE, json!({ "frames_ok": 49 })), "bob").unwrap().is_enough());
        assert!(Received::of(&report(CAMERA, json!({})), "carol").is_none());
    }

    #[test]
    fn altered_frames_of_anybody_are_counted() {
        assert_eq!(altered(&report(MICROPHONE, json!({ "frames_bad": 3 }))), 3);
        assert_eq!(altered(&report(CAMERA, json!({}))), 0);
    }
}
