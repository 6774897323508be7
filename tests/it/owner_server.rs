//! What an owner sees of the server, from the command line.

use crate::owner_command_line::opened;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

fn of<'a>(list: &'a Value, name: &str) -> Result<&'a Value> {
    let mut items = list.as_array().context("no list")?.iter();
    items.find(|item| item["name"] == name || item["key"] == name).with_context(|| format!("no {name} in {list}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_shown_with_what_it_uses_and_with_what_it_was_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    let server = desk.reads("server show")?;
    assert_eq!(server["https_port"], stage.https_port());
    let mqtt = format!("127.0.0.1:{}", stage.mqtt_port());
    assert_eq!(of(&server["listeners"], "mqtt")?["address"], mqtt.as_str());
    assert_eq!(of(&server["listeners"], "mqtts")?["tls"], true);
    ensure!(server["now_ms"].as_u64() >= server["started_at_ms"].as_u64(), "{server}");
    ensure!(server["data"]["used_bytes"].as_u64() >= server["log"]["bytes"].as_u64(), "{server}");
    ensure!(server["data"]["free_bytes"].as_u64() > Some(0) && server["log"]["bytes"].as_u64() > Some(0), "{server}");
    let open_files = of(&server["limits"], "open_files")?;
    ensure!(open_files["used"].as_u64() > Some(10) && open_files["used"].as_u64() < open_files["max"].as_u64());
    ensure!(of(&server["limits"], "mqtt_connections")?["max"].as_u64() > Some(0), "{server}");
    let certificates = server["certificates"].as_array().context("no list")?;
    ensure!(certificates.len() >= 2 && certificates.iter().all(|one| one["valid_until_ms"].is_u64()), "{server}");
    let topics = server["queue"].as_array().context("no list")?;
    ensure!(topics.iter().any(|topic| topic["topic"] == "meeting-up"), "{server}");
    assert_eq!(server["queue_topics"], topics.len());

    let shown = desk.does("server show")?;
    for words in ["uptime", "LISTENER", &mqtt, "CERTIFICATE", "LIMIT", "QUEUE TOPIC", "meeting-up"] {
        ensure!(shown.contains(words), "{words}: {shown}");
    }
    let health = desk.types("server health")?;
    ensure!(health.code == Some(0) && health.data.starts_with("ready\n"), "{health:?}");

    let configuration = desk.reads("server config")?;
    let data = of(&configuration["items"], "server.data_dir")?;
    assert_eq!((&data["origin"], &data["from"]), (&"flag".into(), &"--data".into()));
    let ring = of(&configuration["items"], "meeting.ring_s")?;
    assert_eq!((&ring["value"], &ring["origin"]), (&45.into(), &"default".into()));
    let table = desk.does("server config")?;
    ensure!(table.starts_with("KEY") && table.contains("mqtt.listen"), "{table}");

    desk.does("keys create narrow --kind api --scopes topics --secret-file narrow.json")?;
    let url = stage.url("");
    desk.fails(&format!("server show --url {url} --key-file narrow.json"), 1, &["the scope admin"])
}
