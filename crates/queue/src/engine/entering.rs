//! Messages that are due come into the line of their topic: their entries are appended, some at a time.

use std::sync::Arc;

use commitlog::{Need, NewRecord, Part};

use super::Inner;
use super::durable::WhenDurable;
use super::topic::{Locked, Topic};
use crate::core::NewEntry;
use crate::error::Unavailable;
use crate::message::TopicType;
use crate::records::{encode_entry, kind};

/// Entries of one append.
const ENTRIES_MAX: usize = 64;
/// Most that one append of entries has, if not a single one is larger: a tag is.
const BYTES_MAX: usize = 64 << 10;
const RECORD_COST: usize = 48;

impl Inner {
    /// Lets in what is due, topic by topic. Returns whether more may be. What the log does not take is tried again at the next look.
    pub(super) fn let_in_due(&self) -> bool {
        let delays = |topic: &Arc<Topic>| topic.topic_type == TopicType::Delay;
        let topics: Vec<_> = self.topics().into_iter().filter(delays).collect();
        let more = topics.iter().filter(|topic| self.let_in_due_of(topic)).count();
        more > 0
    }

    fn let_in_due_of(&self, topic: &Arc<Topic>) -> bool {
        let now = self.wall();
        let mut locked = self.lock(topic);
        let due = locked.core.take_due(now, ENTRIES_MAX);
        let mut rest = &due[..];
        while !rest.is_empty() {
            let (unit, behind) = rest.split_at(self.fitting(rest));
            if let Err(error) = append_entries(&mut locked, unit) {
                tracing::debug!(%error, "delayed messages are due, and the log takes nothing");
                rest.iter().for_each(|due| locked.core.put_back(due.topic, due.message));
                return false;
            }
            rest = behind;
        }
        due.len() == ENTRIES_MAX
    }

    fn fitting(&self, due: &[NewEntry]) -> usize {
        let mut bytes = 0;
        let fits = |due: &&NewEntry| {
            bytes += encode_entry(due.message, &due.entry).len() + RECORD_COST;
            bytes <= BYTES_MAX.min(self.log.append_bytes_max() / 2)
        };
        due.iter().take_while(fits).count().max(1)
    }
}

fn append_entries(locked: &mut Locked<'_>, due: &[NewEntry]) -> Result<(), Unavailable> {
    let payloads: Vec<_> = due.iter().map(|due| encode_entry(due.message, &due.entry)).collect();
    let payloads: Vec<_> = payloads.iter().map(|payload| [Part::Bytes(payload)]).collect();
    let records = due.iter().zip(&payloads).map(|(due, payload)| NewRecord::new(kind::ENTRY, due.topic.0, payload));
    let appended = locked.append(Need::Essential, &records.collect::<Vec<_>>())?;
    for (due, position) in due.iter().zip(appended.positions) {
        let NewEntry { message, entry, .. } = due.clone();
        locked.when_durable(appended.end, WhenDurable::Enter { position, message, entry });
    }
    Ok(())
}
