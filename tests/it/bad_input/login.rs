//! Logins that are not right.

use super::Scene;
use super::packets::{Connect, V5, V311};
use anyhow::{Context, Result};
use catalog::{Accounts, Catalog, Device, SqliteCatalog};
use serde_json::Value;

/// Changes one thing of a good login.
type Spoil = fn(&mut Connect, other: &Connect);

/// What is wrong, how, and the CONNACK codes of 5.0 and 3.1.1.
const WRONG: &[(&str, Spoil, &str, &str)] = &[
    ("a wrong password", |c, _| c.password = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(), "86", "04"),
    ("a password that is no Base64", |c, _| c.password = "let me in".into(), "86", "04"),
    ("an empty password", |c, _| c.password.clear(), "86", "04"),
    ("an unknown client id", |c, _| c.client_id = "GID_dev@@@nobody".into(), "86", "04"),
    ("a foreign client id", |c, other| c.client_id.clone_from(&other.client_id), "86", "04"),
    ("a foreign credential", |c, other| c.username.clone_from(&other.username), "86", "04"),
    ("a group that does not exist", |c, _| c.client_id = "GID_none@@@phone".into(), "86", "04"),
    ("another instance", |c, _| c.username = c.username.replace("convoke", "other"), "86", "04"),
    ("a username of no known kind", |c, _| c.username = "root".into(), "86", "04"),
    ("a client id without a group", |c, _| c.client_id = "phone".into(), "85", "02"),
    ("a client id with other characters", |c, _| c.client_id = "GID_dev@@@a b".into(), "85", "02"),
    ("a client id of 65 characters", |c, _| c.client_id = format!("GID_dev@@@{}", "x".repeat(55)), "85", "02"),
    ("no client id", |c, _| c.client_id.clear(), "85", "02"),
    ("a level of the future", |c, _| c.level = 6, "84", "84"),
    ("a level of the past", |c, _| c.level = 3, "01", "01"),
];

#[test]
fn a_login_that_is_not_right_is_refused_in_the_words_of_its_version() {
    let mut scene = Scene::start().expect("the server starts");
    let (alice, bob) = (scene.device("alice").expect("alice"), scene.device("bob").expect("bob"));
    let server = scene.addresses().expect("addresses").mqtt;
    let refused = || {
        for (name, spoil, in_v5, in_v311) in WRONG {
            for (level, code) in [(V5, in_v5), (V311, in_v311)] {
                let (mut login, other) = (Connect::of(&bob, level)?, Connect::of(&alice, level)?);
                spoil(&mut login, &other);
                assert_eq!(login.verdict(server)?, format!("connack {code}, closed"), "{name}, level {level}");
            }
        }
        Ok(())
    };
    scene.costs_nothing(8, refused).expect("nobody is harmed");
}

#[test]
fn a_credential_that_has_expired_opens_nothing_any_more() {
    let mut scene = Scene::start().expect("the server starts");
    let device = scene.device("bob").expect("bob");
    let server = scene.addresses().expect("addresses").mqtt;
    expire(&scene, &device).expect("the credential expires");
    for (level, code) in [(V5, "87"), (V311, "05")] {
        let login = Connect::of(&device, level).expect("a login");
        assert_eq!(login.verdict(server).expect("an answer"), format!("connack {code}, closed"));
    }
    let renewed = scene.device("bob").expect("a new credential");
    scene.link(&renewed).expect("the new one opens");
    scene.witness_is_unharmed().expect("nobody is harmed");
}

/// Sets back the clock of one credential, in the server's own catalog.
fn expire(scene: &Scene, device: &Value) -> Result<()> {
    scene.runtime.block_on(async {
        let catalog = SqliteCatalog::open(scene.stage.data().join("catalog.sqlite")).await?;
        let client_id = super::text(device, "client_id")?;
        let known = catalog.device(client_id).await?.context("no such device")?;
        catalog.put_device(Device { expires_at_ms: 1, ..known }).await?;
        catalog.close().await;
        Ok(())
    })
}
