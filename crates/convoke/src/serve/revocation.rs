//! The follower of what owners change, on the broker of this process.

use super::Fatal;
use super::roles::Directory;
use crate::config::Config;
use accounts::revocation::{Revocation, Sessions};
use broker::Broker;
use catalog::Catalog;
use std::sync::Arc;

/// To be called before anything is changed. A follower that has ended ends the process.
pub(super) fn follow(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
    directory: &Directory,
    broker: &Arc<Broker>,
    fatal: Fatal,
) -> Revocation {
    let (access, devices) = (directory.access.clone(), directory.devices.clone());
    let revocation = Revocation::follow(Arc::clone(catalog), access, devices, sessions(config, broker));
    let followed = revocation.clone();
    tokio::spawn(async move {
        followed.ended().await;
        fatal("the task that ends connections whose right has ended has ended itself".to_owned());
    });
    revocation
}

#[cfg(not(feature = "faults"))]
fn sessions(_: &Config, broker: &Arc<Broker>) -> Arc<dyn Sessions> {
    Arc::clone(broker) as Arc<dyn Sessions>
}

#[cfg(feature = "faults")]
fn sessions(config: &Config, broker: &Arc<Broker>) -> Arc<dyn Sessions> {
    let broker = Arc::clone(broker) as Arc<dyn Sessions>;
    if config.test.dies_before_cuts { Arc::new(faults::DiesBeforeCuts(broker)) } else { broker }
}

#[cfg(feature = "faults")]
mod faults {
    use super::{Arc, Sessions};
    use accounts::revocation::Ending;
    use tokio::sync::oneshot;
    use uuid::Uuid;

    /// The process ends between the commit of a change and the first that the broker is told of it.
    pub(super) struct DiesBeforeCuts(pub(super) Arc<dyn Sessions>);

    impl DiesBeforeCuts {
        fn die() -> ! {
            tracing::error!("killed before the broker is told, as this test wishes");
            std::process::abort();
        }
    }

    impl Sessions for DiesBeforeCuts {
        fn holder_of(&self, client_id: &str) -> oneshot::Receiver<Option<Box<str>>> {
            self.0.holder_of(client_id)
        }

        fn end_device(&self, client_id: &str, ending: Ending<'_>) -> oneshot::Receiver<Option<Box<str>>> {
            if let Ending::Removed { .. } = ending {
                Self::die();
            }
            self.0.end_device(client_id, ending)
        }

        fn cut_device(&self, _: &str, _: &str) -> oneshot::Receiver<()> {
            Self::die();
        }

        fn cut_key(&self, _: &str) -> oneshot::Receiver<()> {
            Self::die();
        }

        fn judge_key(&self, _: &str) -> oneshot::Receiver<()> {
            Self::die();
        }

        fn cut_token(&self, _: Uuid) -> oneshot::Receiver<()> {
            Self::die();
        }

        fn cut_credential(&self, _: &str, _: &str) -> oneshot::Receiver<()> {
            Self::die();
        }

        /// A registration, as a rule.
        fn end_others(&self, client_id: &str, account: &str) -> oneshot::Receiver<()> {
            self.0.end_others(client_id, account)
        }

        fn cut_group(&self, _: &str) -> oneshot::Receiver<()> {
            Self::die();
        }

        fn judge_subscriptions(&self, _: &str) -> oneshot::Receiver<()> {
            Self::die();
        }
    }
}
