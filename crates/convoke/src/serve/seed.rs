//! Names that must exist before any client connects: groups, parent topics, grants; in `--dev` three users with links.
//!
//! All of it is written into the catalog again at every start; writing what is there changes nothing.

use crate::keys::{ApiKey, read_or_create, sha256_hex};
use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{AccessKey, Catalog, Grant, Group, LoginLink, ParentTopic, Rule, User};
use serde_json::{Value, json};
use signalling::topics::{INSTANCE, MEETING_DOWN, MEETING_UP, RING_DOWN};
use std::path::Path;

/// The people of `--dev`.
pub(super) const DEV_USERS: [(&str, &str); 3] = [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol")];

/// Groups and, where calls are wanted, the parent topics of signalling with their fixed rules.
pub(super) async fn names(catalog: &dyn Catalog, groups: &[String], signalling: bool) -> Result<()> {
    for group in groups {
        catalog.put_group(Group { group: group.clone() }).await.context("cannot register the groups")?;
    }
    if !signalling {
        return Ok(());
    }
    for (parent, rule) in [(MEETING_UP, Rule::ToQueue), (RING_DOWN, Rule::FromQueue), (MEETING_DOWN, Rule::FromQueue)] {
        catalog.put_parent(ParentTopic { parent: parent.into(), rule }).await.context("cannot register the topics")?;
    }
    for group in groups {
        let grant = Grant { group: group.clone(), parent: MEETING_UP.into() };
        catalog.put_grant(grant).await.context("cannot register the grants")?;
    }
    Ok(())
}

/// A service's login for tools and benchmarks: the one in `access-key` in the data directory, which is made once.
pub(super) async fn dev_access_key(catalog: &dyn Catalog, api_key: &ApiKey, data: &Path) -> Result<()> {
    let path = data.join("access-key");
    let login = read_or_create(&path, || {
        let secret = derived(api_key, "access-key:dev");
        Ok(json!({ "key_id": "dev", "secret": secret, "instance": INSTANCE }).to_string())
    })?;
    let key = access_key(&login).with_context(|| {
        format!("{} holds no login\n  remedy: remove it, a new one is made at the next start", path.display())
    })?;
    catalog.put_access_key(key).await.context("cannot register the access key")
}

fn access_key(login: &str) -> Option<AccessKey> {
    let login: Value = serde_json::from_str(login).ok()?;
    let text = |name: &str| Some(login[name].as_str().filter(|text| !text.is_empty())?.to_owned());
    Some(AccessKey { key_id: text("key_id")?, secret: text("secret")?, instance: text("instance")? })
}

/// Creates the three users and returns a login secret for each, the same at every start.
pub(super) async fn dev_users(catalog: &dyn Catalog, api_key: &ApiKey) -> Result<Vec<(&'static str, String)>> {
    let mut links = Vec::new();
    for (user, name) in DEV_USERS {
        catalog.put_user(User { user: user.into(), name: name.into() }).await?;
        let secret = derived(api_key, &format!("login-link:{user}"));
        let link = LoginLink::new(sha256_hex(secret.as_bytes()), user.into());
        catalog.put_login_link(link).await?;
        links.push((user, secret));
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

    async fn start(data: &Path) -> Result<SqliteCatalog> {
        let catalog = SqliteCatalog::open(data.join("catalog.sqlite")).await?;
        dev_access_key(&catalog, &ApiKey::load_or_create(data)?, data).await?;
        Ok(catalog)
    }

    async fn registered(catalog: &SqliteCatalog) -> Vec<Key> {
        catalog.access().await.expect("it is read").keys
    }

    #[tokio::test]
    async fn a_restart_keeps_the_access_key_that_is_there_also_if_the_api_key_is_another_one() {
        let data = tempfile::tempdir().expect("temporary folder");
        let path = data.path().join("access-key");
        start(data.path()).await.expect("a first start").close().await;
        let (first, made) = (fs::read_to_string(&path).expect("it is made"), fs::metadata(&path).expect("it is there"));
        fs::remove_file(data.path().join("api-key")).expect("it was made");
        let catalog = start(data.path()).await.expect("a second start");
        assert_eq!(registered(&catalog).await, [Key::from(access_key(&first).expect("a login"))]);
        let kept = fs::metadata(&path).expect("it is there");
        assert_eq!((kept.ino(), kept.modified().ok()), (made.ino(), made.modified().ok()), "it was written again");
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
