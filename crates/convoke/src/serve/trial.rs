//! What `--dev` has made in a data directory, when the server is started without it.
//!
//! The links of a trial are printed at each of its starts, and its access key lies in the data directory: they are no logins for
//! a server that others can reach.

use super::seed;
use super::storage::Storage;
use crate::config::Config;
use crate::keys::ApiKey;
use anyhow::{Context, Result, bail};
use catalog::{Actor, Audit, By, CatalogError, Change, Kind, Order, Origin, Seeds};
use std::io::ErrorKind;
use tracing::info;

/// To be called before anybody is served.
///
/// # Errors
/// Something of a trial is there, which was neither wished to go on nor to be removed.
pub(super) async fn end(config: &Config, storage: &Storage, api_key: &ApiKey) -> Result<()> {
    if config.dev {
        return Ok(());
    }
    let left = left(storage, api_key).await.context("cannot read the catalog")?;
    if !config.remove_dev {
        if left.is_empty() {
            return Ok(());
        }
        let left: Vec<String> = left.iter().map(|(kind, subject)| format!("{} {subject}", kind.name())).collect();
        bail!(
            "the data directory {} has logins of a trial, which `convoke serve --dev` has made: {}\n  \
             remedy: go on with the trial by --dev; or start once with --remove-dev, which removes these with their \
             devices; or name another directory with --data",
            config.data_dir.display(),
            left.join(", ")
        );
    }
    remove(config, storage, left).await.context("cannot remove what --dev has made")
}

/// Also the links of a trial before seeds were remembered.
async fn left(storage: &Storage, api_key: &ApiKey) -> Result<Vec<(Kind, String)>, CatalogError> {
    let mut left = storage.catalog.seeded(Origin::Dev).await?;
    for link_id in seed::dev_links_left(&*storage.catalog, api_key).await? {
        let link = (Kind::Link, link_id);
        if !left.contains(&link) {
            left.push(link);
        }
    }
    // A user goes with its links.
    left.sort_by_key(|(kind, _)| *kind == Kind::User);
    Ok(left)
}

/// It may have been begun before: what is gone is gone, and the seeds are forgotten last. With the devices of its users; a link that is not the trial's goes with its user, too.
async fn remove(config: &Config, storage: &Storage, left: Vec<(Kind, String)>) -> Result<()> {
    for (kind, subject) in left {
        let name = subject.clone();
        let change = match kind {
            Kind::Key => Change::RemoveKey { key_id: subject },
            Kind::Link => Change::RemoveLink { link_id: subject },
            Kind::User => Change::RemoveUser { user: subject, force: true },
            Kind::Group | Kind::Parent | Kind::Grant | Kind::Device => continue,
            Kind::DeadLetter | Kind::Meeting | Kind::Token => continue,
        };
        let by = By { actor: Actor::Server, address: None, at_ms: storage.clock.now_ms() };
        storage.catalog.apply(Order { change, by, expected: None }).await?;
        info!(kind = kind.name(), subject = name, "removed, because --dev had made it");
    }
    let file = config.data_dir.join(seed::ACCESS_KEY_FILE);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", file.display()));
        }
        _ => {}
    }
    Ok(storage.catalog.forget_seeds(Origin::Dev).await?)
}
