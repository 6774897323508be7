//! Messages that an owner publishes, sees and drops, from the command line.

use crate::owner_command_line::{Desk, PATIENCE, opened, service};
use anyhow::{Context, Result, ensure};
use demo::Stage;
use mqtt::Version;
use scenarios::link::Link;
use serde_json::{Value, json};
use std::net::SocketAddr;

const DEVICE: &str = "GID_phone@@@d1";

async fn world(folder: &std::path::Path, rule: &str) -> Result<(Stage, Desk)> {
    let (stage, desk) = opened(folder).await?;
    desk.does("groups create GID_phone")?;
    desk.does(&format!("topics create orders --rule {rule}"))?;
    Ok((stage, desk))
}

fn items(list: &Value) -> Result<&Vec<Value>> {
    list["items"].as_array().with_context(|| format!("no list: {list}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_one_client_waits_for_it_and_reaches_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = world(folder.path(), "none").await?;
    let login = desk.reads("devices create ann --group GID_phone --device d1")?;
    let published = desk.reads(&format!("messages publish orders/p2p/{DEVICE} first"))?;
    let stored = |online: bool| json!({ "client_id": DEVICE, "online": online, "outcome": "stored" });
    assert_eq!(published, json!({ "receiver": stored(false) }));
    let mut device = Link::open(SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port())), Version::V5, &login)?;
    assert_eq!(device.message(PATIENCE)?.payload, b"first");
    std::fs::write(desk.folder.join("bytes"), [0, 255])?;
    let published = desk.reads(&format!("messages publish orders/p2p/{DEVICE} --payload-file bytes"))?;
    assert_eq!(published, json!({ "receiver": stored(true) }));
    assert_eq!(device.message(PATIENCE)?.payload, [0, 255]);
    let said = desk.does(&format!("messages publish orders/p2p/{DEVICE} now --qos 0"))?;
    assert_eq!(said, format!("{DEVICE} (connected): sent\n"));
    assert_eq!(device.message(PATIENCE)?.payload, b"now");
    let nobody = desk.reads("messages publish orders/p2p/GID_phone@@@none lost")?;
    assert_eq!(nobody["receiver"]["outcome"], "nobody");
    desk.fails(
        "messages publish nothing/x lost",
        1,
        &["cannot publish to nothing/x", "the parent topic does not exist"],
    )?;
    desk.fails("messages publish $SYS/x lost", 1, &["belong to the broker"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_subscribers_with_the_rights_of_the_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = world(folder.path(), "none").await?;
    let secret = desk.does("keys create billing --kind access --scopes topics")?;
    let mut billing = service(&stage, "billing", secret.trim(), "GID_phone@@@billing")?;
    let nobody = desk.reads("messages publish orders/new early")?;
    assert_eq!(nobody, json!({ "subscribers": { "online": 0, "inboxes": 0, "outcome": "nobody" } }));
    billing.subscribe("orders/#")?;
    let published = desk.reads("messages publish orders/new hello")?;
    assert_eq!(published, json!({ "subscribers": { "online": 1, "inboxes": 1, "outcome": "stored" } }));
    assert_eq!(billing.message(PATIENCE)?.payload, b"hello");

    desk.does("keys create rings --kind api --scopes devices --secret-file rings.json")?;
    let url = stage.url("");
    let forbidden = format!("messages publish orders/new no --url {url} --key-file rings.json");
    desk.fails(&forbidden, 1, &["the scope topics"])
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_the_queue_are_seen_and_dead_letters_dropped_for_good() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut stage, desk) = world(folder.path(), "to_queue").await?;
    let mut ids = Vec::new();
    for number in 0..3 {
        let published = desk.reads(&format!("messages publish orders/new number-{number}"))?;
        assert_eq!(published["queue"]["topic"], "orders");
        ids.push(published["queue"]["message_id"].clone());
    }
    let list = desk.reads("messages list orders --limit 2")?;
    let found: Vec<_> = items(&list)?.iter().map(|item| (&item["message_id"], item["payload"].as_str())).collect();
    assert_eq!(found, [(&ids[2], Some("number-2")), (&ids[1], Some("number-1"))]);
    ensure!(list["next"].is_string(), "{list}");
    let oldest = desk.does("messages list orders --oldest")?;
    ensure!(oldest.find("number-0") < oldest.find("number-2") && oldest.contains("owner"), "{oldest}");
    desk.fails("messages list none", 1, &["there is no queue topic none"])?;
    assert_eq!(desk.reads("messages dead-letters convoke-broker")?, json!({ "items": [] }));

    // The broker gives up what the queue has for a client that nobody knows.
    desk.does("topics create down --rule both")?;
    for number in 0..2 {
        desk.does(&format!("messages publish down/p2p/GID_phone@@@none lost-{number}"))?;
    }
    let letters = || desk.reads("messages dead-letters convoke-broker --oldest");
    let give_up = std::time::Instant::now() + PATIENCE;
    while items(&letters()?)?.len() < 2 {
        ensure!(std::time::Instant::now() < give_up, "no dead letters: {}", letters()?);
    }
    let dead = letters()?;
    let first = items(&dead)?[0]["message_id"].as_str().context("no id")?;
    let drop = format!("messages drop convoke-broker {first}");
    desk.fails(&drop, 2, &["remedy: give --yes"])?;
    desk.does(&format!("{drop} --yes"))?;
    desk.fails(&format!("{drop} --yes"), 1, &["there is no dead letter"])?;
    stage.kill_server().await?;
    stage.start_server().await?;
    let left = letters()?;
    assert_eq!(items(&left)?.iter().map(|item| item["payload"].as_str()).collect::<Vec<_>>(), [Some("lost-1")]);
    let log = desk.reads("audit list --kind dead_letter")?;
    assert_eq!(items(&log)?[0]["subject"], format!("convoke-broker/{first}"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_a_message_that_the_queue_refuses() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = world(folder.path(), "to_queue").await?;
    let secret = desk.does("keys create billing --kind access --scopes topics")?;
    let mut billing = service(&stage, "billing", secret.trim(), "GID_phone@@@billing")?;
    billing.subscribe("orders/#")?;
    // More than a PUBLISH may have, and more bytes than the queue takes.
    for (count, bytes) in [(800, 1), (100, 150)] {
        let names = (0..count).map(|number| (format!("k{number}"), json!("x".repeat(bytes))));
        let properties: serde_json::Map<_, _> = names.collect();
        let wide = json!({ "topic": "orders/new", "payload": "wide", "properties": properties });
        let refused = stage.api(demo::Method::POST, "/api/v1/messages", Some(wide)).await;
        let words = refused.err().context("the queue has taken it")?.to_string();
        ensure!(words.contains("400") && words.contains("properties"), "{words}");
    }
    let published = desk.reads("messages publish orders/new hello")?;
    assert_eq!((&published["queue"]["topic"], &published["subscribers"]["online"]), (&json!("orders"), &json!(1)));
    assert_eq!(billing.message(PATIENCE)?.payload, b"hello", "the one that was refused is not the first");
    Ok(())
}
