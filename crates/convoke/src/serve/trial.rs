//! What `--dev` has made in a data directory, when the server is started without it.
//!
//! The links of a trial are printed at each of its starts, and its access key lies in the data directory: they are no logins for
//! a server that others can reach.

use super::seed;
use super::storage::Storage;
use crate::config::Config;
use crate::keys::ApiKey;
use anyhow::{Context, Result, bail};
use catalog::{Actor, By, CatalogError, Change, Kind, Order, Origin};
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
            Kind::DeadLetter | Kind::QueueTopic | Kind::QueueGroup | Kind::Meeting | Kind::Token => continue,
        };
        let by = By { actor: Actor::Server, address: None, at_ms: storage.clock.now_ms(), right_as_of: None };
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::config::Layers;
    use crate::serve::storage;
    use catalog::{Catalog, User};
    use tempfile::TempDir;

    /// A data directory with a trial.
    struct Place {
        config: Config,
        storage: Storage,
        api_key: ApiKey,
        _folder: TempDir,
    }

    impl Place {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let config = Config::check(&Layers::default(), false).unwrap();
            let config = Config { data_dir: folder.path().to_owned(), ..config };
            let storage = storage::open(&config).await.unwrap();
            let api_key = ApiKey::load_or_create(&config.data_dir).unwrap();
            let place = Self { config, storage, api_key, _folder: folder };
            place.begin_trial().await;
            place
        }

        fn catalog(&self) -> &dyn Catalog {
            &*self.storage.catalog
        }

        /// The number of links that it prints.
        async fn begin_trial(&self) -> usize {
            seed::dev_access_key(self.catalog(), &self.config.data_dir, 1).await.unwrap();
            seed::dev_users(self.catalog(), &self.api_key).await.unwrap().len()
        }

        async fn end(&self, remove_dev: bool) -> Result<()> {
            let config = Config { remove_dev, ..self.config.clone() };
            end(&config, &self.storage, &self.api_key).await
        }

        async fn refusal(&self) -> String {
            format!("{:#}", self.end(false).await.unwrap_err())
        }

        async fn change(&self, change: Change) {
            let by = By { actor: Actor::Owner, address: None, at_ms: 1, right_as_of: None };
            self.storage.catalog.apply(Order { change, by, expected: None }).await.unwrap();
        }

        fn has_file(&self) -> bool {
            self.config.data_dir.join(seed::ACCESS_KEY_FILE).exists()
        }
    }

    #[tokio::test]
    async fn a_user_that_an_owner_has_made_under_a_name_of_the_trial_outlives_it() {
        let place = Place::new().await;
        place.change(Change::RemoveUser { user: "alice".to_owned(), force: true }).await;
        let own = User { user: "alice".to_owned(), name: "Alice of the owner".to_owned() };
        place.change(Change::PutUser(own.clone())).await;
        assert_eq!(place.begin_trial().await, 2, "a link lets a trial in as the owner's user");
        let words = place.refusal().await;
        assert!(words.contains("key dev") && words.contains("user bob") && !words.contains("user alice"), "{words}");
        place.end(true).await.unwrap();
        place.end(false).await.unwrap();
        assert_eq!(place.catalog().user("alice").await.unwrap(), Some(own));
        assert_eq!(place.catalog().user("bob").await.unwrap(), None);
    }

    /// Its key had been removed, so that nothing told that it was one.
    #[tokio::test]
    async fn links_of_a_trial_before_seeds_were_remembered_are_found() {
        let place = Place::new().await;
        place.change(Change::RemoveKey { key_id: "dev".to_owned() }).await;
        place.storage.catalog.forget_seeds(Origin::Dev).await.unwrap();
        let words = place.refusal().await;
        assert_eq!(words.matches("link ").count(), 3, "{words}");
        place.end(true).await.unwrap();
        assert_eq!(seed::dev_links_left(place.catalog(), &place.api_key).await.unwrap(), Vec::<String>::new());
        place.end(false).await.unwrap();
    }

    #[tokio::test]
    async fn a_removal_that_was_interrupted_is_finished_and_the_next_trial_has_another_secret() {
        let place = Place::new().await;
        let key = place.catalog().key("dev").await.unwrap();
        for (kind, subject) in place.storage.catalog.seeded(Origin::Dev).await.unwrap() {
            if kind == Kind::User {
                place.change(Change::RemoveUser { user: subject, force: true }).await;
            }
        }
        place.change(Change::RemoveKey { key_id: "dev".to_owned() }).await;
        assert!(place.has_file());
        place.end(true).await.unwrap();
        assert!(!place.has_file());
        assert_eq!(place.begin_trial().await, 3);
        assert_ne!(place.catalog().key("dev").await.unwrap().unwrap().value.secrets, key.unwrap().value.secrets);
    }
}
