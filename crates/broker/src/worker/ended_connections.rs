//! Connections that have ended and whose `tcpclean` is not in the queue yet: the next start tells it, so the log has to
//! know them until then.
//!
//! What it is: their names, as far as the log needs them. What it is not: the events themselves, which are tried again
//! elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::clients::StepLimits;
use crate::client::ClientKey;
use crate::store::RecoveredConnection;
use crate::store::journal::Batch;
use crate::store::record::ConnectionRecord;

/// At the limit the log forgets the oldest with its segment: if the queue does not take its event in this run, nobody
/// hears of that end. It is counted, and said when it begins.
const COUNT_MAX: usize = 65_536;
/// Bytes of records that are added at a time.
const BYTES_MAX: usize = 256 << 10;
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

    /// Says some of those again for which the log may need this segment. Returns their ids; none: there are no more.
    pub(super) fn add_to(&self, batch: &mut Batch, segment: u64) -> Vec<Box<str>> {
        let needing = self.by_id.iter().filter(|(_, connection)| connection.oldest_segment <= segment);
        let mut said = Vec::new();
        for (id, connection) in needing {
            if batch.bytes() >= BYTES_MAX {
                break;
            }
            connection.add_to(id, batch);
            said.push(id.clone());
        }
        said
    }

    /// Adds those behind this id, as far as they fit into a step of a dump. Returns the last one that was added; `None`: there
    /// are no more.
    pub(super) fn dump_some(&self, after: Option<&str>, limits: StepLimits, batch: &mut Batch) -> Option<Box<str>> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut last = None;
        for (id, connection) in self.by_id.range::<str, _>(behind) {
            connection.add_to(id, batch);
            last = Some(id);
            if limits.are_reached(batch) {
                break;
            }
        }
        last.cloned()
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
