//! What the RTC server and the broker report.

use crate::ids::{ClientId, ParticipationId};
use crate::meeting::document::MediaState;
use crate::meeting::event::MediaChange;
use crate::meeting::turn::Turn;
use std::collections::BTreeSet;

impl Turn<'_> {
    pub(super) fn media(&mut self, participation: ParticipationId, change: MediaChange) {
        let there = match change {
            MediaChange::Joined | MediaChange::Back => true,
            MediaChange::Lost | MediaChange::Left => false,
            MediaChange::Replaced => return,
        };
        self.set_media(participation, there);
    }

    fn set_media(&mut self, participation: ParticipationId, there: bool) {
        let now_ms = self.now_ms;
        let meeting = &mut self.meeting;
        if let Some(stay) = meeting.members.iter_mut().find(|stay| stay.participation == participation) {
            stay.set_media(if there { MediaState::There } else { stay.media.without() }, now_ms);
        }
        let open = meeting.invitations.iter_mut().filter(|ring| ring.state.is_open());
        for device in open.flat_map(|ring| &mut ring.devices).filter(|device| device.participation == participation) {
            device.warm = there;
        }
    }

    /// What is connected now, whatever was reported: who is in the same state as before is so since the same moment.
    pub(super) fn connected(&mut self, connected: &BTreeSet<ParticipationId>) {
        let stays = self.meeting.members.iter().map(|stay| stay.participation);
        let devices = self.meeting.pending().flat_map(|ring| &ring.devices).map(|device| device.participation);
        for participation in stays.chain(devices).collect::<Vec<_>>() {
            self.set_media(participation, connected.contains(&participation));
        }
    }

    pub(super) fn online(&mut self, client: &ClientId, online: bool) {
        let now_ms = self.now_ms;
        for stay in self.meeting.members.iter_mut().filter(|stay| stay.client == *client) {
            stay.set_online(online, now_ms);
        }
    }

    /// What was connected is known anew; times without connection begin anew, rings keep their deadlines.
    pub(super) fn restarted(&mut self, connected: &BTreeSet<ParticipationId>, online: &BTreeSet<ClientId>) {
        let now_ms = self.now_ms;
        for stay in &mut self.meeting.members {
            let there = connected.contains(&stay.participation);
            stay.media = if there { MediaState::There } else { stay.media.without() };
            stay.media_since_ms = now_ms;
            stay.online = online.contains(&stay.client);
            stay.online_since_ms = now_ms;
        }
        for device in self.meeting.invitations.iter_mut().flat_map(|ring| &mut ring.devices) {
            device.warm = connected.contains(&device.participation);
        }
    }
}

impl MediaState {
    fn without(self) -> Self {
        match self {
            Self::Absent => Self::Absent,
            Self::There | Self::Lost => Self::Lost,
        }
    }
}
