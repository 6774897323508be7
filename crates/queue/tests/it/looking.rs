//! What an owner sees of messages, and takes out of their topics.

use std::time::Duration;

use queue::{AdminError, Engine, GroupOptions, Look, MessageId, Queue, TopicName};
use tokio::time::timeout;

use crate::space::work_until_log_begins_at;
use crate::world::{World, bodies, by, group_name, owned, send_patiently, text, topic, topic_name};

fn look(newest_first: bool, max: usize) -> Look {
    Look { topic: topic(), newest_first, after: None, max, bytes_max: 1 << 20 }
}

/// Bodies of a look, and whether there is more.
fn seen(engine: &Engine, look: &Look) -> (Vec<String>, bool) {
    let (seen, has_more) = engine.look(look).unwrap();
    let body = |seen: queue::Seen| String::from_utf8(seen.message.unwrap().body.to_vec()).unwrap();
    (seen.into_iter().map(body).collect(), has_more)
}

async fn filled(count: usize) -> (World, Vec<MessageId>) {
    let world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(world.send(&n.to_string()).await);
    }
    (world, ids)
}

#[tokio::test]
async fn messages_are_looked_at_from_either_end_in_parts_and_stay_as_they_are() {
    let (world, ids) = filled(5).await;
    assert_eq!(seen(&world.engine, &look(false, 100)), (["0", "1", "2", "3", "4"].map(str::to_owned).to_vec(), false));
    assert_eq!(seen(&world.engine, &look(true, 2)), (["4", "3"].map(str::to_owned).to_vec(), true));
    let behind = |at: usize, newest_first| Look { after: Some(ids[at].clone()), ..look(newest_first, 2) };
    assert_eq!(seen(&world.engine, &behind(3, true)), (["2", "1"].map(str::to_owned).to_vec(), true));
    assert_eq!(seen(&world.engine, &behind(2, false)), (["3", "4"].map(str::to_owned).to_vec(), false));
    let narrow = Look { bytes_max: 1, ..look(false, 100) };
    assert_eq!(seen(&world.engine, &narrow), (vec!["0".to_owned()], true), "one at least");
    assert_eq!(seen(&world.engine, &look(false, 0)), (Vec::new(), true));
    let due = world.receive_due().await;
    assert_eq!(bodies(&due), (0..5).map(|n| (n.to_string(), 1)).collect::<Vec<_>>(), "nobody has received them");

    let nowhere = Look { topic: topic_name("none"), ..look(true, 1) };
    assert_eq!(world.engine.look(&nowhere), Err(AdminError::UnknownTopic(topic_name("none"))));
    for wrong in ["", "1", "00000000000000zz", "+000000000000001"] {
        let wrong = MessageId::new(wrong);
        let after = Look { after: Some(wrong.clone()), ..look(true, 1) };
        assert_eq!(world.engine.look(&after), Err(AdminError::MessageId(wrong)));
    }
    assert_eq!(world.engine.topics(), [topic()]);
    assert_eq!(world.engine.describe_all()[0].messages, 5);
}

#[tokio::test]
async fn a_message_that_was_taken_out_stays_out_after_a_power_cut_and_the_others_stay() {
    let (mut world, ids) = filled(4).await;
    assert_eq!(world.engine.remove(&topic(), &ids[1]).await, Ok(true));
    assert_eq!(world.engine.remove(&topic(), &ids[1]).await, Ok(false), "it is gone");
    assert_eq!(world.engine.remove(&topic(), &MessageId::new("no id")).await, Ok(false));
    let nowhere: TopicName = topic_name("none");
    assert_eq!(world.engine.remove(&nowhere, &ids[0]).await, Err(AdminError::UnknownTopic(nowhere)));
    for _ in 0..2 {
        assert_eq!(seen(&world.engine, &look(false, 9)).0, ["0", "2", "3"]);
        world.cut_power();
    }
    assert_eq!(bodies(&world.receive_due().await).len(), 3);
}

#[tokio::test]
async fn whoever_has_been_handed_the_message_acknowledges_it_all_the_same() {
    let (mut world, ids) = filled(2).await;
    let due = world.receive_due().await;
    assert_eq!(world.engine.remove(&topic(), &ids[0]).await, Ok(true));
    for delivery in due {
        world.engine.ack(delivery.receipt).await.unwrap();
    }
    world.cut_power();
    assert_eq!((world.receive_due().await.len(), world.engine.describe(topic()).await.unwrap().messages), (0, 0));
}

#[tokio::test]
async fn what_was_taken_out_does_not_come_back_with_the_copies_of_what_was_not() {
    let mut world = World::with(owned()).await;
    world.engine.create_group(group_name("idle"), GroupOptions::default()).await.unwrap();
    world.engine.receive(by("idle")).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(world.send(&n.to_string()).await);
    }
    // Copied once, then taken out, then the log gives back what said so.
    work_until_log_begins_at(&world, 8).await;
    for id in [&ids[1], &ids[4]] {
        assert_eq!(world.engine.remove(&topic(), id).await, Ok(true));
    }
    work_until_log_begins_at(&world, 30).await;
    send_patiently(&world.engine, &topic(), text("last")).await.unwrap();
    for _ in 0..2 {
        world.cut_power();
        assert_eq!(seen(&world.engine, &look(false, 9)).0, ["0", "2", "3", "5", "last"]);
    }
}

#[tokio::test]
async fn a_message_that_is_tried_again_is_in_one_topic_alone_after_a_power_cut() {
    let (mut world, ids) = filled(3).await;
    let again = topic_name("again");
    world.engine.create_topic(again.clone()).await.unwrap();
    let look_at = |engine: &Engine, id: &MessageId| engine.look_at(&topic(), id).unwrap();
    let letter = look_at(&world.engine, &ids[1]).unwrap();
    assert_eq!((letter.message_id, letter.message.as_ref().unwrap().body.as_ref()), (ids[1].clone(), b"1".as_slice()));
    let message = letter.message.unwrap();
    let new = world.engine.redrive(&topic(), &ids[1], &again, &message).await.unwrap().unwrap();
    assert_eq!(world.engine.redrive(&topic(), &ids[1], &again, &message).await, Ok(None), "it is there no more");
    assert_eq!(look_at(&world.engine, &ids[1]), None);
    assert_eq!(world.engine.describe_all().iter().map(|topic| topic.messages).collect::<Vec<_>>(), [2, 1]);
    assert!(world.engine.describe_all().iter().all(|topic| topic.bytes > 0));
    world.cut_power();
    assert_eq!(seen(&world.engine, &look(false, 9)), (["0", "2"].map(str::to_owned).to_vec(), false));
    let moved = Look { topic: again.clone(), ..look(false, 9) };
    assert_eq!(seen(&world.engine, &moved), (vec!["1".to_owned()], false));
    assert_eq!(world.engine.look_at(&again, &new).unwrap().unwrap().message, Some(message));
}

#[tokio::test]
async fn of_a_message_that_is_tried_again_a_power_cut_at_any_moment_leaves_one() {
    for waits in [false, true] {
        let (mut world, ids) = filled(2).await;
        let (from, again, message) = (topic(), topic_name("again"), text("1"));
        world.engine.create_topic(again.clone()).await.unwrap();
        let redrive = world.engine.redrive(&from, &ids[1], &again, &message);
        if waits {
            redrive.await.unwrap();
        } else {
            // Appended; whether it is on the disk is not waited for.
            let _ = timeout(Duration::ZERO, redrive).await;
        }
        world.cut_power();
        let count = |name: &TopicName| {
            let all = Look { topic: name.clone(), ..look(false, 9) };
            seen(&world.engine, &all).0.iter().filter(|body| *body == "1").count()
        };
        assert_eq!(count(&from) + count(&again), 1, "waits: {waits}");
        assert!(!waits || count(&again) == 1);
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_tried_again_stays_where_it_is() {
    let (world, ids) = filled(1).await;
    let nowhere = topic_name("none");
    let refused = world.engine.redrive(&topic(), &ids[0], &nowhere, &text("0")).await;
    assert_eq!(refused, Err(queue::SendError::UnknownTopic(nowhere.clone())));
    assert_eq!(world.engine.redrive(&nowhere, &ids[0], &topic(), &text("0")).await, Ok(None));
    assert_eq!(world.engine.redrive(&topic(), &MessageId::new("no id"), &topic(), &text("0")).await, Ok(None));
    assert_eq!(seen(&world.engine, &look(false, 9)), (vec!["0".to_owned()], false));
    assert!(world.engine.topics_of(&group_name("group")).is_empty(), "it has received from none yet");
    world.receive_due().await;
    assert_eq!(world.engine.topics_of(&group_name("group")), [topic()]);
}
