//! Connections that have ended and whose `tcpclean` is not in the queue yet: the next start tells it, so the log has to
//! know them until then.
//!
//! What it is: their names, as far as the log needs them. What it is not: the events themselves, which are tried again
//! elsewhere.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use super::clients::Step;
use crate::client::ClientKey;
use crate::store::RecoveredConnection;
use crate::store::journal::Batch;
use crate::store::record::ConnectionRecord;

/// At the limit the log forgets the oldest with its segment: if the queue does not take its event in this run, nobody
/// hears of that end. It is counted, and said when it begins.
const COUNT_MAX: usize = 65_536;
/// What one is in the log, about.
const LOG_BYTES: u64 = 192;

#[derive(Default)]
pub(super) struct EndedConnections {
    /// By connection id, which rise with time.
    by_id: BTreeMap<Box<str>, EndedConnection>,
    /// More came than there are places, and since then there was none free.
    is_full: bool,
}

pub(super) struct EndedConnection {
    pub(super) client: ClientKey,
    pub(super) address: Box<str>,
    pub(super) closed_ms: u64,
    /// Number of the oldest segment that the log needs for it.
    pub(super) oldest_segment: u64,
}

impl EndedConnections {
    /// Those that the run before left, wherever the log has them. Those that it left open ended at the latest now.
    pub(super) fn recover(
        connections: impl IntoIterator<Item = (Box<str>, RecoveredConnection)>,
        oldest_segment: u64,
        now_ms: u64,
    ) -> Self {
        let mut ended = Self::default();
        for (id, RecoveredConnection { client_id, address, closed_ms }) in connections {
            let (client, closed_ms) = (ClientKey::new(&client_id), closed_ms.unwrap_or(now_ms));
            ended.add(id, EndedConnection { client, address, closed_ms, oldest_segment });
        }
        ended
    }

    /// `false`: another one was forgotten for it.
    pub(super) fn add(&mut self, id: Box<str>, connection: EndedConnection) -> bool {
        let has_place = self.by_id.len() < COUNT_MAX;
        if !has_place {
            self.by_id.pop_first();
            if !std::mem::replace(&mut self.is_full, true) {
                tracing::warn!(
                    max = COUNT_MAX,
                    "the queue has not taken the ends of very many connections: after a restart nobody hears of the oldest"
                );
            }
        }
        self.by_id.insert(id, connection);
        has_place
    }

    /// Its `tcpclean` is in the queue.
    pub(super) fn told(&mut self, id: &str) {
        self.by_id.remove(id);
        self.is_full &= self.by_id.len() >= COUNT_MAX;
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.by_id.len() as u64 * LOG_BYTES
    }

    /// Says those behind this id again for which the log may need this segment, as far as the step goes. Returns their ids,
    /// and the last one that was looked at; `None`: there are no more.
    pub(super) fn carry_some(
        &self,
        after: Option<&str>,
        segment: u64,
        step: &mut Step,
    ) -> (Vec<Box<str>>, Option<Box<str>>) {
        let (mut said, mut last) = (Vec::new(), None);
        for (id, connection) in self.behind(after) {
            step.look();
            last = Some(id);
            if connection.oldest_segment <= segment {
                connection.add_to(id, &mut step.batch);
                said.push(id.clone());
            }
            if step.is_over() {
                break;
            }
        }
        (said, last.cloned())
    }

    /// Adds those behind this id, as far as the step goes. Returns the last one that was added; `None`: there are no more.
    pub(super) fn dump_some(&self, after: Option<&str>, step: &mut Step) -> Option<Box<str>> {
        let mut last = None;
        for (id, connection) in self.behind(after) {
            connection.add_to(id, &mut step.batch);
            last = Some(id);
            if step.is_over() {
                break;
            }
        }
        last.cloned()
    }

    fn behind(&self, after: Option<&str>) -> btree_map::Range<'_, Box<str>, EndedConnection> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.by_id.range::<str, _>(behind)
    }

    /// These are in the log again, in segment `newest` or a later one.
    pub(super) fn note_said(&mut self, said: &[Box<str>], newest: u64) {
        for id in said {
            if let Some(connection) = self.by_id.get_mut(id) {
                connection.oldest_segment = newest;
            }
        }
    }
}

impl EndedConnection {
    fn add_to(&self, connection_id: &str, batch: &mut Batch) {
        let Self { client, address, closed_ms, .. } = self;
        let (client_id, closed_ms) = (client.as_str(), Some(*closed_ms));
        batch.connection(ConnectionRecord { client_id, connection_id, address, closed_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> EndedConnection {
        EndedConnection { client: ClientKey::new("x"), address: "peer".into(), closed_ms: 1, oldest_segment: 1 }
    }

    #[test]
    fn beyond_the_limit_the_oldest_is_forgotten_and_that_is_said() {
        let mut ended = EndedConnections::default();
        let id = |number: usize| -> Box<str> { format!("{number:08}").into() };
        (0..COUNT_MAX).for_each(|number| assert!(ended.add(id(number), connection())));
        assert!(!ended.add(id(COUNT_MAX), connection()));
        assert!(!ended.by_id.contains_key(&id(0)) && ended.by_id.contains_key(&id(1)));
        ended.told(&id(1));
        assert!(ended.add(id(COUNT_MAX + 1), connection()));
        assert_eq!(ended.by_id.len(), COUNT_MAX);
    }
}
