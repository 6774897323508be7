//! A schedule that says which frame of a clip is sent when; pure.
//!
//! Both tracks tick in real time from [`Playback::start`] and go round the clip for ever; RTP times go on. A muted
//! track ticks on without frames. A key frame request moves the pictures to the clip's next key frame; one that
//! comes right after a key frame, which may not have reached the receiver that asks, does so a little later.
//! After a long stop (the process was frozen) the missed ticks are left out, not sent in a burst.

use crate::media::clip::{Clip, Frame, SPEECH_INTERVAL};
use signalling::Track;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A track that is later than this leaves out what it missed.
pub(super) const LATE_MAX: Duration = Duration::from_millis(500);
/// After a key frame there is no other for so long, however many ask.
const KEY_FRAME_EVERY: Duration = Duration::from_millis(100);
const VIDEO_CLOCK_HZ: u128 = 90_000;
const AUDIO_CLOCK_HZ: u128 = crate::files::opus::CLOCK_HZ as u128;

/// A frame that is due.
#[derive(Clone, Debug)]
pub struct DueFrame {
    pub track: Track,
    pub frame: Frame,
    /// In units of the track's RTP clock.
    pub rtp_time: u32,
    /// When it was due.
    pub at: Instant,
}

pub struct Playback {
    clip: Arc<Clip>,
    pictures: TrackSchedule,
    speech: TrackSchedule,
    last_key: Option<Instant>,
    key_requested: bool,
}

/// One clock of frames.
struct TrackSchedule {
    frames: usize,
    interval: Duration,
    started: Option<Instant>,
    /// Ticks since the start.
    tick: u32,
    /// Position in the clip.
    at: usize,
    muted: bool,
    /// The next frame given must be a key frame.
    key_wanted: bool,
}

impl Playback {
    pub fn new(clip: Arc<Clip>) -> Self {
        let pictures = TrackSchedule::new(clip.pictures.len(), clip.picture_interval);
        let speech = TrackSchedule::new(clip.speech.len(), SPEECH_INTERVAL);
        Self { clip, pictures, speech, last_key: None, key_requested: false }
    }

    /// Starts both tracks; a second call changes nothing.
    pub fn start(&mut self, now: Instant) {
        self.pictures.started.get_or_insert(now);
        self.speech.started.get_or_insert(now);
    }

    pub fn set_muted(&mut self, track: Track, muted: bool) {
        let schedule = match track {
            Track::Audio => &mut self.speech,
            Track::Video => &mut self.pictures,
        };
        schedule.key_wanted |= schedule.muted && !muted;
        schedule.muted = muted;
    }

    pub fn handle_key_frame_request(&mut self) {
        self.key_requested = true;
    }

    /// When [`Playback::poll_frame`] has something next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.pictures.deadline(), self.speech.deadline()].into_iter().flatten().min()
    }

    /// The next frame that is due at `now`; call until `None`.
    pub fn poll_frame(&mut self, now: Instant) -> Option<DueFrame> {
        if let Some((at, tick)) = self.speech.tick(now) {
            // Where speech was left out the pictures restart too, so that a receiver can tell a halt from a loss.
            self.pictures.key_wanted |= std::mem::take(&mut self.speech.key_wanted);
            let position = self.speech.advance(1);
            let due = self.due(Track::Audio, &self.clip.speech[position], at, tick, AUDIO_CLOCK_HZ);
            return if self.speech.muted { self.poll_frame(now) } else { Some(due) };
        }
        let (at, tick) = self.pictures.tick(now)?;
        if self.pictures.muted {
            self.pictures.advance(1);
            return self.poll_frame(now);
        }
        let rested = self.last_key.is_none_or(|at| now.duration_since(at) >= KEY_FRAME_EVERY);
        if std::mem::take(&mut self.pictures.key_wanted) || (self.key_requested && rested) {
            self.pictures.at = self.clip.next_key(self.pictures.at);
        }
        let position = self.pictures.advance(1);
        let frame = &self.clip.pictures[position];
        let due = self.due(Track::Video, frame, at, tick, VIDEO_CLOCK_HZ);
        if due.frame.key {
            self.last_key = Some(now);
            self.key_requested = false;
        }
        Some(due)
    }

    fn due(&self, track: Track, frame: &Frame, at: Instant, tick: u32, clock_hz: u128) -> DueFrame {
        let interval = match track {
            Track::Audio => self.speech.interval,
            Track::Video => self.pictures.interval,
        };
        let rtp_time = (interval * tick).as_nanos() * clock_hz / 1_000_000_000;
        DueFrame { track, frame: frame.clone(), rtp_time: rtp_time as u32, at }
    }
}

impl TrackSchedule {
    fn new(frames: usize, interval: Duration) -> Self {
        Self { frames, interval, started: None, tick: 0, at: 0, muted: false, key_wanted: false }
    }

    fn deadline(&self) -> Option<Instant> {
        let started = self.started.filter(|_| self.frames > 0)?;
        Some(started + self.interval * self.tick)
    }

    /// Takes the next tick if it is due, leaving out what is too late.
    fn tick(&mut self, now: Instant) -> Option<(Instant, u32)> {
        let late = now.checked_duration_since(self.deadline()?)?;
        if late > LATE_MAX {
            let missed = late.as_nanos() / self.interval.as_nanos().max(1);
            self.tick += missed as u32;
            self.advance(missed as usize);
            self.key_wanted = true;
        }
        let due = (self.deadline()?, self.tick);
        self.tick += 1;
        Some(due)
    }

    /// The present position; then goes on by `count`.
    fn advance(&mut self, count: usize) -> usize {
        let at = self.at;
        self.at = (at + count) % self.frames.max(1);
        at
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    struct Player {
        playback: Playback,
        start: Instant,
    }

    impl Player {
        fn new() -> Self {
            let start = Instant::now();
            let mut playback = Playback::new(Arc::new(Clip::built_in("alice").unwrap()));
            playback.start(start);
            Self { playback, start }
        }

        fn frames(&mut self, until_ms: u64, track: Track) -> Vec<DueFrame> {
            let now = self.start + Duration::from_millis(until_ms);
            let all: Vec<_> = std::iter::from_fn(|| self.playback.poll_frame(now)).collect();
            all.into_iter().filter(|due| due.track == track).collect()
        }
    }

    #[test]
    fn frames_come_in_real_time_and_rtp_times_go_on_round_the_clip() {
        let mut player = Player::new();
        let mut times = Vec::new();
        for step in 0..=100 {
            times.extend(player.frames(step * 100, Track::Video).iter().map(|due| due.rtp_time));
        }
        assert_eq!(times.len(), 151, "15 frames a second for 10 s");
        assert!(times.windows(2).all(|w| (5999..=6001).contains(&(w[1] - w[0]))), "90 kHz over 15 fps");
    }

    #[test]
    fn speech_ticks_every_20_ms() {
        let mut player = Player::new();
        let times: Vec<_> = player.frames(100, Track::Audio).iter().map(|due| due.rtp_time).collect();
        assert_eq!(times, [0, 960, 1920, 2880, 3840, 4800]);
    }

    #[test]
    fn a_key_frame_request_moves_on_to_a_key_frame_without_a_gap_in_time() {
        let mut player = Player::new();
        assert!(player.frames(0, Track::Video)[0].frame.key);
        let before = player.frames(200, Track::Video);
        player.playback.handle_key_frame_request();
        let after = player.frames(267, Track::Video);
        assert!(before.iter().all(|due| !due.frame.key));
        assert!(after[0].frame.key);
        assert_eq!(after[0].rtp_time - before.last().unwrap().rtp_time, 5999 + 1);
    }

    #[test]
    fn requests_right_after_a_key_frame_are_answered_by_one_other_a_little_later() {
        let mut player = Player::new();
        assert!(player.frames(0, Track::Video)[0].frame.key);
        player.playback.handle_key_frame_request();
        assert!(!player.frames(70, Track::Video)[0].frame.key);
        player.playback.handle_key_frame_request();
        let keys: Vec<_> = [140, 210, 280].map(|at| player.frames(at, Track::Video)[0].frame.key).to_vec();
        assert_eq!(keys, [true, false, false]);
    }

    #[test]
    fn a_muted_lane_is_silent_and_comes_back_with_a_key_frame() {
        let mut player = Player::new();
        player.frames(100, Track::Video);
        player.playback.set_muted(Track::Video, true);
        assert_eq!(player.frames(500, Track::Video).len(), 0);
        player.playback.set_muted(Track::Video, false);
        let first = &player.frames(600, Track::Video)[0];
        assert!(first.frame.key);
        assert!((40_000..54_100).contains(&first.rtp_time), "time went on: {}", first.rtp_time);
    }

    #[test]
    fn a_stop_that_is_long_for_speech_alone_begins_the_pictures_anew_too() {
        let mut player = Player::new();
        player.frames(110, Track::Video);
        let picture = &player.frames(630, Track::Video)[0];
        assert!(picture.rtp_time < 12_010, "none was left out: {}", picture.rtp_time);
        assert!(picture.frame.key);
    }

    #[test]
    fn after_a_long_stop_nothing_is_sent_in_a_burst() {
        let mut player = Player::new();
        player.frames(100, Track::Video);
        let burst = player.frames(10_000, Track::Video);
        assert!(burst.len() <= 2, "{}", burst.len());
        assert!(burst[0].frame.key);
        assert!(burst[0].rtp_time > 880_000);
    }

    #[test]
    fn a_silent_clip_never_has_anything() {
        let mut playback = Playback::new(Arc::new(Clip::silent()));
        playback.start(Instant::now());
        assert_eq!(playback.poll_timeout(), None);
        assert!(playback.poll_frame(Instant::now() + Duration::from_secs(9)).is_none());
    }
}
