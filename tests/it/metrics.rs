//! What the server tells those who watch it.

use crate::bad_input::SOON;
use crate::support::program;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::Event;
use scenarios::data_directory::{service_login, text};
use scenarios::link::Link;
use serde_json::json;
use std::net::{SocketAddr, TcpStream};

const MESSAGES: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_device_is_counted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &[])?;
    stage.start_server().await?;
    let device = json!({ "device": "phone" });
    let alice = stage.api(Method::POST, "/api/v1/users/alice/devices", Some(device)).await?;
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let mut service = Link::open_with(server, service_login(&stage.data(), Version::V5, "GID_dev@@@service")?)?;
    let topic = format!("ring-down/p2p/{}/bell", text(&alice, "client_id")?);
    for _ in 0..MESSAGES {
        service.publish(&topic, b"ring")?;
        service.wait(SOON, |event| matches!(event, Event::Published { .. }))?;
    }
    ensure!(stage.figure("convoke_ready").await? == 1, "it is not ready");
    ensure!(stage.figure("convoke_broker_inbox_messages").await? == MESSAGES, "{}", stage.metrics().await?);
    ensure!(stage.figure("convoke_broker_received_total").await? >= MESSAGES, "{}", stage.metrics().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_number_has_a_kind_and_words_and_the_text_has_an_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &[])?;
    stage.start_server().await?;
    let metrics = stage.metrics().await?;
    let numbers: Vec<_> = metrics.lines().filter(|line| !line.starts_with('#')).collect();
    ensure!(numbers.len() > 30, "{metrics}");
    for line in numbers {
        let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        value.parse::<u64>().with_context(|| line.to_owned())?;
        let name = name.split('{').next().unwrap_or(name);
        let family = name.strip_suffix("_total").unwrap_or(name);
        let kind = if name == family { "gauge" } else { "counter" };
        ensure!(metrics.contains(&format!("# TYPE {family} {kind}\n")), "{line}");
        ensure!(metrics.contains(&format!("# HELP {family} ")), "{line}");
    }
    ensure!(metrics.ends_with("# EOF\n"), "{metrics}");
    // Whoever reaches the pages does not reach the numbers.
    let public = stage.api(Method::GET, "/metrics", None).await;
    ensure!(public.is_err(), "{public:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_there_are_no_metrics() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &["metrics.listen="])?;
    stage.start_server().await?;
    ensure!(TcpStream::connect(("127.0.0.1", stage.metrics_port())).is_err(), "somebody listens");
    Ok(())
}
