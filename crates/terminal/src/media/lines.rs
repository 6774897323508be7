//! The m-lines of the one offer, and what each is for.

use signalling::join::SLOTS_CHANNEL;
use signalling::{Profile, Purpose};
use std::collections::BTreeMap;
use str0m::Rtc;
use str0m::change::SdpPendingOffer;
use str0m::error::RtcError;
use str0m::media::{Direction, MediaKind, Mid};

pub(crate) struct MediaLines {
    pub(crate) microphone: Mid,
    pub(crate) camera: Mid,
    screen: Mid,
    audio_slots: Vec<Mid>,
    video_slots: Vec<Mid>,
}

/// Adds all lines and returns the offer's SDP.
pub(crate) fn offer(rtc: &mut Rtc, profile: Profile) -> Result<(String, SdpPendingOffer, MediaLines), RtcError> {
    let (videos, audios) = profile.slots();
    let mut api = rtc.sdp_api();
    let mut add = |kind, direction| api.add_media(kind, direction, None, None, None);
    let lines = MediaLines {
        microphone: add(MediaKind::Audio, Direction::SendOnly),
        camera: add(MediaKind::Video, Direction::SendOnly),
        screen: add(MediaKind::Video, Direction::SendOnly),
        audio_slots: (0..audios).map(|_| add(MediaKind::Audio, Direction::RecvOnly)).collect(),
        video_slots: (0..videos).map(|_| add(MediaKind::Video, Direction::RecvOnly)).collect(),
    };
    api.add_channel(SLOTS_CHANNEL.to_owned());
    let (offer, pending) = api.apply().ok_or(RtcError::ChangesOutOfOrder)?;
    Ok((offer.to_sdp_string(), pending, lines))
}

impl MediaLines {
    pub(crate) fn purposes(&self) -> BTreeMap<String, Purpose> {
        let sends =
            [(self.microphone, Purpose::Microphone), (self.camera, Purpose::Camera), (self.screen, Purpose::Screen)];
        let audio = self.audio_slots.iter().map(|mid| (*mid, Purpose::AudioSlot));
        let video = self.video_slots.iter().map(|mid| (*mid, Purpose::VideoSlot));
        sends.into_iter().chain(audio).chain(video).map(|(mid, purpose)| (mid.to_string(), purpose)).collect()
    }

    /// The mid of each receiving line, and whether it carries pictures.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (String, bool)> {
        let audio = self.audio_slots.iter().map(|mid| (mid.to_string(), false));
        audio.chain(self.video_slots.iter().map(|mid| (mid.to_string(), true)))
    }
}
