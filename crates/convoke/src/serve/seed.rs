//! Names that must exist before any client connects: groups, parent topics, grants; in `--dev` three users with links.
//!
//! Each is made once. What an owner has removed since stays removed; a line at the start says so, and how to bring it back.

use crate::config::Config;
use crate::keys::{ApiKey, read_or_create, sha256_hex};
use anyhow::{Context, Result};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{
    AccessKey, Catalog, CatalogError, Grant, Group, LoginLink, Origin, ParentTopic, Rule, Seed, Seeded, User,
};
use queue::TopicName;
use serde_json::{Value, json};
use signalling::topics::{INSTANCE, MEETING_DOWN, MEETING_UP, RING_DOWN};
use std::path::Path;
use tracing::warn;

/// The people of `--dev`.
pub(super) const DEV_USERS: [(&str, &str); 3] = [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol")];

/// The login of the trial's access key, in the data directory.
pub(super) const ACCESS_KEY_FILE: &str = "access-key";

/// The parent topics of signalling, with the rules that it needs: that of requests also where another service answers them.
pub(super) fn parents_of_calls(requests: &[TopicName]) -> Vec<(String, Rule)> {
    let others = requests.iter().map(TopicName::as_str).filter(|topic| *topic != MEETING_UP);
    let requests = [MEETING_UP].into_iter().chain(others).map(|topic| (topic, Rule::ToQueue));
    let answers = [RING_DOWN, MEETING_DOWN].map(|topic| (topic, Rule::FromQueue));
    requests.chain(answers).map(|(topic, rule)| (topic.to_owned(), rule)).collect()
}

/// Groups and, where calls are wanted, the parent topics of signalling with their fixed rules.
pub(super) async fn names(catalog: &dyn Catalog, config: &Config) -> Result<()> {
    let groups = &config.groups;
    let mut seeds: Vec<_> = groups.iter().map(|group| Seed::Group(Group { group: group.clone() })).collect();
    if config.signalling {
        let parents = parents_of_calls(&config.meeting_topics);
        seeds.extend(parents.iter().map(|(parent, rule)| Seed::Parent(ParentTopic::new(parent, *rule))));
        for (parent, _) in parents.iter().filter(|(_, rule)| *rule == Rule::ToQueue) {
            seeds.extend(groups.iter().map(|group| Seed::Grant(Grant::to_publish(group, parent))));
        }
    }
    for seed in seeds {
        sow(catalog, seed, Origin::Configuration).await.context("cannot make what the configuration names")?;
    }
    Ok(())
}

async fn sow(catalog: &dyn Catalog, seed: Seed, origin: Origin) -> Result<Seeded, CatalogError> {
    let (kind, subject, remedy) = (seed.kind().name(), seed.subject(), how_to_bring_back(&seed));
    let seeded = catalog.seed(seed, origin).await?;
    let named_by = match origin {
        Origin::Configuration => "the configuration",
        Origin::Dev => "--dev",
    };
    match seeded {
        Seeded::Removed => warn!(kind, subject, named_by, remedy, "it was removed by an owner, and is not made again"),
        Seeded::Owners if origin == Origin::Dev => {
            warn!(kind, subject, named_by, "it is an owner's, and stays as it is");
        }
        Seeded::Owners | Seeded::Made | Seeded::Kept => {}
    }
    Ok(seeded)
}

fn how_to_bring_back(seed: &Seed) -> String {
    match seed {
        Seed::Group(group) => format!("convoke groups create {}", group.group),
        Seed::Parent(ParentTopic { parent, rule, .. }) => {
            format!("convoke topics create {parent} --rule {}", rule.name())
        }
        Seed::Grant(Grant { grantee, parent, .. }) => {
            format!("convoke grants create {grantee} {parent}, once its group and its topic are there")
        }
        Seed::AccessKey(key) => format!("convoke keys create {} --kind access, which has another secret", key.key_id),
        Seed::User(user) => format!("convoke users create {} --name {}", user.user, user.name),
        Seed::Link(link) => format!("convoke links create {}, once the user is there", link.user),
    }
}

/// A service's login for tools and benchmarks: the one in `access-key` in the data directory, which is made once.
pub(super) async fn dev_access_key(catalog: &dyn Catalog, data: &Path, now_ms: u64) -> Result<()> {
    let path = data.join(ACCESS_KEY_FILE);
    let login = read_or_create(&path, || {
        // By chance: one that was known to others does not come back in the next trial.
        let secret = random_secret()?;
        Ok(json!({ "key_id": "dev", "secret": secret, "instance": INSTANCE }).to_string())
    })?;
    let key = access_key(&login, now_ms).with_context(|| {
        format!("{} holds no login\n  remedy: remove it, a new one is made at the next start", path.display())
    })?;
    sow(catalog, Seed::AccessKey(key), Origin::Dev).await.context("cannot register the access key")?;
    Ok(())
}

fn access_key(login: &str, created_at_ms: u64) -> Option<AccessKey> {
    let login: Value = serde_json::from_str(login).ok()?;
    let text = |name: &str| Some(login[name].as_str().filter(|text| !text.is_empty())?.to_owned());
    Some(AccessKey { key_id: text("key_id")?, secret: text("secret")?, instance: text("instance")?, created_at_ms })
}

fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Of a trial's user; the same at every start.
fn dev_link(api_key: &ApiKey, user: &str) -> (String, LoginLink) {
    let secret = derived(api_key, &format!("login-link:{user}"));
    let link = LoginLink::new(sha256_hex(secret.as_bytes()), user.into());
    (secret, link)
}

/// Those links that are there, also of a trial that was before seeds were remembered: ids.
pub(super) async fn dev_links_left(catalog: &dyn Catalog, api_key: &ApiKey) -> Result<Vec<String>, CatalogError> {
    let mut left = Vec::new();
    for (user, _) in DEV_USERS {
        let (_, link) = dev_link(api_key, user);
        left.extend(catalog.login_link(&link.secret_sha256).await?.map(|link| link.link_id));
    }
    Ok(left)
}

/// Creates the three users and returns a login secret for each whose link is there, the same at every start.
pub(super) async fn dev_users(catalog: &dyn Catalog, api_key: &ApiKey) -> Result<Vec<(&'static str, String)>> {
    let mut links = Vec::new();
    for (user, name) in DEV_USERS {
        sow(catalog, Seed::User(User { user: user.into(), name: name.into() }), Origin::Dev).await?;
        let (secret, link) = dev_link(api_key, user);
        if let Seeded::Made | Seeded::Kept = sow(catalog, Seed::Link(link), Origin::Dev).await? {
            links.push((user, secret));
        }
    }
    Ok(links)
}

fn derived(api_key: &ApiKey, purpose: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, api_key.text().as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, purpose.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Key, SqliteCatalog, Topics};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    const NOW_MS: u64 = 1_800_000_000_000;

    async fn start(data: &Path) -> Result<SqliteCatalog> {
        let catalog = SqliteCatalog::open(data.join("catalog.sqlite")).await?;
        dev_access_key(&catalog, data, NOW_MS).await?;
        Ok(catalog)
    }

    async fn registered(catalog: &SqliteCatalog) -> Vec<Key> {
        catalog.access().await.expect("it is read").keys
    }

    #[tokio::test]
    async fn a_restart_keeps_the_access_key_that_is_there_and_without_its_file_it_has_another_secret() {
        let data = tempfile::tempdir().expect("temporary folder");
        let path = data.path().join("access-key");
        start(data.path()).await.expect("a first start").close().await;
        let (first, made) = (fs::read_to_string(&path).expect("it is made"), fs::metadata(&path).expect("it is there"));
        let catalog = start(data.path()).await.expect("a second start");
        assert_eq!(registered(&catalog).await, [Key::from(access_key(&first, NOW_MS).expect("a login"))]);
        let kept = fs::metadata(&path).expect("it is there");
        assert_eq!((kept.ino(), kept.modified().ok()), (made.ino(), made.modified().ok()), "it was written again");
        catalog.close().await;
        fs::remove_file(&path).expect("it is there");
        let catalog = start(data.path()).await.expect("a third start");
        let other = fs::read_to_string(&path).expect("it is made");
        assert_ne!(other, first);
        assert_eq!(registered(&catalog).await, [Key::from(access_key(&other, NOW_MS).expect("a login"))]);
        catalog.close().await;
    }

    #[tokio::test]
    async fn an_access_key_that_is_no_login_names_the_file_and_the_remedy() {
        let data = tempfile::tempdir().expect("temporary folder");
        for broken in ["", "{}", r#"{"key_id":"dev","secret":"","instance":"x"}"#] {
            fs::write(data.path().join("access-key"), broken).expect("written");
            let words = format!("{:#}", start(data.path()).await.expect_err("refused"));
            assert!(words.contains("access-key") && words.contains("remedy"), "{words}");
        }
    }
}
