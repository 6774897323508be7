//! Media and signalling connections of the members, as the RTC server and the broker report them.

use crate::machine::decision::Decision;
use crate::machine::document::{MediaState, Member};
use crate::machine::event::MediaChange;
use signalling::{ClientId, ParticipationId};
use std::collections::BTreeSet;

impl Decision<'_> {
    pub(super) fn media(&mut self, participation: ParticipationId, change: MediaChange) {
        if change == MediaChange::Replaced {
            return;
        }
        let now_ms = self.now_ms;
        let meeting = &mut self.meeting;
        if let Some(member) = meeting.members.iter_mut().find(|member| member.participation == participation) {
            member.set_media(member.media.after(change), now_ms);
        }
        let there = matches!(change, MediaChange::Joined | MediaChange::Back);
        let open = meeting.invitations.iter_mut().filter(|ring| ring.state.is_open());
        for device in open.flat_map(|ring| &mut ring.devices).filter(|device| device.participation == participation) {
            device.warm = there;
        }
    }

    /// All that is connected now, whatever was reported: a member in the same state as before keeps the time of its
    /// change.
    pub(super) fn connected(&mut self, connected: &BTreeSet<ParticipationId>) {
        let members = self.meeting.members.iter().map(|member| member.participation);
        let devices = self.meeting.pending().flat_map(|ring| &ring.devices).map(|device| device.participation);
        for participation in members.chain(devices).collect::<Vec<_>>() {
            self.media(participation, MediaChange::found(connected.contains(&participation)));
        }
    }

    pub(super) fn online(&mut self, client: &ClientId, online: bool) {
        let now_ms = self.now_ms;
        for member in self.meeting.members.iter_mut().filter(|member| member.client == *client) {
            member.set_online(online, now_ms);
        }
    }

    pub(super) fn clean_disconnect(&mut self, client: &ClientId) {
        self.online(client, false);
        for member in self.meeting.members.iter_mut().filter(|member| member.client == *client) {
            member.said_goodbye = true;
        }
    }

    /// Media that was closed and has not come back is shown as absent; the time of the change stays.
    pub(super) fn show_closed(&mut self) {
        let (is_over, rules) = (self.over(), self.rules);
        let over = |member: &&mut Member| member.shown_closed_at_ms(rules).is_some_and(&is_over);
        self.meeting.members.iter_mut().filter(over).for_each(|member| member.media = MediaState::Absent);
    }

    /// Marks the members that are online and have had no media for long.
    pub(super) fn show_no_media(&mut self) {
        let (is_over, rules) = (self.over(), self.rules);
        let over = |member: &&mut Member| member.no_media_at_ms(rules).is_some_and(&is_over);
        self.meeting.members.iter_mut().filter(over).for_each(|member| member.no_media = true);
    }

    /// After a start of the service: sets what is connected; times without connection begin anew, rings keep their
    /// deadlines.
    pub(super) fn restarted(&mut self, connected: &BTreeSet<ParticipationId>, online: &BTreeSet<ClientId>) {
        let now_ms = self.now_ms;
        for member in &mut self.meeting.members {
            let there = connected.contains(&member.participation);
            member.set_media(member.media.after(MediaChange::found(there)), now_ms);
            member.media_since_ms = now_ms;
            member.set_online(online.contains(&member.client), now_ms);
            member.online_since_ms = now_ms;
            member.said_goodbye = false;
        }
        self.mark_answered();
        for device in self.meeting.invitations.iter_mut().flat_map(|ring| &mut ring.devices) {
            device.warm = connected.contains(&device.participation);
        }
    }
}

impl MediaState {
    fn after(self, change: MediaChange) -> Self {
        match (self, change) {
            (_, MediaChange::Joined | MediaChange::Back) => Self::There,
            (Self::There, MediaChange::Lost | MediaChange::Left) => Self::Lost,
            (Self::There, MediaChange::Closed) => Self::Closed,
            // Media that was lost before it was closed stays lost to the others.
            (now, _) => now,
        }
    }
}

impl MediaChange {
    /// The change that corresponds to a look at the present state.
    fn found(connected: bool) -> Self {
        if connected { Self::Back } else { Self::Left }
    }
}
