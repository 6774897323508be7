//! Calls that are over for the sender, page by page.

use super::RequestHandler;
use super::about_user::is_too_long;
use crate::commit::DecisionError;
use crate::machine::Actor;
use crate::requests::verify::refusal;
use catalog::{PastCallPlace, PastCallRow};
use signalling::{DownBody, PastCall, RefusalCode};
use uuid::Uuid;

const PAGE: u32 = 20;
const PAGE_MAX: u32 = 50;

impl RequestHandler<'_> {
    pub(super) async fn history(
        &self,
        actor: &Actor,
        before: Option<&str>,
        limit: Option<u32>,
    ) -> Result<(), DecisionError> {
        let place = before.map(place);
        let limit = limit.unwrap_or(PAGE);
        if place == Some(None) {
            let words = "this page of the history is not known: name the `next` of an answer, or ask for the newest";
            return self.refuse(refusal(RefusalCode::Invalid, words)).await;
        }
        if !(1..=PAGE_MAX).contains(&limit) {
            let words = format!("a page of the history has 1 to {PAGE_MAX} calls: set such a `limit`, or none");
            return self.refuse(refusal(RefusalCode::Invalid, words)).await;
        }
        // One more than wanted says whether there are older ones.
        let rows = self.service.catalog.past_calls(&actor.user.0, place.flatten(), limit + 1).await?;
        let (calls, next) = page(&rows, limit as usize);
        self.service.send_directly(self.answer(DownBody::History { calls, next }), None).await
    }
}

/// The calls of a page, and the name of the next one. A page that is too long for one answer ends earlier. A row that
/// cannot be read is left out.
fn page(rows: &[PastCallRow], limit: usize) -> (Vec<PastCall>, Option<String>) {
    let mut rows_taken = rows.get(..limit).unwrap_or(rows);
    loop {
        let calls: Vec<PastCall> = rows_taken.iter().filter_map(call).collect();
        match rows_taken.split_last() {
            Some((_, fewer)) if !fewer.is_empty() && is_too_long(&calls) => rows_taken = fewer,
            last => {
                let more = rows_taken.len() < rows.len();
                return (calls, last.filter(|_| more).map(|(row, _)| name(row)));
            }
        }
    }
}

fn call(row: &PastCallRow) -> Option<PastCall> {
    let call = serde_json::from_str::<PastCall>(&row.document).ok()?;
    Some(PastCall { started_at_ms: row.started_at_ms, duration_ms: row.duration_ms, ..call })
}

/// The place of a row, as it is in `next`.
fn name(row: &PastCallRow) -> String {
    format!("{}.{}", row.started_at_ms, row.meeting)
}

fn place(name: &str) -> Option<PastCallPlace> {
    let (start, meeting) = name.split_once('.')?;
    let started_at_ms = start.parse().ok().filter(|ms| i64::try_from(*ms).is_ok())?;
    Some(PastCallPlace { started_at_ms, meeting: Uuid::try_parse(meeting).ok()? })
}
