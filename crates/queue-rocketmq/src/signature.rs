//! The signature of a request: `MQv2-HMAC-SHA1 Credential=<key id>, SignedHeaders=x-mq-date-time, Signature=<hex>`.
//!
//! It covers the time of the request alone, so who has seen one can use it for as long as that time is taken. Hence
//! [`SIGNATURE_SKEW`], and TLS for whatever leaves the machine.

use http::HeaderMap;

use crate::access::Access;
use crate::limits::SIGNATURE_SKEW;

const SCHEME: &str = "MQv2-HMAC-SHA1";
const DATE_TIME: &str = "x-mq-date-time";

/// The id of the access key that has signed the request, if it has.
pub(crate) fn signer<'a>(headers: &'a HeaderMap, access: &dyn Access, now_ms: u64) -> Option<&'a str> {
    let authorization = headers.get("authorization")?.to_str().ok()?;
    let date_time = headers.get(DATE_TIME)?.to_str().ok()?;
    let Signed { key_id, signature } = Signed::parse(authorization)?;
    let is_timely = ms_of(date_time)?.abs_diff(now_ms) <= SIGNATURE_SKEW.as_millis() as u64;
    (is_timely && access.has_signed(key_id, date_time.as_bytes(), &signature)).then_some(key_id)
}

struct Signed<'a> {
    key_id: &'a str,
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let (scheme, rest) = authorization.split_once(' ')?;
        if scheme != SCHEME {
            return None;
        }
        let (mut key_id, mut signature, mut is_of_date) = (None, None, false);
        for part in rest.split(',') {
            match part.trim().split_once('=')? {
                // A region and a service may follow.
                ("Credential", value) => key_id = value.split('/').next(),
                ("SignedHeaders", value) => is_of_date = value.eq_ignore_ascii_case(DATE_TIME),
                ("Signature", value) => signature = unhex(value),
                _ => {}
            }
        }
        let key_id = key_id.filter(|key_id| !key_id.is_empty() && is_of_date)?;
        Some(Self { key_id, signature: signature? })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// `20060102T150405Z` in milliseconds since 1970.
fn ms_of(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let good = |(at, byte): (usize, &u8)| match at {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    if bytes.len() != 16 || !bytes.iter().enumerate().all(good) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    u64::try_from(seconds).ok()?.checked_mul(1_000)
}

/// Days since 1970 of a date in the Gregorian calendar, whose years are counted from March here.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    struct OneKey;

    impl Access for OneKey {
        fn has_signed(&self, key_id: &str, signed: &[u8], signature: &[u8]) -> bool {
            (key_id, signed, signature) == ("dev", b"20270102T030405Z".as_slice(), b"\x0a\xff".as_slice())
        }

        fn may_use_topics(&self, _: &str) -> bool {
            false
        }

        fn may_send(&self, _: &str, _: &str, _: &str) -> bool {
            false
        }

        fn may_show(&self, _: &str, _: &str, _: &str) -> bool {
            false
        }

        fn may_receive(&self, _: &str, _: &str) -> bool {
            false
        }

        fn may_use_group(&self, _: &str, _: &str) -> bool {
            false
        }

        fn may_stamp(&self, _: &str) -> bool {
            false
        }
    }

    const AT_MS: u64 = 1_798_859_045_000;

    fn signer_of(authorization: &str, date_time: &str, now_ms: u64) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        headers.insert(DATE_TIME, date_time.parse().unwrap());
        signer(&headers, &OneKey, now_ms).map(str::to_owned)
    }

    #[test]
    fn a_signature_names_its_key_in_the_words_of_each_client() {
        for authorization in [
            "MQv2-HMAC-SHA1 Credential=dev, SignedHeaders=x-mq-date-time, Signature=0aff",
            "MQv2-HMAC-SHA1 Credential=dev/region/RocketMQ, SignedHeaders=x-mq-date-time, Signature=0AFF",
            "MQv2-HMAC-SHA1 Credential=dev,SignedHeaders=X-Mq-Date-Time,Signature=0aFF",
        ] {
            let signer = signer_of(authorization, "20270102T030405Z", AT_MS);
            assert_eq!(signer.as_deref(), Some("dev"), "{authorization}");
        }
    }

    #[test]
    fn what_is_no_signature_names_nobody() {
        for authorization in [
            "",
            "Bearer x",
            "MQv2-HMAC-SHA1",
            "MQv2-HMAC-SHA1 Credential=, SignedHeaders=x-mq-date-time, Signature=0aff",
            "MQv2-HMAC-SHA1 Credential=dev, SignedHeaders=x-mq-date-time, Signature=0af",
            "MQv2-HMAC-SHA1 Credential=dev, SignedHeaders=x-mq-date-time, Signature=0a0a",
            "MQv2-HMAC-SHA1 Credential=dev, SignedHeaders=x-mq-request-id, Signature=0aff",
            "MQv2-HMAC-SHA1 Credential=dev, SignedHeaders=x-mq-date-time",
        ] {
            assert_eq!(signer_of(authorization, "20270102T030405Z", AT_MS), None, "{authorization}");
        }
    }

    #[test]
    fn a_signature_is_good_for_a_day_around_its_time() {
        let authorization = "MQv2-HMAC-SHA1 Credential=dev, SignedHeaders=x-mq-date-time, Signature=0aff";
        let day = SIGNATURE_SKEW.as_millis() as u64;
        let is_taken = |now_ms| signer_of(authorization, "20270102T030405Z", now_ms).is_some();
        assert!(is_taken(AT_MS - day) && is_taken(AT_MS + day));
        assert!(!is_taken(AT_MS - day - 1) && !is_taken(AT_MS + day + 1));
    }

    #[test]
    fn times_are_read_by_the_calendar() {
        for (text, ms) in [
            ("19700101T000000Z", Some(0)),
            ("20240229T235959Z", Some(1_709_251_199_000)),
            ("20270102T030405Z", Some(AT_MS)),
            ("20271302T030405Z", None),
            ("2027-1-2T030405Z", None),
            ("20270102T0304050", None),
            ("19691231T000000Z", None),
            ("", None),
        ] {
            assert_eq!(ms_of(text), ms, "{text}");
        }
    }
}
