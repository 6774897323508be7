//! Claims on rows, in memory: this file has one process, with which they all end.

use super::fault::Fault;
use super::meetings;
use crate::{Claim, OutboxRow};
use sqlx::SqliteConnection;
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;
use uuid::Uuid;

#[derive(Debug, Default)]
pub(super) struct Claims {
    lanes: HashMap<String, LaneClaim>,
    /// The lane of each message that somebody has.
    lane_of: HashMap<i64, String>,
    /// Up to which message, inclusive, each service has all that it may have.
    after: HashMap<Uuid, i64>,
    /// Meetings whose timers are claimed.
    meetings: HashMap<Uuid, Claimed>,
}

#[derive(Clone, Copy, Debug)]
struct Claimed {
    by: Uuid,
    until: Instant,
}

impl Claimed {
    fn new(claim: &Claim) -> Self {
        Self { by: claim.by, until: Instant::now() + claim.lasts }
    }

    fn is_of_another(&self, by: Uuid) -> bool {
        self.by != by && Instant::now() < self.until
    }
}

#[derive(Debug)]
struct LaneClaim {
    claimed: Claimed,
    /// Not empty.
    messages: HashSet<i64>,
}

enum Turn {
    Given,
    HasIt,
    OfAnother,
}

impl Claims {
    /// See [`Meetings::claim_outbox`](crate::Meetings::claim_outbox).
    pub(super) async fn outbox(
        &mut self,
        conn: &mut SqliteConnection,
        claim: &Claim,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, Fault> {
        let limit = limit as usize;
        for lane in self.lanes.values_mut().filter(|lane| lane.claimed.by == claim.by) {
            lane.claimed = Claimed::new(claim);
        }
        let mut after = self.after.get(&claim.by).copied().unwrap_or(0);
        let (mut given, mut complete, mut more) = (Vec::new(), true, true);
        while more && given.len() < limit {
            let wanted = limit - given.len();
            let rows = match meetings::outbox(conn, after, wanted).await {
                Ok(rows) => rows,
                Err(error) if given.is_empty() => return Err(error),
                // What is given counts as such from now on.
                Err(_) => break,
            };
            more = rows.len() == wanted;
            for row in rows {
                after = row.id;
                match self.turn(claim, &row) {
                    Turn::Given => given.push(row),
                    Turn::HasIt => {}
                    Turn::OfAnother => complete = false,
                }
                if complete {
                    self.after.insert(claim.by, after);
                }
            }
        }
        Ok(given)
    }

    fn turn(&mut self, claim: &Claim, row: &OutboxRow) -> Turn {
        match self.lanes.get_mut(&row.lane) {
            Some(lane) if lane.claimed.is_of_another(claim.by) => return Turn::OfAnother,
            Some(lane) if lane.claimed.by == claim.by => {
                if !lane.messages.insert(row.id) {
                    return Turn::HasIt;
                }
            }
            _ => {
                let lane = LaneClaim { claimed: Claimed::new(claim), messages: HashSet::from([row.id]) };
                self.lanes.insert(row.lane.clone(), lane);
            }
        }
        self.lane_of.insert(row.id, row.lane.clone());
        Turn::Given
    }

    /// These messages are not in the outbox any more.
    pub(super) fn gone(&mut self, ids: &[i64]) {
        for id in ids {
            let Some(name) = self.lane_of.remove(id) else { continue };
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            lane.messages.remove(id);
            if lane.messages.is_empty() {
                self.lanes.remove(&name);
            }
        }
    }

    /// Meetings whose timers are not for this service.
    pub(super) fn meetings_of_others(&mut self, by: Uuid) -> Vec<Uuid> {
        let now = Instant::now();
        self.meetings.retain(|_, claimed| now < claimed.until);
        self.meetings.iter().filter(|(_, claimed)| claimed.by != by).map(|(id, _)| *id).collect()
    }

    pub(super) fn claim_meetings(&mut self, claim: &Claim, ids: impl Iterator<Item = Uuid>) {
        self.meetings.extend(ids.map(|id| (id, Claimed::new(claim))));
    }

    pub(super) fn release(&mut self, by: Uuid) {
        self.lanes.retain(|_, lane| lane.claimed.by != by);
        self.lane_of.retain(|_, lane| self.lanes.contains_key(lane));
        self.after.remove(&by);
        self.meetings.retain(|_, claimed| claimed.by != by);
    }
}
