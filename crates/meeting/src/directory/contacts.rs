//! The contacts of a user, whom it may call: all others of the instance, the first ones by name.
//!
//! All users are shown the same ones, and after an outage all ask at once. A question that comes while the catalog is
//! being read waits for the next reading, and shares it with all that wait: an answer is never older than its question.

use crate::config::Config;
use crate::directory;
use catalog::{Catalog, CatalogError};
use signalling::{Contact, UserName};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

#[derive(Default)]
pub(crate) struct Contacts {
    questions: AtomicU64,
    last: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    /// How many questions had been asked when it began.
    questions: u64,
    people: People,
}

#[derive(Clone, Default)]
struct People {
    /// One more than is shown, since nobody is shown to oneself.
    all: Arc<[Contact]>,
    /// All changes of presence up to this number are in it.
    number: u64,
}

impl Contacts {
    /// Returns them with the number of the last change of presence that is surely in it.
    pub(crate) async fn of(&self, catalog: &dyn Catalog, own: &UserName) -> Result<(Vec<Contact>, u64), CatalogError> {
        let People { all, number } = self.shared(read(catalog)).await?;
        let others = all.iter().filter(|contact| contact.user != *own);
        Ok((others.take(Config::CONTACTS_MAX as usize).cloned().collect(), number))
    }

    /// The result of `read`, or of another reading that began after this question.
    async fn shared<E>(&self, read: impl Future<Output = Result<People, E>>) -> Result<People, E> {
        let question = self.questions.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.questions < question {
            let questions = self.questions.load(Ordering::SeqCst);
            *last = Reading { questions, people: read.await? };
        }
        Ok(last.people.clone())
    }
}

async fn read(catalog: &dyn Catalog) -> Result<People, CatalogError> {
    // Before the users: what changes meanwhile is reported to the clients that watch.
    let number = catalog.presence_changes(i64::MAX as u64, 1).await?.last;
    let all = directory::first_by_name(catalog, Config::CONTACTS_MAX + 1).await?.into();
    Ok(People { all, number })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use std::convert::Infallible;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn who_asks_while_it_is_read_shares_the_next_reading() {
        let (contacts, readings, go_on) =
            (Arc::new(Contacts::default()), Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (contacts, readings, go_on) = (Arc::clone(&contacts), Arc::clone(&readings), Arc::clone(&go_on));
            let read = async move {
                readings.fetch_add(1, Ordering::SeqCst);
                go_on.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(People::default())
            };
            async move { contacts.shared(read).await.unwrap().all.len() }
        };
        let mut asking = JoinSet::new();
        asking.spawn(ask());
        while readings.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
        (0..10).for_each(|_| drop(asking.spawn(ask())));
        while contacts.questions.load(Ordering::SeqCst) < 11 {
            tokio::task::yield_now().await;
        }
        go_on.add_permits(11);
        asking.join_all().await;
        assert_eq!(readings.load(Ordering::SeqCst), 2, "one that was under way, one for all who asked meanwhile");
    }
}
