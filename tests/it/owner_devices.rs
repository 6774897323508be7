//! What an owner sees of devices that are connected or away, and orders of them, from the command line.

use crate::owner_command_line::{Desk, PATIENCE, opened, service};
use anyhow::{Context, Result, ensure};
use demo::Stage;
use mqtt::client::Event;
use mqtt::{ReasonCode, Version};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::net::SocketAddr;

const DEVICE: &str = "GID_phone@@@d1";
const SERVICE: &str = "GID_phone@@@billing";

struct World {
    stage: Stage,
    desk: Desk,
    /// Of Ann's device.
    login: Value,
    secret: String,
}

impl World {
    async fn open(folder: &std::path::Path) -> Result<Self> {
        let (stage, desk) = opened(folder).await?;
        for line in ["groups create GID_phone", "topics create orders-up --rule none"] {
            desk.does(line)?;
        }
        let secret = desk.does("keys create billing --kind access --scopes topics,devices")?.trim().to_owned();
        let login = desk.reads("devices create ann --group GID_phone --device d1")?;
        Ok(Self { stage, desk, login, secret })
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port()))
    }

    fn connect(&self, login: &Value) -> Result<Link> {
        Link::open(self.server(), Version::V5, login)
    }

    fn billing(&self) -> Result<Link> {
        service(&self.stage, "billing", &self.secret, SERVICE)
    }

    /// So many messages for Ann's device.
    fn send(&self, count: usize) -> Result<()> {
        let mut billing = self.billing()?;
        for number in 0..count {
            let topic = format!("orders-up/p2p/{DEVICE}");
            billing.publish_durably(&topic, number.to_string().as_bytes(), mqtt::codec::Properties::EMPTY)?;
        }
        billing.close()
    }

    fn shown(&self) -> Result<Value> {
        self.desk.reads(&format!("devices show {DEVICE}"))
    }
}

fn expect_end(link: &mut Link, expected: ReasonCode, words: &str) -> Result<()> {
    let ended = link.wait(PATIENCE, |event| matches!(event, Event::Disconnected { .. }))?;
    let Event::Disconnected { reason, properties } = ended else { unreachable!("only the end is wanted") };
    let said = properties.view().reason_string().unwrap_or_default();
    ensure!(reason == expected && said.contains(words), "{reason:?} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_seen_as_it_is_also_after_the_server_was_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::open(folder.path()).await?;
    assert_eq!((&world.shown()?["online"], world.shown()?.get("session")), (&json!(false), None));
    let device = world.connect(&world.login)?;
    let _billing = world.billing()?;
    let shown = world.shown()?;
    let connection = &shown["connection"];
    assert_eq!(
        (&shown["online"], &shown["user"], &shown["session"]["expiry_s"]),
        (&json!(true), &json!("ann"), &json!(86_400))
    );
    assert_eq!((&connection["protocol"], &connection["tls"]), (&json!("5.0"), &json!(false)));
    let address = device.stream().local_addr()?.to_string();
    assert_eq!(connection["address"], address.as_str());
    let card = world.desk.does(&format!("devices show {DEVICE}"))?;
    ensure!(["MQTT 5.0 over TCP", &address, "user:ann"].iter().all(|words| card.contains(words)), "{card}");
    let of_service = world.desk.reads(&format!("devices show {SERVICE}"))?;
    assert_eq!((&of_service["online"], of_service.get("user")), (&json!(true), None));
    world.desk.fails("devices show GID_phone@@@none", 1, &["there is no device GID_phone@@@none"])?;

    let who = |world: &World| -> Result<Vec<Value>> {
        let list = world.desk.reads(&format!("devices query {DEVICE} GID_phone@@@none {SERVICE}"))?;
        Ok(list["items"].as_array().context("no list")?.iter().map(|item| item["online"].clone()).collect())
    };
    assert_eq!(who(&world)?, [json!(true), json!(false), json!(true)]);
    world.stage.kill_server().await?;
    world.stage.start_server().await?;
    assert_eq!(who(&world)?, [json!(false), json!(false), json!(false)]);
    let shown = world.shown()?;
    ensure!(shown["online"] == false && shown["session"]["disconnected_ms"].is_u64(), "{shown}");
    assert_eq!(world.desk.reads("devices list --user ann")?["items"][0]["online"], false);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kicked_device_comes_back_and_a_revoked_one_does_not_before_it_has_a_new_login() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::open(folder.path()).await?;
    let mut device = world.connect(&world.login)?;
    let kick = format!("devices kick {DEVICE}");
    world.desk.fails(&kick, 2, &["End the connection of GID_phone@@@d1?", "remedy: give --yes"])?;
    ensure!(world.desk.types(&format!("{kick} --yes"))?.words.contains("has ended"));
    expect_end(&mut device, ReasonCode::ADMINISTRATIVE_ACTION, "the owner of this server")?;
    ensure!(world.desk.types(&format!("{kick} --yes"))?.words.contains("was not connected"));
    let mut device = world.connect(&world.login)?;
    ensure!(device.session_present(), "its session has stayed");

    let revoked = world.desk.types(&format!("devices revoke {DEVICE} --yes"))?.words;
    ensure!(revoked.contains("devices create USER --group GID_phone --device d1"), "{revoked}");
    expect_end(&mut device, ReasonCode::NOT_AUTHORIZED, "this login is void")?;
    ensure!(world.connect(&world.login).is_err(), "the old login still lets it in");
    world.send(1)?;
    let login = world.desk.reads("devices create ann --group GID_phone --device d1")?;
    let mut device = world.connect(&login)?;
    ensure!(device.session_present(), "its session has stayed");
    assert_eq!(device.message(PATIENCE)?.payload, b"0");
    let log = world.desk.reads(&format!("audit list --kind device --subject {DEVICE}"))?;
    let actions: Vec<_> = log["items"].as_array().context("no list")?.iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["update", "revoke", "kick", "kick", "create"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_does_not_come_back_after_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::open(folder.path()).await?;
    world.connect(&world.login)?.close()?;
    world.send(30)?;
    let inbox = |world: &World| -> Result<Value> { Ok(world.shown()?["inbox"]["messages"].clone()) };
    assert_eq!(inbox(&world)?, 30);
    let purge = format!("devices purge {DEVICE}");
    world.desk.fails(&purge, 2, &["Drop what waits for GID_phone@@@d1?"])?;
    let purged = world.desk.reads(&format!("{purge} --yes"))?;
    assert_eq!(purged, json!({ "purged": 30, "in_flight": 0 }));
    world.stage.kill_server().await?;
    world.stage.start_server().await?;
    assert_eq!(inbox(&world)?, 0);
    world.send(2)?;
    let mut device = world.connect(&world.login)?;
    ensure!(device.session_present());
    assert_eq!([device.message(PATIENCE)?.payload, device.message(PATIENCE)?.payload], [b"0", b"1"]);
    Ok(())
}
