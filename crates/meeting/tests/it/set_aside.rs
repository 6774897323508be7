//! Meetings and messages that are set aside: they stop nothing else.

use crate::world::{World, client_id, now_ms, until};
use catalog::{Catalog as _, MeetingChange, MeetingCommit, Meetings, NewOutboxRow, SetAside};
use signalling::topics::{MEETING_DOWN, RING_DOWN, property};
use signalling::{DownBody, Media, MeetingId, RefusalCode, UpBody};
use uuid::Uuid;

impl World {
    /// What stands in the catalog for the meeting is no document any more.
    async fn spoil(&self, meeting: MeetingId) {
        let expected = self.catalog.meeting_revision(meeting.0).await.unwrap();
        let document = "no document".to_owned();
        let change = MeetingChange { id: meeting.0, expected, document, ..MeetingChange::default() };
        self.catalog.commit(MeetingCommit { meeting: Some(change), ..MeetingCommit::default() }).await.unwrap();
    }

    async fn put_into_outbox(&self, message: NewOutboxRow) {
        self.catalog.commit(MeetingCommit { outbox: vec![message], ..MeetingCommit::default() }).await.unwrap();
    }

    async fn until_set_aside(&self, meetings: u64, messages: u64) {
        let all = SetAside { meetings, messages };
        until("it is set aside", async || *self.set_aside().borrow() == all).await;
    }
}

#[tokio::test]
async fn a_meeting_that_cannot_be_read_does_not_stop_the_start_and_binds_nobody() {
    let mut world = World::new().await;
    let spoilt = world.in_call().await;
    world.crash().await;
    world.spoil(spoilt).await;
    world.start().await;
    assert_eq!(*world.set_aside().borrow(), SetAside { meetings: 1, messages: 0 });
    assert_eq!(world.catalog.next_timer(Uuid::nil(), 0..0).await.unwrap(), None, "it wakes nobody");
    assert!(world.state("bob.phone").await.call.is_none());
    world.ask("bob.phone", spoilt, UpBody::Join {}).await;
    world.expect("bob.phone", "refused").await;
    world.in_call().await;
    world.catalog.prune(u64::MAX / 4).await.unwrap();
    assert_eq!(world.catalog.set_aside().await.unwrap(), SetAside { meetings: 1, messages: 0 }, "it is kept");
}

#[tokio::test]
async fn a_meeting_that_becomes_unreadable_ends_for_all_who_were_in() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    // As another process would.
    world.spoil(meeting).await;
    assert!(world.state("bob.phone").await.call.is_none());
    world.until_closed(meeting).await;
    world.until_set_aside(1, 0).await;
    world.in_call().await;
}

#[tokio::test]
async fn who_leaves_or_creates_a_meeting_that_is_set_aside_gets_an_answer() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.spoil(meeting).await;
    assert!(world.state("bob.phone").await.call.is_none());
    for request in [UpBody::Leave {}, UpBody::Cancel { callee: None }] {
        world.ask("bob.phone", meeting, request).await;
        let answer = world.find("bob.phone", "refused").await;
        assert!(matches!(answer.body, DownBody::Refused { code: RefusalCode::NotAllowed, .. }), "{answer:?}");
    }
    world.ask("bob.phone", meeting, UpBody::Create { callees: Vec::new(), media: Media::Audio, title: None }).await;
    let answer = world.find("bob.phone", "refused").await;
    assert!(matches!(answer.body, DownBody::Refused { code: RefusalCode::Taken, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_set_aside_and_the_next_of_its_receiver_is_sent() {
    let mut world = World::new().await;
    let properties = [("expiresAtMs", (now_ms() + 60_000).to_string())];
    let properties: Vec<_> = properties.map(|(name, value)| (name.to_owned(), value)).into();
    let lane = |topic: &str| format!("{topic} {}", client_id("bob.phone"));
    let too_large = vec![0; queue::limits::BODY_BYTES_MAX + 1];
    let row = NewOutboxRow { lane: lane(RING_DOWN), topic: RING_DOWN.to_owned(), properties, body: too_large };
    let nameless = NewOutboxRow { topic: String::new(), body: Vec::new(), ..row.clone() };
    let ordered = queue::TopicName::parse("ordered").unwrap();
    world.create_topic_of(ordered.clone(), queue::TopicType::Fifo).await;
    let of_another_type = NewOutboxRow { topic: ordered.to_string(), body: vec![1], ..row.clone() };
    let endless = vec![(property::QOS.to_owned(), "1".to_owned())];
    for row in [
        NewOutboxRow { lane: lane(MEETING_DOWN), topic: MEETING_DOWN.to_owned(), properties: endless, ..row.clone() },
        nameless,
        of_another_type,
        row,
    ] {
        world.put_into_outbox(row).await;
    }
    world.ringing().await;
    world.until_set_aside(0, 4).await;
    world.crash().await;
    world.start().await;
    assert_eq!(*world.set_aside().borrow(), SetAside { meetings: 0, messages: 4 });
}

#[tokio::test]
async fn a_topic_that_takes_nothing_holds_up_no_other() {
    let mut world = World::new().await;
    world.fill_topic(Some(RING_DOWN));
    world.call("alice.phone", &["bob"]).await;
    world.expect("alice.phone", "admitted").await;
    world.call("carol.phone", &[]).await;
    world.expect("carol.phone", "admitted").await;
    world.fill_topic(None);
    world.expect("bob.phone", "invitation").await;
    world.expect("bob.laptop", "invitation").await;
}
