//! The owner's commands as a newcomer uses them: the real program against a real server, from nothing to a service that
//! publishes, and what is said when something is refused.

use crate::support::program;
use anyhow::{Context, Result, bail, ensure};
use demo::Stage;
use mqtt::Version;
use mqtt::client::{Event, Options};
use scenarios::link::Link;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where somebody sits and types.
pub(crate) struct Desk {
    program: PathBuf,
    pub(crate) folder: PathBuf,
}

/// What a command has said, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) data: String,
    pub(crate) words: String,
}

impl Desk {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { program: program()?, folder: folder.to_owned() })
    }

    /// Without a terminal.
    pub(crate) fn types(&self, line: &str) -> Result<Said> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVOKE_")) {
            command.env_remove(name);
        }
        command.args(line.split(' ')).current_dir(&self.folder).env("CONVOKE_HOME", self.folder.join("home"));
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run convoke {line}"))?;
        let text = |bytes| String::from_utf8(bytes).context("it says what is no text");
        Ok(Said { code: output.status.code(), data: text(output.stdout)?, words: text(output.stderr)? })
    }

    /// Succeeds; returns its data.
    pub(crate) fn does(&self, line: &str) -> Result<String> {
        let said = self.types(line)?;
        ensure!(said.code == Some(0), "convoke {line}: {said:?}");
        Ok(said.data)
    }

    pub(crate) fn reads(&self, line: &str) -> Result<Value> {
        let data = self.does(&format!("{line} --json"))?;
        serde_json::from_str(&data).with_context(|| format!("convoke {line} --json prints no JSON: {data}"))
    }

    /// Ends with this code and says this.
    pub(crate) fn fails(&self, line: &str, code: i32, words: &[&str]) -> Result<()> {
        let said = self.types(line)?;
        ensure!(said.code == Some(code), "convoke {line}: {said:?}");
        ensure!(said.data.is_empty(), "convoke {line} prints data: {said:?}");
        for words in words {
            ensure!(said.words.contains(words), "convoke {line} does not say {words:?}: {said:?}");
        }
        Ok(())
    }
}

pub(crate) async fn opened(folder: &Path) -> Result<(Stage, Desk)> {
    let mut stage = Stage::new(&folder.join("stage"), &program()?, &[])?;
    stage.start_server().await?;
    let desk = Desk::new(&folder.join("desk"))?;
    let key = stage.data().join("api-key");
    desk.does(&format!("login {} --key-file {}", stage.url(""), key.display()))?;
    Ok((stage, desk))
}

/// As docs/how-to/administer.md tells it.
pub(crate) fn service(stage: &Stage, key: &str, secret: &str, client_id: &str) -> Result<Link> {
    let mut options = Options::new(Version::V5, client_id);
    options.username = Some(format!("Signature|{key}|convoke"));
    options.password = Some(scenarios::sign(secret, client_id).into_bytes());
    Link::open_with(SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port())), options)
}

/// # Errors
/// The server refuses the message.
fn publish(link: &mut Link) -> Result<()> {
    let published = link.publish("orders-up/call", b"one more")?;
    let is_answer = |event: &Event| matches!(event, Event::Published { id, .. } if *id == published);
    let Event::Published { reason, .. } = link.wait(PATIENCE, is_answer)? else { bail!("only the answer is wanted") };
    ensure!(!reason.is_error(), "the message was refused: {reason:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_comes_from_nothing_to_a_service_that_publishes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    desk.does("groups create GID_phone")?;
    desk.does("topics create orders-up --rule none")?;
    desk.does("grants create GID_phone orders-up")?;
    let allowed = desk.does("grants test GID_phone@@@d1 publish orders-up/call")?;
    assert_eq!(allowed, "allowed: the grant GID_phone/orders-up, with the right publish\n");
    let refused = desk.types("grants test GID_phone@@@d1 subscribe orders-up/call")?;
    assert_eq!((refused.code, refused.words.as_str()), (Some(1), ""));
    ensure!(refused.data.starts_with("refused: "), "{refused:?}");

    let secret = desk.does("keys create billing --kind access --scopes topics,devices --note orders --expires 30d")?;
    let secret = secret.trim();
    ensure!(desk.does("grants test billing publish orders-up/call")?.starts_with("allowed: "));
    publish(&mut service(&stage, "billing", secret, "GID_phone@@@billing")?)?;

    let rotated = desk.reads("keys rotate billing --overlap 0s")?;
    let rotated = rotated["secret"].as_str().context("no secret")?;
    ensure!(service(&stage, "billing", secret, "GID_phone@@@billing").is_err(), "the old secret still lets it in");
    let mut connected = service(&stage, "billing", rotated, "GID_phone@@@billing")?;
    publish(&mut connected)?;

    desk.does("keys disable billing")?;
    ensure!(publish(&mut connected).is_err(), "a disabled key still publishes");
    ensure!(service(&stage, "billing", rotated, "GID_phone@@@billing").is_err(), "a disabled key lets it in");
    desk.does("keys enable billing")?;
    publish(&mut service(&stage, "billing", rotated, "GID_phone@@@billing")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_noun_is_listed_shown_changed_and_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    for line in [
        "groups create GID_phone",
        "topics create orders-up --rule to_queue",
        "grants create GID_phone orders-up",
        "keys create watch --kind api --scopes channels --secret-file watch.json",
        "users create ann --name Ann",
        "devices create ann --group GID_phone --device d1 --secret-file ann.json",
        "grants create --user ann orders-up --subscribe --p2p",
        "keys create billing --kind access --scopes topics --secret-file billing.json",
        "grants create --key billing orders-up --subscribe --yes",
    ] {
        assert_eq!(desk.does(&format!("{line} --quiet"))?.lines().count(), 0, "{line}");
    }
    let mode = fs::metadata(desk.folder.join("ann.json"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let link = desk.does("links create ann --valid 7d")?;
    ensure!(link.contains("/#login="), "{link}");

    desk.does("topics update orders-up --rule both")?;
    desk.does("topics update orders-up --kept 60s")?;
    desk.fails("topics update orders-up", 2, &["remedy: give --rule, --kept or --kept-like-any"])?;
    let warned = desk.types("topics update orders-up --rule both")?;
    ensure!(warned.words.contains("Not advised: messages from devices and messages to them"), "{warned:?}");
    desk.does("keys update watch --scopes channels,meetings --note pages")?;
    desk.does("users update ann --name Anna")?;
    desk.does("devices update GID_phone@@@d1 --name Tablet")?;
    let of_ann = desk.reads("links list --user ann")?["items"][0]["link"].as_str().context("no link")?.to_owned();
    let said = desk.types(&format!("links update {of_ann} --valid 1h"))?;
    ensure!(said.code == Some(0) && said.words.contains(" ends 2"), "{said:?}");
    let (created, ends) = (
        desk.reads(&format!("links show {of_ann}"))?["created_at_ms"].clone(),
        desk.reads(&format!("links show {of_ann}"))?["expires_at_ms"].clone(),
    );
    let hours = (ends.as_u64().context("no end")? - created.as_u64().context("no beginning")?) / 3_600_000;
    assert_eq!(hours, 1, "{created} {ends}");
    desk.does("grants update --user ann orders-up --subscribe")?;
    desk.fails("grants update --user ann orders-up", 2, &["remedy: give --publish, --subscribe or --p2p"])?;
    desk.fails("grants create --user ann orders-up", 1, &["user:ann/orders-up already"])?;
    for (line, pointer, value) in [
        ("groups show GID_phone", "/devices", "1"),
        ("topics show orders-up", "/rule", "\"both\""),
        ("topics show orders-up", "/kept_s", "60"),
        ("keys show watch", "/scopes", "[\"meetings\",\"channels\"]"),
        ("users show ann", "/name", "\"Anna\""),
        ("users show ann", "/grants", "1"),
        ("groups show GID_phone", "/connected", "0"),
        ("keys show billing", "/grants", "1"),
        ("topics show orders-up", "/warnings/0/warning", "\"both_ways\""),
        ("devices show GID_phone@@@d1", "/user", "\"ann\""),
        ("grants list --group GID_phone", "/items/0/topic", "\"orders-up\""),
        ("grants show --user ann orders-up", "/rights", "[\"subscribe\"]"),
        ("grants list --key billing", "/items/0/key", "\"billing\""),
        ("keys show billing", "/narrowed", "true"),
        ("devices list --user ann", "/items/0/client_id", "\"GID_phone@@@d1\""),
        ("devices list --search tab", "/items/0/name", "\"Tablet\""),
        ("links list --user ann", "/items/0/user", "\"ann\""),
        ("audit list --kind topic --subject orders-up", "/items/0/action", "\"update\""),
    ] {
        let found = desk.reads(line)?.pointer(pointer).map(Value::to_string);
        assert_eq!(found.as_deref(), Some(value), "{line}");
        let table = desk.does(line)?;
        ensure!(table.lines().count() > 1 && !table.contains('\x1b'), "{line}: {table}");
    }
    let table = desk.does("grants list --topic orders-up")?;
    let rows =
        ["GID_phone    orders-up  publish", "key:billing  orders-up  subscribe", "user:ann     orders-up  subscribe"];
    assert_eq!(table, format!("WHO          TOPIC      RIGHTS\n{}\n", rows.join("\n")));
    let allowed = desk.does("grants test GID_phone@@@d1 subscribe orders-up/#")?;
    assert_eq!(allowed, "allowed: the grant user:ann/orders-up, with the right subscribe\n");
    let table = desk.does("users list --search ann")?;
    assert_eq!(table, "USER  NAME\nann   Anna\n");
    let changes = desk.does("audit list --kind topic")?;
    ensure!(changes.contains("rule to_queue → both"), "{changes}");

    desk.fails("groups remove GID_phone --yes", 1, &["in use", "--force"])?;
    desk.does("keys create chief --kind api --scopes admin --secret-file chief.json")?;
    let server = stage.url("");
    let chief = desk.types(&format!("keys disable chief --key-file chief.json --url {server}"))?;
    ensure!(chief.code == Some(1) && !chief.words.contains("--force"), "no force helps: {chief:?}");
    let link = desk.reads("links list --user ann")?["items"][0]["link"].as_str().context("no link")?.to_owned();
    for line in [
        "grants remove GID_phone orders-up",
        "grants remove --user ann orders-up",
        "grants remove --key billing orders-up",
        "topics remove orders-up",
        "keys remove watch",
        &format!("links remove {link}"),
        "devices remove GID_phone@@@d1",
        "groups remove GID_phone --force",
        "users remove ann --force",
    ] {
        desk.fails(line, 2, &["remedy: give --yes"])?;
        desk.does(&format!("{line} --yes"))?;
    }
    assert_eq!(desk.reads("devices list --user ann")?["items"], serde_json::json!([]));
    for line in
        ["keys show ..", "users show .", "keys show .. --json", "devices kick .. --yes", "groups remove . --yes"]
    {
        desk.fails(line, 2, &["is no id of anything", "remedy"])?;
    }
    desk.fails("users show ann", 1, &["cannot show the user ann", "there is no user ann"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_applied_for_looked_at_and_revoked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    desk.does("groups create GID_phone")?;
    desk.does("topics create orders-up --rule none")?;
    let token = desk.does("tokens apply rw orders-up/call --client-id GID_phone@@@guest --valid 1h")?;
    fs::write(desk.folder.join("token"), &token)?;
    let card = desk.does("tokens query token")?;
    ensure!(card.starts_with("valid") && card.contains("yes") && card.contains("orders-up/call"), "{card}");
    let guest = || {
        let mut options = Options::new(Version::V5, "GID_phone@@@guest");
        options.username = Some("Token|owner|convoke".to_owned());
        options.password = Some(format!("RW|{}", token.trim()).into_bytes());
        Link::open_with(SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port())), options)
    };
    let mut connected = guest()?;
    publish(&mut connected)?;
    desk.fails("tokens revoke token", 2, &["remedy: give --yes"])?;
    desk.does("tokens revoke token --yes")?;
    ensure!(publish(&mut connected).is_err(), "a revoked token still publishes");
    ensure!(guest().is_err(), "a revoked token lets a client in");
    let said = desk.types("tokens query token")?;
    ensure!(said.code == Some(1) && said.data.contains("revoked"), "{said:?}");
    ensure!(desk.does("audit list --kind token")?.contains("revoke"));
    desk.does("tokens apply r orders-up/# --secret-file token.json")?;
    desk.does("tokens query token.json")?;
    desk.does("devices create ann --group GID_phone --device d1 --secret-file d1.json")?;
    let card = desk.does("tokens query d1.json")?;
    ensure!(card.contains("DeviceCredential") && card.contains("ann"), "{card}");
    fs::write(desk.folder.join("password"), "wrong\n")?;
    let login = "--username Signature|none|convoke --client-id GID_phone@@@svc";
    for line in [format!("tokens query password {login}"), format!("tokens query {login} --password wrong")] {
        let said = desk.types(&line)?;
        ensure!(said.code == Some(1) && said.data.contains("there is no access key none"), "{line}: {said:?}");
    }
    desk.fails(&format!("tokens query {login}"), 2, &["there is no password", "remedy"])?;
    desk.fails("tokens query", 2, &["FILE"])?;
    desk.fails("tokens query none", 1, &["cannot read the token from none", "remedy"])?;
    desk.fails("tokens apply w other/#", 1, &["cannot apply for a token", "does not exist"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_to_its_end_or_to_the_limit() -> Result<()> {
    const USERS: usize = 205;
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    for number in 0..USERS {
        let path = format!("/api/v1/users/many-{number:03}");
        stage.api(demo::Method::PUT, &path, Some(serde_json::json!({ "name": "M" }))).await?;
    }
    let users = |list: &Value| list["items"].as_array().map_or(0, Vec::len);
    let all = desk.reads("users list --search many-")?;
    assert_eq!((users(&all), all.get("next")), (USERS, None));
    let some = desk.reads("users list --search many- --limit 203")?;
    assert_eq!((users(&some), some["next"].is_string()), (203, true));
    let words = desk.types("users list --search many- --limit 3")?.words;
    ensure!(words.contains("there are more"), "{words}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do_and_each_kind_has_its_exit_code() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut stage, desk) = opened(folder.path()).await?;
    let url = stage.url("");
    fs::write(desk.folder.join("wrong"), "0123456789abcdef0123456789abcdef")?;
    desk.fails(&format!("groups list --url {url} --key-file wrong"), 1, &["the key is not known here", "key: wrong"])?;
    desk.fails(&format!("login {url} --key-file wrong"), 1, &["cannot log in to", "the key is not known here"])?;
    desk.fails(&format!("groups list --url {url} --key-file none"), 78, &["cannot read none", "remedy"])?;
    desk.fails("groups list --profile other", 78, &["there is no profile other", "default"])?;
    desk.fails("groups lst", 2, &["similar", "list"])?;
    desk.fails("keys update billing", 2, &["--scopes"])?;
    desk.fails("topics create x/y --rule none", 1, &["cannot create the parent topic x/y"])?;

    desk.does("keys create billing --kind access --scopes topics --secret-file billing.json")?;
    desk.fails(
        "keys create other --kind api --scopes admin --secret-file billing.json",
        1,
        &["cannot create billing.json"],
    )?;
    desk.fails("keys show other", 1, &["there is no key other"])?;
    desk.does(&format!("topics list --url {url} --key-file billing.json"))?;
    desk.fails(&format!("users list --url {url} --key-file billing.json"), 1, &["the scope devices", "billing.json"])?;
    desk.does(&format!("login {url} --key-file billing.json --profile billing"))?;
    desk.fails("groups list", 1, &["the scope groups"])?;
    let used = |desk: &Desk| -> Result<Vec<(String, bool)>> {
        let list = desk.reads("profiles list")?;
        let rows = list["items"].as_array().context("no list")?.iter();
        Ok(rows.map(|row| (row["profile"].as_str().unwrap_or_default().to_owned(), row["current"] == true)).collect())
    };
    assert_eq!(used(&desk)?, [("billing".to_owned(), true), ("default".to_owned(), false)]);
    desk.does("profiles use default")?;
    assert_eq!(used(&desk)?, [("billing".to_owned(), false), ("default".to_owned(), true)]);
    desk.fails("profiles use none", 78, &["there is no profile none", "billing, default"])?;
    desk.does("logout --profile billing")?;
    desk.does("groups list --profile default")?;

    stage.kill_server().await?;
    desk.fails("groups list --profile default", 69, &["cannot reach", "remedy: start the server"])
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_authority_that_is_named_is_trusted_and_no_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    let url = format!("https://localhost:{}", stage.https_port());
    let key = stage.data().join("api-key");
    let login = format!("login {url} --key-file {}", key.display());
    desk.fails(&login, 69, &["--ca"])?;
    desk.does(&format!("{login} --ca {}", stage.ca().display()))?;
    desk.does("groups list").map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn administering_does_what_the_how_to_says() -> Result<()> {
    does_what_it_says("administer.md").await
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_from_apsaramq_does_what_the_how_to_says() -> Result<()> {
    does_what_it_says("move-from-apsaramq.md").await
}

/// Types each command of a how-to, one after the other, on a server of its own.
async fn does_what_it_says(how_to: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    std::os::unix::fs::symlink(stage.data(), desk.folder.join("data"))?;
    let how_to = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/how-to").join(how_to);
    let text = fs::read_to_string(how_to)?.replace("http://127.0.0.1:8080", stage.url("").trim_end_matches('/'));
    let blocks = text.split("```").skip(1).step_by(2);
    let lines: Vec<_> = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("convoke ")).collect();
    ensure!(lines.len() > 15, "the how-to has few commands: {lines:?}");
    for line in lines {
        // The reader has ids from lists; nobody is in a meeting here, and no message is dead.
        if line.starts_with("meetings ") && line.contains(" MEETING") {
            desk.fails(line, 1, &["no meeting MEETING"])?;
        } else if line.starts_with("messages ") && line.contains(" MESSAGE") {
            desk.fails(line, 1, &["no dead letter MESSAGE"])?;
        } else {
            desk.does(line)?;
        }
    }
    Ok(())
}

#[test]
fn each_command_has_a_man_page() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let desk = Desk::new(folder.path())?;
    let pages = folder.path().join("man1");
    desk.does(&format!("man {}", pages.display()))?;
    let page = std::fs::read_to_string(pages.join("convoke-keys-rotate.1"))?;
    ensure!(page.contains("secret") && page.contains("overlap"), "the page of keys rotate lacks options: {page}");
    for name in ["convoke.1", "convoke-serve.1", "convoke-groups.1"] {
        ensure!(pages.join(name).exists(), "there is no {name}");
    }
    ensure!(!pages.join("convoke-print.1").exists(), "what is hidden has a page");
    Ok(())
}

#[test]
fn completions_know_the_commands() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let desk = Desk::new(folder.path())?;
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.does(&format!("completions {shell}"))?;
        if !["grants", "rotate", "secret-file"].iter().all(|word| script.contains(word)) {
            bail!("the completions of {shell} lack commands");
        }
    }
    Ok(())
}
