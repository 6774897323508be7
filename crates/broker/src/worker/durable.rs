//! What waits for the disk, and how the answers of several places become one.

use commitlog::Position;
use mqtt::{AckToken, PacketId, ReasonCode, Version};
use tokio::sync::oneshot;

use super::Worker;
use super::post::{Asker, LinkKey, Outcome, Post, QueueJob, ReplyTo};

/// To be done once the log is durable up to some position.
pub(super) enum AfterDurable {
    Accept(LinkKey),
    Suback {
        link: LinkKey,
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
    },
    Unsuback {
        link: LinkKey,
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
    },
    Puback {
        link: LinkKey,
        token: AckToken,
    },
    /// Nothing is left of a user's device.
    Ended(oneshot::Sender<Option<Box<str>>>),
    /// The acknowledgement to the embedded queue was part of what is durable now.
    Applied(Box<QueueJob>),
    /// Another queue is told now.
    Acknowledge(Box<QueueJob>),
}

/// A message that went to several places.
pub(super) struct Gather {
    asker: Asker,
    remaining: usize,
    outcome: Outcome,
}

/// The one answer for two places: whoever refused decides; else the disk; else somebody who took it.
pub(super) fn merge(a: Outcome, b: Outcome) -> Outcome {
    fn weight(outcome: Outcome) -> u8 {
        match outcome {
            Outcome::Dropped(_) => 0,
            Outcome::Done(reason) if reason != ReasonCode::SUCCESS => 1,
            Outcome::Done(_) => 2,
            Outcome::Durable(_) => 3,
            Outcome::Unavailable => 4,
            Outcome::Forbidden(_) => 5,
        }
    }
    match (a, b) {
        (Outcome::Durable(a), Outcome::Durable(b)) => Outcome::Durable(a.max(b)),
        (a, b) if weight(a) >= weight(b) => a,
        (_, b) => b,
    }
}

impl Worker {
    pub(super) fn when_durable(&mut self, end: Position, then: AfterDurable) {
        let number = self.number();
        self.waiting.insert((end, number), then);
    }

    pub(super) fn take_durable(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let durable = self.shared.journal.durable();
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= durable) {
            let then = first.remove();
            self.do_after(then);
        }
    }

    fn do_after(&mut self, then: AfterDurable) {
        match then {
            AfterDurable::Accept(link) => self.accept(link),
            AfterDurable::Suback { link, packet_id, codes } => self.suback(link, packet_id, &codes),
            AfterDurable::Unsuback { link, packet_id, codes } => self.unsuback(link, packet_id, &codes),
            AfterDurable::Puback { link, token } => self.puback(link, token, ReasonCode::SUCCESS),
            // Whoever asked may be gone.
            AfterDurable::Ended(answer) => _ = answer.send(None),
            AfterDurable::Applied(job) => self.applied(&job),
            AfterDurable::Acknowledge(job) => self.acknowledge_queue(job),
        }
    }

    /// Brings the answer to whoever asked, on whatever worker.
    pub(super) fn answer(&mut self, reply_to: ReplyTo, outcome: Outcome) {
        let ReplyTo { worker, asker } = reply_to;
        if worker == self.me || matches!(asker, Asker::Queue(_)) {
            self.settle(asker, outcome);
        } else if !matches!(asker, Asker::Nobody) {
            self.post(worker, Post::Answer { asker, outcome });
        }
    }

    pub(super) fn settle(&mut self, asker: Asker, outcome: Outcome) {
        match asker {
            Asker::Nobody => {}
            Asker::Publish { link, token } => self.settle_publish(link, token, outcome),
            Asker::Gather(number) => self.settle_part(number, outcome),
            Asker::Queue(job) => self.settle_queue(job, outcome),
        }
    }

    fn settle_publish(&mut self, link: LinkKey, token: AckToken, outcome: Outcome) {
        match outcome {
            Outcome::Durable(end) => self.when_durable(end, AfterDurable::Puback { link, token }),
            Outcome::Done(reason) | Outcome::Dropped(reason) => self.puback(link, token, reason),
            Outcome::Unavailable => self.refuse_publish(link, token, ReasonCode::QUOTA_EXCEEDED),
            Outcome::Forbidden(reason) => self.refuse_publish(link, token, reason),
        }
    }

    pub(super) fn puback(&mut self, key: LinkKey, token: AckToken, reason: ReasonCode) {
        let Some(link) = self.link(key) else { return };
        let was_blocked = !link.mqtt.wants_input();
        link.mqtt.puback(token, reason, &mut link.out);
        link.again |= was_blocked;
        self.mark_dirty(key);
        if was_blocked {
            self.mark_ready(key);
        }
    }

    /// 3.1.1 has no word for it: its connection ends, and its client keeps the message.
    fn refuse_publish(&mut self, key: LinkKey, token: AckToken, reason: ReasonCode) {
        let Some(link) = self.link(key) else { return };
        if link.mqtt.version() == Version::V311 {
            link.mqtt.withhold(token, &mut link.out);
            self.end_link(key, Some(reason));
        } else {
            self.puback(key, token, reason);
        }
    }

    /// One answer for `parts` places; each is told this number.
    pub(super) fn gather(&mut self, asker: Asker, parts: usize) -> u64 {
        let number = self.number();
        let outcome = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        self.gathers.insert(number, Gather { asker, remaining: parts, outcome });
        number
    }

    fn settle_part(&mut self, number: u64, outcome: Outcome) {
        let Some(gather) = self.gathers.get_mut(&number) else { return };
        gather.outcome = merge(gather.outcome, outcome);
        gather.remaining -= 1;
        if gather.remaining == 0
            && let Some(Gather { asker, outcome, .. }) = self.gathers.remove(&number)
        {
            self.settle(asker, outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_speaks_for_all_places() {
        let durable = |at| Outcome::Durable(Position(at));
        let (success, nobody) = (ReasonCode::SUCCESS, ReasonCode::NO_MATCHING_SUBSCRIBERS);
        let table = [
            (durable(3), durable(9), durable(9)),
            (durable(3), Outcome::Done(success), durable(3)),
            (Outcome::Dropped(nobody), Outcome::Done(success), Outcome::Done(success)),
            (Outcome::Done(nobody), Outcome::Done(success), Outcome::Done(success)),
            (Outcome::Unavailable, durable(3), Outcome::Unavailable),
            (Outcome::Dropped(nobody), Outcome::Dropped(nobody), Outcome::Dropped(nobody)),
        ];
        for (a, b, expected) in table {
            assert_eq!(merge(a, b), expected);
            assert_eq!(merge(b, a), expected);
        }
    }
}
