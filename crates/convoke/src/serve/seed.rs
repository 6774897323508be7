//! Names that must exist before any client connects: groups, parent topics, grants; in `--dev` three users with links.
//!
//! All of it is written again at every start; writing what is there changes nothing.

use crate::keys::{ApiKey, sha256_hex, write_secret};
use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{AccessKey, Catalog, Grant, Group, LoginLink, ParentTopic, Rule, User};
use serde_json::json;
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

/// A service's login for tools and benchmarks, the same at every start.
/// It is written to `access-key` in the data directory.
pub(super) async fn dev_access_key(catalog: &dyn Catalog, api_key: &ApiKey, data: &Path) -> Result<()> {
    let secret = derived(api_key, "access-key:dev");
    let key = AccessKey { key_id: "dev".into(), secret, instance: INSTANCE.into() };
    let login = json!({ "key_id": key.key_id, "secret": key.secret, "instance": key.instance });
    write_secret(&data.join("access-key"), &login.to_string())?;
    catalog.put_access_key(key).await.context("cannot register the access key")
}

/// Creates the three users and returns a login secret for each, the same at every start.
pub(super) async fn dev_users(catalog: &dyn Catalog, api_key: &ApiKey) -> Result<Vec<(&'static str, String)>> {
    let mut links = Vec::new();
    for (user, name) in DEV_USERS {
        catalog.put_user(User { user: user.into(), name: name.into() }).await?;
        let secret = derived(api_key, &format!("login-link:{user}"));
        let link = LoginLink { secret_sha256: sha256_hex(secret.as_bytes()), user: user.into() };
        catalog.put_login_link(link).await?;
        links.push((user, secret));
    }
    Ok(links)
}

fn derived(api_key: &ApiKey, purpose: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, api_key.text().as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, purpose.as_bytes()))
}
