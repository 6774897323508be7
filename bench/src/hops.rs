//! The hops of a ring: moments that the server writes to its log at TRACE, between the two that the terminals see.
//!
//! Calls come one after the other. A moment of a request is found by the queue's id of its message; the invitation is the
//! first signal of rings that gets into an inbox after the request's decision.

use crate::figures::percentile;
use crate::ring::Call;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the server has to log.
pub(crate) const LOG: &str = "info,broker=trace,meeting=trace";

const DURABLE: &str = "a PUBLISH is durable in the queue";
const RECEIVED: &str = "a request is received";
const DECIDED: &str = "a decision is stored";
const SENT: &str = "a signal is durable in the queue";
const IN_THE_INBOX: &str = "a message of the queue is in an inbox";
const RINGS: &str = "ring-down";

const NAMES: [&str; 6] = [
    "PUBLISH durable",
    "received by the service",
    "transaction stored",
    "outbox sent, durable",
    "in the inbox",
    "at the callee",
];

const DAY_US: i64 = 24 * 3_600_000_000;

/// A line of the server's log.
struct Moment {
    /// Since midnight, UTC.
    at_us: i64,
    what: String,
    queue_message: String,
    topic: String,
}

/// Percentiles of each hop, since the one before and since the PUBLISH.
pub(crate) fn describe(log: &Path, calls: &[Call]) -> Result<String> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let moments: Vec<Moment> = text.lines().filter_map(moment).collect();
    let calls = calls.iter().map(|call| hops(&moments, call)).collect::<Result<Vec<_>>>()?;
    let mut words =
        format!("hops of a ring, {} calls, server at TRACE: since the hop before; since the PUBLISH", calls.len());
    for (hop, name) in NAMES.iter().enumerate() {
        let since = |start: fn(&[i64; 7], usize) -> i64| {
            let all = || calls.iter().map(move |at_us| ms(at_us[hop + 1] - start(at_us, hop)));
            format!("p50 {:.2} ms, p99 {:.2} ms", percentile(all(), 0.5), percentile(all(), 0.99))
        };
        let (before, publish) = (since(|at_us, hop| at_us[hop]), since(|at_us, _| at_us[0]));
        write!(words, "\n  {name:<24} {before}; {publish}")?;
    }
    Ok(words)
}

/// The moments of one call, the PUBLISH first, in microseconds since the midnight before it.
fn hops(moments: &[Moment], call: &Call) -> Result<[i64; 7]> {
    let published = of_day_us(call.published);
    let since = |at_us: i64| after_us(published, at_us);
    let find = |what: &str, is_it: &dyn Fn(&Moment) -> bool| {
        let found = moments.iter().find(|moment| moment.what == what && is_it(moment));
        found.with_context(|| format!("the server's log does not say of a call: {what}"))
    };
    let durable = find(DURABLE, &|moment| since(moment.at_us) >= 0)?;
    let is_request = |moment: &Moment| moment.queue_message == durable.queue_message;
    let received = find(RECEIVED, &is_request)?;
    let decided = find(DECIDED, &is_request)?;
    let sent_as = |inbox: &Moment| {
        let is_ring = |sent: &Moment| sent.topic == RINGS && sent.queue_message == inbox.queue_message;
        moments.iter().find(|moment| moment.what == SENT && is_ring(moment))
    };
    let is_invitation = |moment: &Moment| since(moment.at_us) >= since(decided.at_us) && sent_as(moment).is_some();
    let in_the_inbox = find(IN_THE_INBOX, &is_invitation)?;
    let sent = sent_as(in_the_inbox).context("an invitation was not sent")?;
    let in_the_log = [durable, received, decided, sent, in_the_inbox].map(|moment| since(moment.at_us));
    let [durable, received, decided, sent, in_the_inbox] = in_the_log;
    Ok([0, durable, received, decided, sent, in_the_inbox, since(of_day_us(call.rang))])
}

/// `None`: not of interest.
fn moment(line: &str) -> Option<Moment> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // A decision is stored within the span of its request.
    let queue_message = text(&fields["queue_message"]).or_else(|| text(&line["span"]["queue_message"]))?;
    Some(Moment {
        at_us: parse_of_day_us(line["timestamp"].as_str()?)?,
        what: text(&fields["message"])?,
        queue_message,
        topic: text(&fields["topic"]).unwrap_or_default(),
    })
}

/// Of `2026-01-31T12:34:56.123456Z`.
fn parse_of_day_us(timestamp: &str) -> Option<i64> {
    let (_, time) = timestamp.trim_end_matches('Z').split_once('T')?;
    let mut parts = time.split(':');
    let (hours, minutes) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some((hours * 60 + minutes) * 60_000_000 + (seconds * 1e6).round() as i64)
}

fn of_day_us(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| (since.as_micros() % DAY_US as u128) as i64)
}

/// How long after `start` something was; the nearest, if midnight was between.
fn after_us(start: i64, at: i64) -> i64 {
    (at - start + DAY_US / 2).rem_euclid(DAY_US) - DAY_US / 2
}

fn ms(us: i64) -> f64 {
    us as f64 / 1e3
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(at: &str, what: &str, queue_message: &str, topic: &str) -> Moment {
        let fields = serde_json::json!({ "message": what, "queue_message": queue_message, "topic": topic });
        moment(&serde_json::json!({ "timestamp": format!("2026-01-31T{at}Z"), "fields": fields }).to_string()).unwrap()
    }

    #[test]
    fn the_hops_of_a_call_are_found_among_others_and_across_midnight() {
        let moments = [
            line("23:59:59.990000", DURABLE, "before", ""),
            line("23:59:59.999300", DURABLE, "request", ""),
            line("23:59:59.999400", RECEIVED, "request", ""),
            line("23:59:59.998000", IN_THE_INBOX, "end of the call before", ""),
            line("23:59:59.999900", DECIDED, "request", ""),
            line("00:00:00.000050", SENT, "end of the call before", RINGS),
            line("00:00:00.000100", SENT, "admitted", "meeting-down"),
            line("00:00:00.000150", IN_THE_INBOX, "admitted", ""),
            line("00:00:00.000200", SENT, "invitation", RINGS),
            line("00:00:00.000350", IN_THE_INBOX, "invitation", ""),
        ];
        let published = UNIX_EPOCH + Duration::from_secs(86_400) - Duration::from_micros(1_000);
        let call = Call { published, rang: UNIX_EPOCH + Duration::from_micros(500), took: Duration::ZERO };
        assert_eq!(hops(&moments, &call).unwrap(), [0, 300, 400, 900, 1_200, 1_350, 1_500]);
    }

    #[test]
    fn a_hop_that_the_log_does_not_tell_is_named() {
        let call = Call { published: UNIX_EPOCH, rang: UNIX_EPOCH, took: Duration::ZERO };
        let error = hops(&[line("00:00:00.000001", DURABLE, "request", "")], &call).unwrap_err();
        assert!(error.to_string().contains(RECEIVED), "{error}");
    }
}
