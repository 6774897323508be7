//! What owners ask and order of clients, brought to the workers that own them.

use std::sync::Arc;

use accounts::clients::{Answer, ClientState, Clients, Depth, Purged, Turn};
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::client::ClientKey;
use crate::worker::orders::Order;
use crate::worker::post::{Notice, WorkerAddress};

impl Clients for Broker {
    fn states(&self, client_ids: Vec<String>, depth: Depth, turn: Turn) -> Answer<Vec<ClientState>> {
        let workers = self.workers();
        let owners: Vec<usize> = client_ids.iter().map(|id| ClientKey::owner(id, workers.len())).collect();
        let asked = workers.iter().enumerate().map(|(worker, address)| {
            let own = owners.iter().zip(&client_ids).filter(|(owner, _)| **owner == worker);
            let clients: Vec<ClientKey> = own.map(|(_, id)| ClientKey::new(id)).collect();
            let turn = turn.clone();
            (!clients.is_empty()).then(|| order(address, |answer| Order::States { clients, depth, answer, turn }))
        });
        let asked: Vec<_> = asked.collect();
        Box::pin(async move {
            let mut found = Vec::new();
            for answer in asked {
                found.push(match answer {
                    Some(answer) => answer.await.ok()?.into_iter(),
                    None => Vec::new().into_iter(),
                });
            }
            owners.into_iter().map(|owner| found.get_mut(owner)?.next()).collect()
        })
    }

    fn connections_of_key(&self, key_id: &str, turn: Turn) -> Answer<u64> {
        let key_id: Arc<str> = key_id.into();
        let make = |answer| Order::OfKey { key_id: Arc::clone(&key_id), answer, turn: turn.clone() };
        let asked: Vec<_> = self.workers().iter().map(|address| order(address, make)).collect();
        Box::pin(async move {
            let mut sum = 0;
            for answer in asked {
                sum += answer.await.ok()?;
            }
            Some(sum)
        })
    }

    fn kick(&self, client_id: &str, why: &'static str, turn: Turn) -> Answer<bool> {
        self.order_for(client_id, |client, answer| Order::Kick { client, why, answer, turn })
    }

    fn purge(&self, client_id: &str, turn: Turn) -> Answer<Purged> {
        self.order_for(client_id, |client, answer| Order::Purge { client, answer, turn })
    }
}

impl Broker {
    fn order_for<T: Send + 'static>(
        &self,
        client_id: &str,
        make: impl FnOnce(ClientKey, oneshot::Sender<T>) -> Order,
    ) -> Answer<T> {
        let (workers, client) = (self.workers(), ClientKey::new(client_id));
        let owner = workers.get(ClientKey::owner(client_id, workers.len()));
        let answer = owner.map(|owner| order(owner, |answer| make(client, answer)));
        Box::pin(async move { answer?.await.ok() })
    }
}

fn order<T>(worker: &WorkerAddress, make: impl FnOnce(oneshot::Sender<T>) -> Order) -> oneshot::Receiver<T> {
    let (answer, answered) = oneshot::channel();
    worker.notify(Notice::Ordered(make(answer)));
    answered
}
