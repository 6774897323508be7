//! A broker that notes what it is told.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::{Ending, Sessions};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use uuid::Uuid;

#[derive(Debug, Default)]
pub(crate) struct ToldBroker {
    /// Who has a session.
    pub(crate) holders: Mutex<HashMap<String, Box<str>>>,
    /// What it was told to end: client ids, with the keys that are void.
    pub(crate) ended: Mutex<Vec<(String, Option<String>)>>,
    /// Of these, the client ids of removed devices that are registered again.
    pub(crate) registered_again: Mutex<Vec<String>>,
    pub(crate) cut_keys: Mutex<Vec<String>>,
    pub(crate) judged_keys: Mutex<Vec<String>>,
    pub(crate) cut_tokens: Mutex<Vec<Uuid>>,
    /// Client ids with credentials.
    pub(crate) cut_credentials: Mutex<Vec<(String, String)>>,
    pub(crate) cut_devices: Mutex<Vec<(String, String)>>,
    /// Client ids with the accounts that they are of now.
    pub(crate) registered: Mutex<Vec<(String, String)>>,
    pub(crate) cut_groups: Mutex<Vec<String>>,
    /// Parent topics.
    pub(crate) judged_subscriptions: Mutex<Vec<String>>,
    /// Its log takes nothing: no device ends for good.
    pub(crate) is_full: AtomicBool,
    /// As long as there are such, who asks whose a client id is waits for the answer.
    pub(crate) held_questions: Mutex<Option<Vec<oneshot::Sender<()>>>>,
    /// It gives no answer about connections whose login is void.
    pub(crate) is_silent_about_cuts: AtomicBool,
    /// It gives no answer about devices.
    pub(crate) is_silent: AtomicBool,
}

impl Sessions for ToldBroker {
    fn holder_of(&self, client_id: &str) -> oneshot::Receiver<Option<Box<str>>> {
        let holder = self.holders.lock().unwrap().get(client_id).cloned();
        let Some(held) = &mut *self.held_questions.lock().unwrap() else { return answer(holder) };
        let (go_on, waited) = oneshot::channel();
        held.push(go_on);
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            drop(waited.await);
            drop(answer.send(holder));
        });
        answered
    }

    fn end_device(&self, client_id: &str, ending: Ending<'_>) -> oneshot::Receiver<Option<Box<str>>> {
        if self.is_silent.load(Ordering::SeqCst) || self.is_full.load(Ordering::SeqCst) {
            return oneshot::channel().1;
        }
        let key_id = match ending {
            Ending::Removed { key_id } => Some(key_id.to_owned()),
            Ending::RegisteredAgain => {
                self.registered_again.lock().unwrap().push(client_id.to_owned());
                None
            }
            Ending::Registered => None,
        };
        let mut holders = self.holders.lock().unwrap();
        let service = holders.get(client_id).filter(|account| account.starts_with("service:")).cloned();
        if service.is_none() {
            holders.remove(client_id);
            self.ended.lock().unwrap().push((client_id.to_owned(), key_id));
        }
        answer(service)
    }

    fn cut_device(&self, client_id: &str, key_id: &str) -> oneshot::Receiver<()> {
        if self.is_silent.load(Ordering::SeqCst) {
            return oneshot::channel().1;
        }
        self.cut_devices.lock().unwrap().push((client_id.to_owned(), key_id.to_owned()));
        answer(())
    }

    fn cut_key(&self, key_id: &str) -> oneshot::Receiver<()> {
        self.cut_keys.lock().unwrap().push(key_id.to_owned());
        answer(())
    }

    fn judge_key(&self, key_id: &str) -> oneshot::Receiver<()> {
        self.judged_keys.lock().unwrap().push(key_id.to_owned());
        answer(())
    }

    fn cut_token(&self, id: Uuid) -> oneshot::Receiver<()> {
        self.cut_tokens.lock().unwrap().push(id);
        answer(())
    }

    fn cut_credential(&self, client_id: &str, key_id: &str) -> oneshot::Receiver<()> {
        if self.is_silent.load(Ordering::SeqCst) {
            return oneshot::channel().1;
        }
        if self.is_silent_about_cuts.load(Ordering::SeqCst) {
            return oneshot::channel().1;
        }
        self.cut_credentials.lock().unwrap().push((client_id.to_owned(), key_id.to_owned()));
        answer(())
    }

    fn end_others(&self, client_id: &str, account: &str) -> oneshot::Receiver<()> {
        let mut holders = self.holders.lock().unwrap();
        if holders.get(client_id).is_some_and(|holder| **holder != *account) {
            holders.remove(client_id);
        }
        self.registered.lock().unwrap().push((client_id.to_owned(), account.to_owned()));
        answer(())
    }

    fn cut_group(&self, group: &str) -> oneshot::Receiver<()> {
        self.cut_groups.lock().unwrap().push(group.to_owned());
        answer(())
    }

    fn judge_subscriptions(&self, parent: &str) -> oneshot::Receiver<()> {
        if self.is_full.load(Ordering::SeqCst) {
            return oneshot::channel().1;
        }
        self.judged_subscriptions.lock().unwrap().push(parent.to_owned());
        answer(())
    }
}

fn answer<T>(value: T) -> oneshot::Receiver<T> {
    let (answer, answered) = oneshot::channel();
    drop(answer.send(value));
    answered
}
