//! Deadlines from a time when the clock was ahead: after it was set back they lie further off than anything lasts.
//!
//! A session whose connection ended at a time that lies ahead has its time from when the clock was set back, by a clock that
//! nobody sets. Messages are many, and are corrected once. Which of the two times is wrong is not known at once: a machine may start with a clock that lies behind, and is set
//! right when the network is there. So nothing happens for a day. What lies further ahead then than a message is kept was
//! written by a clock that was ahead, and has its time from when the clock was set back.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::p2p::QUEUE_ID_KEPT;
use super::sweep::VISITS_PER_TURN;
use super::{Clients, EndingAhead};
use crate::inbox::Correction;
use crate::over::Held;
use crate::store::RecoveredClient;
use crate::worker::action::{ClientRef, Now};

/// Until then the clock may be set right again.
const SETTLES_AFTER: Duration = Duration::from_hours(24);
/// A deadline may be off by this.
const STEP_MIN: Duration = Duration::from_hours(1);

pub(super) struct SetBack {
    last_tick: Now,
    /// When the clock was set back, or clients came from the log with deadlines too far ahead.
    since: Option<Instant>,
    walk: Option<CorrectionWalk>,
    /// The next slot, where ends of sessions that lie ahead are looked for.
    sessions: Option<u32>,
}

/// On its way over all clients.
struct CorrectionWalk {
    since: Instant,
    next_slot: u32,
}

/// How deadlines that lie too far ahead are moved.
struct Corrections {
    messages: Correction,
    queue_ids: Correction,
}

/// Of what lasts so long, and was that far ahead for some time.
fn correction(lasts: Duration, waited: Duration, now_ms: u64) -> Correction {
    let at = |left: Duration| now_ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    Correction { beyond_ms: at(lasts.saturating_add(STEP_MIN)), to_ms: at(lasts.saturating_sub(waited)) }
}

impl SetBack {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last_tick: Now { instant: now, ms: 0, doubt_ms: 0, held: Held::default() },
            since: None,
            walk: None,
            sessions: None,
        }
    }

    pub(super) fn tick(&mut self, now: Now) {
        let passed = now.instant.saturating_duration_since(self.last_tick.instant);
        let expected_ms = u128::from(self.last_tick.ms) + passed.as_millis();
        if u128::from(now.ms) + STEP_MIN.as_millis() < expected_ms {
            self.since = Some(now.instant);
            self.sessions = Some(0);
        }
        self.last_tick = now;
        if let Some(since) = self.since.take_if(|since| now.instant >= *since + SETTLES_AFTER) {
            self.walk = Some(CorrectionWalk { since, next_slot: 0 });
        }
    }

    /// There are clients to visit.
    pub(super) fn has_more(&self) -> bool {
        self.walk.is_some() || self.sessions.is_some()
    }
}

impl Clients {
    /// A client comes from the log.
    pub(super) fn note_deadlines_ahead(&mut self, recovered: &RecoveredClient, now: Now) {
        let Corrections { messages, queue_ids } = self.corrections(Duration::ZERO, now.ms);
        let entries = recovered.entries.iter().map(|(_, entry)| entry.expires_at_ms);
        let mut deadlines = entries.chain(recovered.seen.values().map(|seen| seen.until_ms));
        if deadlines.any(|deadline_ms| messages.concerns(deadline_ms))
            || recovered.queue_ids.values().any(|until_ms| queue_ids.concerns(*until_ms))
        {
            self.set_back.since = Some(now.instant);
        }
    }

    /// Visits some clients after the clock was set back.
    pub(super) fn correct_some(&mut self, now: Now) {
        self.note_some_endings_ahead(now);
        self.correct_some_deadlines(now);
    }

    fn note_some_endings_ahead(&mut self, now: Now) {
        let Some(next_slot) = self.set_back.sessions.take() else { return };
        let end = next_slot + VISITS_PER_TURN;
        for slot in next_slot..end {
            let Some(entry) = self.entries.get(slot as usize) else { continue };
            let Some((ends_at_ms, session)) = entry.ends_at_ms.zip(entry.session()) else { continue };
            let lasts = Duration::from_secs(u64::from(session.expiry_s));
            if correction(lasts, Duration::ZERO, now.ms).concerns(ends_at_ms.get()) {
                let client = ClientRef { slot, generation: entry.generation };
                let ending = EndingAhead { not_after: now.instant + lasts, ends_at_ms, client };
                self.endings_ahead.push(Reverse(ending));
            }
        }
        let has_more = (end as usize) < self.entries.capacity();
        self.set_back.sessions = has_more.then_some(end);
    }

    fn correct_some_deadlines(&mut self, now: Now) {
        let Some(CorrectionWalk { since, next_slot }) = self.set_back.walk.take() else { return };
        let Corrections { messages, queue_ids } =
            self.corrections(now.instant.saturating_duration_since(since), now.ms);
        let end = next_slot + VISITS_PER_TURN;
        for slot in next_slot..end {
            if let Some(entry) = self.entries.get_mut(slot as usize) {
                entry.inbox.correct_deadlines(messages);
                entry.queue_ids.correct_deadlines(queue_ids);
                self.put_in_order(slot);
            }
        }
        let has_more = (end as usize) < self.entries.capacity();
        self.set_back.walk = has_more.then_some(CorrectionWalk { since, next_slot: end });
    }

    fn corrections(&self, waited: Duration, now_ms: u64) -> Corrections {
        Corrections {
            messages: correction(self.context.limits.offline_retention, waited, now_ms),
            queue_ids: correction(QUEUE_ID_KEPT, waited, now_ms),
        }
    }
}
