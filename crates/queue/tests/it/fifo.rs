//! Messages of groups over stops.

use queue::{Delivery, GroupOptions, Message, Queue, ReceiveRequest, TopicName, TopicType};

use crate::world::{LONG, World, bodies, by, group_name, request, text, topic_name};

fn ordered() -> TopicName {
    topic_name("ordered")
}

async fn world() -> World {
    let world = World::new().await;
    world.engine.create_topic_of(ordered(), TopicType::Fifo).await.unwrap();
    for body in ["a1", "a2", "a3", "b1", "a4", "b2"] {
        let message = Message { message_group: Some(body[..1].to_owned()), ..text(body) };
        world.engine.send_wait(&ordered(), message).await.unwrap();
    }
    world
}

async fn receive_two(world: &World) -> Vec<Delivery> {
    let deliveries = world.engine.receive(ReceiveRequest { topic: ordered(), ..request(LONG, LONG) }).await.unwrap();
    assert_eq!(deliveries.len(), 2, "one of each group: {deliveries:?}");
    deliveries
}

#[tokio::test]
async fn each_message_group_goes_on_where_it_was_after_every_stop() {
    let mut world = world().await;
    let stops: [fn(&mut World); 2] = [World::cut_power, |world| {
        world.log.close().unwrap();
        world.restart();
    }];
    for (stop, expected) in stops.into_iter().zip([["a1", "b1"], ["a2", "b2"]]) {
        receive_two(&world).await;
        world.settle().await;
        stop(&mut world);
        let again = receive_two(&world).await;
        assert_eq!(bodies(&again), expected.map(|body| (body.to_owned(), 2)));
        for delivery in again {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
    }
    world.cut_power();
    for expected in ["a3", "a4"] {
        let request = ReceiveRequest { topic: ordered(), ..request(LONG, LONG) };
        let delivery = world.engine.receive(request).await.unwrap().remove(0);
        assert_eq!(bodies(std::slice::from_ref(&delivery)), [(expected.to_owned(), 1)]);
        world.engine.ack(delivery.receipt).await.unwrap();
    }
    assert_eq!(world.engine.describe(ordered()).await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_group_that_comes_late_has_an_order_of_its_own_after_a_power_cut() {
    let mut world = world().await;
    for delivery in receive_two(&world).await {
        world.engine.ack(delivery.receipt).await.unwrap();
    }
    receive_two(&world).await;
    world.engine.create_group(group_name("late"), GroupOptions::default()).await.unwrap();
    let late = || ReceiveRequest { topic: ordered(), ..by("late") };
    let expected = ["a2", "b2"].map(|body| (body.to_owned(), 1));
    assert_eq!(bodies(&world.engine.receive(late()).await.unwrap()), expected);
    world.settle().await;
    world.cut_power();
    let expected = ["a2", "b2"].map(|body| (body.to_owned(), 2));
    assert_eq!(bodies(&receive_two(&world).await), expected);
    assert_eq!(bodies(&world.engine.receive(late()).await.unwrap()), expected);
}
