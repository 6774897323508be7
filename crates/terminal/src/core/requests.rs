//! Requests that are under way, so that one that is refused for a wrong clock can go out once more.

use super::step::{REQUEST_EXPIRY, Step};
use signalling::{MeetingId, SignalId, Up, UpBody};
use std::collections::VecDeque;

/// Requests that are remembered; past it the oldest are taken as answered.
const KEPT_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Requests {
    under_way: VecDeque<Request>,
    /// Refused as expired: they go out once more when the service's clock is known again.
    due: Vec<Request>,
}

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) id: SignalId,
    pub(crate) meeting: MeetingId,
    pub(crate) body: UpBody,
    made_ms: u64,
    repeated: bool,
}

impl Request {
    /// What a person wanted half a minute ago is not begun now.
    pub(crate) fn is_too_old(&self, now_ms: u64) -> bool {
        let begins = matches!(self.body, UpBody::Create { .. } | UpBody::Invite { .. });
        begins && self.made_ms + REQUEST_EXPIRY.as_millis() as u64 <= now_ms
    }
}

impl Requests {
    /// Those about no meeting do not expire.
    pub(crate) fn note(&mut self, up: &Up, now_ms: u64) {
        let Some(meeting) = up.envelope.meeting else { return };
        if self.under_way.iter().any(|request| request.id == up.envelope.id) {
            return;
        }
        let request = Request { id: up.envelope.id, meeting, body: up.body.clone(), made_ms: now_ms, repeated: false };
        self.keep(request);
    }

    fn keep(&mut self, request: Request) {
        if self.under_way.len() >= KEPT_MAX {
            self.under_way.pop_front();
        }
        self.under_way.push_back(request);
    }

    pub(crate) fn handle_answered(&mut self, request: SignalId) {
        self.under_way.retain(|kept| kept.id != request);
    }

    /// Refused as expired. The meeting of the request if it is to go out once more.
    pub(crate) fn handle_expired(&mut self, request: SignalId, now_ms: u64) -> Option<MeetingId> {
        let at = self.under_way.iter().position(|kept| kept.id == request)?;
        let request = self.under_way.remove(at).filter(|kept| !kept.repeated && !kept.is_too_old(now_ms))?;
        let meeting = request.meeting;
        self.due.push(request);
        Some(meeting)
    }

    pub(crate) fn take_due(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.due)
    }

    /// Under a new id; this time its refusal counts.
    pub(crate) fn repeat(&mut self, step: &mut Step<'_, '_>, request: Request) -> SignalId {
        let id = step.publish(Some(request.meeting), request.body.clone());
        self.keep(Request { id, repeated: true, ..request });
        id
    }
}
