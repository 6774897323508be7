//! Until when connections may stand, by the service's clock: each is looked at in its time, and judged again by what is known
//! then. A credential that was prolonged meanwhile lets its connection stand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use accounts::access::Identity;
use accounts::login::{self, Credential, LookupError, LookupSource};
use mqtt::ReasonCode;

use super::Worker;
use super::action::Now;
use super::connections::Validity;
use super::post::{AnswerOfAll, ConnectionKey, Notice};
use crate::over::Held;

/// What its person reads, or the operator of a service.
const EXPIRED: &str = "the credential of this connection has expired: log in again with a new one";
/// A time that is nearer is looked at no earlier.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(50);
/// A time that is further off is looked at again by then.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A catalog that cannot say whether a credential was prolonged is asked again after this time,
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// and until the credential is over for so long.
const ASKED_FOR_MS: u64 = 30_000;
/// A look-up that has not been answered by then was lost.
const LOOKUP_TAKES_MAX: Duration = Duration::from_secs(10);
/// The clock was set if it has gone by so much more or less than the time that has passed.
const STEP_MS_MIN: u64 = 100;

/// To notice that the clock was set.
pub(super) struct ClockWatch {
    instant: Instant,
    ms: u64,
    held: Held,
}

impl ClockWatch {
    pub(super) fn new(now: Now) -> Self {
        Self { instant: now.instant, ms: now.ms, held: now.held }
    }

    /// Whether, since it was asked last, something is over earlier or later than the time that has passed would have it. While
    /// something is held, where that begins and ends may move with the clock.
    fn was_set(&mut self, now: Now) -> bool {
        let passed = now.instant.saturating_duration_since(self.instant).as_millis();
        let expected = self.ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
        let is_held_otherwise = self.held.is_empty() != now.held.is_empty();
        *self = Self::new(now);
        now.ms.abs_diff(expected) > STEP_MS_MIN || is_held_otherwise
    }
}

/// The clock may go faster by a twentieth while a difference is made up for. What is held comes no nearer for a while.
fn look_after(left_ms: u64) -> Duration {
    let early_ms = if left_ms > 1_000 { left_ms / 16 } else { 0 };
    Duration::from_millis(left_ms - early_ms).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX)
}

impl Worker {
    pub(super) fn validity_until(&self, until_ms: Option<u64>) -> Validity {
        let look_at = until_ms.map(|until_ms| self.now.instant + look_after(self.now.over().left_ms(until_ms)));
        Validity { until_ms, ends_by: None, look_at }
    }

    /// The same of what nothing prolongs: it ends by the service's clock or by the time that passes, whichever comes first.
    pub(super) fn validity_for_good(&self, until_ms: Option<u64>) -> Validity {
        let validity = self.validity_until(until_ms);
        let left = until_ms.map(|until_ms| Duration::from_millis(self.now.over().left_ms(until_ms)));
        // What ends in centuries has no such time.
        Validity { ends_by: left.and_then(|left| self.now.instant.checked_add(left)), ..validity }
    }

    fn is_over(&self, until_ms: Option<u64>) -> bool {
        until_ms.is_some_and(|until_ms| self.now.over().is_over(until_ms))
    }

    /// To be called now and then.
    pub(super) fn watch_clock(&mut self) {
        if self.clock_watch.was_set(self.now) {
            self.connections.look_at_all_validities(self.now.instant);
        }
    }

    /// The time has come to look at the validity of this connection.
    pub(super) fn judge(&mut self, key: ConnectionKey) {
        let Some(let_in) = self.connections.let_in(key) else { return };
        let has_passed = let_in.validity.ends_by.is_some_and(|ends_by| ends_by <= self.now.instant);
        if !has_passed && !self.is_over(let_in.validity.until_ms) {
            return self.stand_until(key, let_in.validity.until_ms);
        }
        match (&let_in.credential, &let_in.identity) {
            (Credential::Jwt { .. } | Credential::Certificate { .. }, _) => self.stand_or_end(key, None),
            (Credential::Secret { generation, key_created_ms }, Identity::Service { key_id, .. }) => {
                let access = self.shared.access.load();
                let stands = login::secret_stands_until(&access, key_id, *generation, *key_created_ms);
                self.stand_or_end(key, stands.ok());
            }
            (_, Identity::Device { client_id, .. }) => {
                let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
                let client_id = client_id.clone();
                self.look_again_after(key, LOOKUP_TAKES_MAX);
                let done = move |found| address.notify(Notice::Standing { connection: key, found });
                self.shared.devices.lookup(LookupSource::Standing, &client_id, Box::new(done));
            }
            (Credential::Device { .. } | Credential::Tokens, Identity::Service { .. }) => self.stand_or_end(key, None),
            // Their ends are looked at apart.
            (_, Identity::Tokens(_)) => {}
        }
    }

    /// The directory has answered for a connection whose credential was to end by now.
    pub(super) fn judge_device(&mut self, key: ConnectionKey, found: Result<Option<catalog::Device>, LookupError>) {
        let Some(let_in) = self.connections.let_in(key) else { return };
        let Credential::Device { key_id } = &let_in.credential else { return };
        match found {
            Ok(device) => {
                let stands = login::credential_stands_until(device.as_ref(), key_id);
                self.stand_or_end(key, stands.ok().map(Some));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read whether a credential was prolonged");
                let given_up = let_in.validity.until_ms.map(|until_ms| until_ms.saturating_add(ASKED_FOR_MS));
                if self.is_over(given_up) {
                    return self.stand_or_end(key, None);
                }
                self.look_again_after(key, ASK_AGAIN_AFTER);
            }
        }
    }

    /// The time of an access key or of its secrets was changed.
    pub(super) fn judge_key(&mut self, key_id: &str, answer: Arc<AnswerOfAll>) {
        self.connections.of_key(key_id).for_each(|connection| self.cut_off.add_to_judge(connection));
        self.cut_off.answer_behind(answer);
    }

    /// One that was let in by a secret of such a key.
    pub(super) fn judge_secret(&mut self, key: ConnectionKey) {
        let Some(let_in) = self.connections.let_in(key) else { return };
        let (Credential::Secret { generation, key_created_ms }, Identity::Service { key_id, .. }) =
            (&let_in.credential, &let_in.identity)
        else {
            return;
        };
        let stands = login::secret_stands_until(&self.shared.access.load(), key_id, *generation, *key_created_ms);
        match stands {
            Ok(until_ms) if !self.is_over(until_ms) => self.stand_until(key, until_ms),
            _ => self.close_with_words(key, ReasonCode::NOT_AUTHORIZED, EXPIRED),
        }
    }

    /// `None`: it does not stand any more.
    fn stand_or_end(&mut self, key: ConnectionKey, stands_until_ms: Option<Option<u64>>) {
        match stands_until_ms {
            Some(until_ms) if !self.is_over(until_ms) => self.stand_until(key, until_ms),
            _ => self.cut_off.add(key, EXPIRED),
        }
    }

    fn stand_until(&mut self, key: ConnectionKey, until_ms: Option<u64>) {
        let Some(let_in) = self.connections.let_in(key) else { return };
        let (ends_by, validity) = (let_in.validity.ends_by, self.validity_until(until_ms));
        let look_at = validity.look_at.into_iter().chain(ends_by).min();
        self.connections.set_validity(key, Validity { ends_by, look_at, ..validity }, self.now.instant);
    }

    fn look_again_after(&mut self, key: ConnectionKey, after: Duration) {
        if let Some(let_in) = self.connections.let_in(key) {
            let validity = Validity { look_at: Some(self.now.instant + after), ..let_in.validity };
            self.connections.set_validity(key, validity, self.now.instant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_a_twentieth_faster_is_looked_at_in_time() {
        let mut left_ms = 30 * 24 * 60 * 60 * 1000;
        let mut looks = 0;
        while left_ms > 0 {
            let passes = u64::try_from(look_after(left_ms).as_millis()).unwrap_or(u64::MAX);
            assert!(passes + passes / 20 <= left_ms || left_ms <= 1_000, "{left_ms}");
            left_ms = left_ms.saturating_sub(passes + passes / 20);
            looks += 1;
        }
        assert!(looks < 300, "{looks}");
        assert_eq!(look_after(u64::MAX), LOOK_EVERY_MAX);
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_goes_is_not() {
        let start = Instant::now();
        let at = |passed_ms: u64, ms: u64| Now::certain(start + Duration::from_millis(passed_ms), ms);
        let mut watch = ClockWatch::new(at(0, 1_000_000));
        assert!(!watch.was_set(at(500, 1_000_525)), "a difference is made up for");
        assert!(watch.was_set(at(1_000, 2_000_000)) && watch.was_set(at(1_500, 1_000_000)));
        assert!(!watch.was_set(at(2_000, 1_000_500)));
        // Where nothing is held, both ends are the present time.
        let held = |from_ms, until_ms, now: Now| Now { held: Held { from_ms, until_ms }, ..now };
        assert!(!watch.was_set(held(1_001_000, 1_001_000, at(2_500, 1_001_000))));
        assert!(!watch.was_set(held(1_001_500, 1_001_500, at(3_000, 1_001_500))), "nothing is held");
        assert!(watch.was_set(held(1, 1_002_000, at(3_500, 1_002_000))), "something is");
        assert!(!watch.was_set(held(2, 1_002_500, at(4_000, 1_002_500))), "it is still");
        assert!(watch.was_set(held(1_003_000, 1_003_000, at(4_500, 1_003_000))), "nothing is any more");
    }
}
