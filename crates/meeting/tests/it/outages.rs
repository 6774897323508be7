//! Outages: the catalog accepts nothing for a while, or events of the RTC server are missing, and the outcome is the
//! same as without them.

use crate::held::Write;
use crate::world::{World, channel, until};
use meeting::contract::Rig as _;
use meeting::machine::Ticket;
use signalling::{ClientId, DownBody, MeetingId, MemberState, UpBody};
use std::collections::BTreeMap;
use std::time::Duration;

impl World {
    /// Joins the channel as the answer to `state` says.
    async fn joins(
        &mut self,
        client: &str,
        meeting: MeetingId,
    ) -> (signalling::ChannelId, signalling::ParticipationId) {
        let join = self.state(client).await.call.unwrap().join.unwrap();
        let ticket = Ticket {
            meeting,
            user: join.user.clone(),
            client: ClientId(crate::world::client_id(client)),
            participation: join.participation,
            rev: self.claims(&join).rev,
            profile: join.profile,
        };
        let connection = self.rtc.join(ticket).await.unwrap();
        self.until_shown(client, meeting, MemberState::In).await;
        connection
    }

    async fn shown(&mut self, client: &str, meeting: MeetingId) -> MemberState {
        let user = client.split('.').next().unwrap();
        self.ask("alice.phone", meeting, UpBody::Roster {}).await;
        loop {
            let answer = self.next("alice.phone").await;
            if let (DownBody::Roster(roster), Some(_)) = (answer.body, answer.envelope.in_reply_to) {
                return roster.members.iter().find(|member| member.user.as_str() == user).unwrap().state;
            }
        }
    }

    async fn until_shown(&mut self, client: &str, meeting: MeetingId, state: MemberState) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.shown(client, meeting).await != state {
            assert!(std::time::Instant::now() < deadline, "{client} is not shown as {state:?}");
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
    }

    /// How many messages were hidden for the whole time at least twice.
    fn hidden_again(&self) -> usize {
        let mut hidings = BTreeMap::<String, usize>::new();
        for hiding in self.hidden().into_iter().filter(|hiding| hiding.invisible == self.config.invisible) {
            *hidings.entry(hiding.message).or_default() += 1;
        }
        hidings.values().filter(|count| **count >= 2).count()
    }

    async fn until_refused(&self, write: impl Fn(&Write) -> bool) {
        until("a write is refused", async || self.hold.written().iter().any(&write)).await;
    }
}

#[tokio::test]
async fn who_goes_while_the_catalog_takes_nothing_is_offline_after_it() {
    let mut world = World::new().await;
    world.set_attempts_max(1).await;
    world.hold.refuse_writes(true);
    world.disconnects("carol.phone").await;
    world.until_refused(|write| matches!(write, Write::OnlineEvents(_))).await;
    world.until_the_gate_is_tried().await;
    let receives = world.receives();
    world.disconnects("bob.laptop").await;
    world.ask("alice.phone", None, UpBody::State {}).await;
    world.until_the_gate_is_tried().await;
    assert_eq!(world.receives(), receives, "nothing is received while the gate is closed");
    world.hold.refuse_writes(false);
    world.until_online("carol.phone", false).await;
    world.until_online("bob.laptop", false).await;
    world.state("alice.phone").await;
}

/// The gate opens for small writes, and what it lets in is refused again.
#[tokio::test]
async fn an_almost_full_disk_costs_a_request_no_hand_out() {
    let mut world = World::new().await;
    world.set_attempts_max(1).await;
    world.hold.refuse_large_writes(true);
    world.call("alice.phone", &["bob"]).await;
    for _ in 0..2 {
        world.until_refused(|write| *write == Write::Commit).await;
    }
    world.hold.refuse_large_writes(false);
    world.expect("alice.phone", "admitted").await;
    world.expect("bob.phone", "invitation").await;
}

#[tokio::test]
async fn an_almost_full_disk_costs_an_event_no_hand_out() {
    let world = World::new().await;
    world.set_attempts_max(1).await;
    world.hold.refuse_large_writes(true);
    world.disconnects("carol.phone").await;
    for _ in 0..2 {
        world.until_refused(|write| matches!(write, Write::OnlineEvents(_))).await;
    }
    world.hold.refuse_large_writes(false);
    world.until_online("carol.phone", false).await;
}

#[tokio::test]
async fn what_waits_for_the_catalog_stays_hidden_in_the_queue() {
    let world = World::with(|config| config.invisible = INVISIBLE).await;
    world.hold.refuse_writes(true);
    world.disconnects("carol.phone").await;
    world.until_refused(|write| matches!(write, Write::OnlineEvents(_))).await;
    until("its time has begun anew", async || world.hidden_again() == 1).await;
    world.hold.refuse_writes(false);
    world.until_online("carol.phone", false).await;
}

#[tokio::test]
async fn a_request_that_takes_long_stays_hidden_in_the_queue_and_those_behind_it_too() {
    let mut world = World::with(|config| (config.invisible, config.requests_at_once_max) = (INVISIBLE, 1)).await;
    let open = world.rtc.hold_opens();
    world.call("alice.phone", &["bob"]).await;
    until("its time has begun anew", async || world.hidden_again() == 1).await;
    world.ask("bob.phone", None, UpBody::State {}).await;
    until("that of both has", async || world.hidden_again() == 2).await;
    open.send(true).unwrap();
    world.expect("alice.phone", "admitted").await;
    world.find("bob.phone", "state").await;
}

/// More than the service takes before its first write is refused: some wait where they were received.
#[tokio::test]
async fn all_of_a_burst_that_was_received_stays_hidden_in_the_queue() {
    let mut world = World::with(|config| (config.invisible, config.requests_burst_max) = (INVISIBLE, BURST)).await;
    world.crash().await;
    for _ in 0..BURST {
        world.call("alice.phone", &["bob"]).await;
    }
    world.hold.refuse_writes(true);
    world.start().await;
    world.until_the_gate_is_tried().await;
    let received = world.requests_received();
    assert!(received > 2, "a burst");
    until("the time of all has begun anew", async || world.hidden_again() == received).await;
    assert_eq!(world.requests_received(), received);
}

const BURST: u32 = 500;

const INVISIBLE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn media_that_is_lost_while_the_catalog_takes_nothing_is_shown_as_lost_after_it() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let (channel, participation) = world.joins("bob.phone", meeting).await;
    world.hold.refuse_writes(true);
    world.rtc.lose(&channel, participation);
    world.until_refused(|write| *write == Write::Commit).await;
    world.hold.refuse_writes(false);
    world.until_shown("bob.phone", meeting, MemberState::Lost).await;
}

#[tokio::test]
async fn who_joined_while_nobody_heard_the_rtc_server_is_found_by_asking_it() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.rtc.forget_events();
    world.joins("bob.phone", meeting).await;
}

#[tokio::test]
async fn an_rtc_server_that_has_forgotten_a_channel_is_told_all_of_it_again() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.joins("bob.phone", meeting).await;
    world.rtc.lose_everything();
    world.until_shown("bob.phone", meeting, MemberState::Lost).await;
    until("its channel is open", async || world.rtc.is_open(&channel(meeting))).await;
    world.joins("bob.phone", meeting).await;
}

#[tokio::test]
async fn after_an_outage_the_rtc_server_is_asked_what_was_not_heard() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let (channel, participation) = world.joins("bob.phone", meeting).await;
    world.hold.refuse_writes(true);
    world.disconnects("carol.phone").await;
    world.until_refused(|write| matches!(write, Write::OnlineEvents(_))).await;
    world.rtc.hang_up_unheard(&channel, participation);
    world.hold.refuse_writes(false);
    world.until_shown("bob.phone", meeting, MemberState::Lost).await;
}
