//! Which requests the service answers, and what it leaves to others when it is off.

use crate::operator::by;
use crate::world::{World, channel, create, new_meeting};
use catalog::Meetings;
use meeting::operator::{Act, ActError};
use queue::TopicName;
use signalling::topics::MEETING_UP;
use signalling::{RefusalCode, UpBody};

/// Others answer these.
const OTHERS: &str = "care-up";

fn topics(names: &[&str]) -> Vec<TopicName> {
    names.iter().map(|name| TopicName::parse(name).unwrap()).collect()
}

#[tokio::test]
async fn a_service_that_is_off_acts_in_nothing_and_keeps_who_is_online() {
    let mut world = World::new().await;
    let (meeting, _) = world.ringing().await;
    world.crash().await;
    world.config.topics = topics(&[]);
    world.config.rules.gone_ms = 1;
    let (received, unsent) = (world.requests_received(), world.catalog.outbox_len().await.unwrap());
    world.start().await;
    world.goes("bob.laptop").await;
    world.connects_anew("bob.laptop", 2).await;
    world.goes("alice.phone").await;
    world.call("carol.phone", &["bob"]).await;
    let act = world.operator().act(meeting.0, Act::End, by(), None).await;
    assert!(matches!(act, Err(ActError::Refused { code: RefusalCode::NotAllowed, .. })), "{act:?}");
    assert_eq!(world.requests_received(), received, "requests were taken from those who answer them");
    assert_eq!(world.catalog.live_meetings().await.unwrap(), [meeting.0]);
    assert!(!world.rtc.is_open(&channel(meeting)), "the RTC server was told something");
    assert_eq!(world.catalog.outbox_len().await.unwrap(), unsent);
    // On again, it goes on where it stood.
    world.crash().await;
    world.config.topics = topics(&[MEETING_UP]);
    world.start().await;
    world.find("bob.phone", "ended").await;
}

#[tokio::test]
async fn a_service_answers_the_topics_that_are_its_own_and_leaves_the_others() {
    let mut world = World::with(|config| config.topics = topics(&["sales-up"])).await;
    world.create_topic_of(TopicName::parse(OTHERS).unwrap(), queue::TopicType::Normal).await;
    world.create_topic_of(TopicName::parse(MEETING_UP).unwrap(), queue::TopicType::Normal).await;
    let ask = |meeting| serde_json::to_vec(&World::up(Some(meeting), create(&["bob"]))).unwrap();
    for topic in [MEETING_UP, OTHERS] {
        world.publish_to(topic, "alice.phone", ask(new_meeting())).await;
    }
    let ours = new_meeting();
    world.publish_to("sales-up", "carol.phone", ask(ours)).await;
    world.find("carol.phone", "admitted").await;
    assert_eq!(world.catalog.live_meetings().await.unwrap(), [ours.0]);
    world.expect("bob.phone", "invitation").await;
    let leave = World::up(Some(ours), UpBody::Leave {});
    world.publish_to("sales-up", "carol.phone", serde_json::to_vec(&leave).unwrap()).await;
    world.expect("bob.phone", "ended").await;
}
