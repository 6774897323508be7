//! What a client subscribes to.

use std::borrow::Borrow;
use std::fmt;

use super::{TopicError, TopicName, check_common};

/// A valid topic filter. A shared subscription (`$share/<name>/<filter>`) is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a> {
    text: &'a str,
    share: Option<&'a str>,
    levels: &'a str,
}

impl<'a> TopicFilter<'a> {
    /// # Errors
    /// Whatever makes it no filter [MQTT5-4.7.1-1] [MQTT5-4.7.1-2] [MQTT5-4.8.2-1] [MQTT5-4.8.2-2]
    /// [MQTT311-4.7.1-2] [MQTT311-4.7.1-3].
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_common(text)?;
        let (share, levels) = split_share(text)?;
        check_wildcards(levels)?;
        Ok(Self { text, share, levels })
    }

    /// The whole filter as the client wrote it.
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The name of the shared subscription, if it is one.
    pub const fn share_name(self) -> Option<&'a str> {
        self.share
    }

    /// The levels that are matched; without `$share/<name>/`.
    pub fn levels(self) -> impl Iterator<Item = &'a str> {
        self.levels.split('/')
    }

    /// Whether a message to `topic` belongs to this filter.
    pub fn matches(self, topic: TopicName<'_>) -> bool {
        let mut filter = self.levels();
        if topic.is_hidden() && self.levels.starts_with(['+', '#']) {
            return false;
        }
        for level in topic.levels() {
            match filter.next() {
                Some("#") => return true,
                Some("+") => {}
                Some(wanted) if wanted == level => {}
                _ => return false,
            }
        }
        // `a/#` also matches `a`.
        matches!(filter.next(), None | Some("#"))
    }

    pub fn to_owned(self) -> TopicFilterBuf {
        TopicFilterBuf(self.text.into())
    }
}

fn split_share(text: &str) -> Result<(Option<&str>, &str), TopicError> {
    let rest = match text.strip_prefix("$share") {
        Some("") => return Err(TopicError::Share),
        Some(rest) if rest.starts_with('/') => &rest[1..],
        _ => return Ok((None, text)),
    };
    match rest.split_once('/') {
        Some((name, filter)) if !name.is_empty() && !filter.is_empty() && !name.contains(['+', '#']) => {
            Ok((Some(name), filter))
        }
        _ => Err(TopicError::Share),
    }
}

fn check_wildcards(levels: &str) -> Result<(), TopicError> {
    let mut rest = levels.split('/').peekable();
    while let Some(level) = rest.next() {
        let misplaced = match level {
            "#" => rest.peek().is_some(),
            "+" => false,
            literal => literal.contains(['+', '#']),
        };
        if misplaced {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

/// An owned, valid topic filter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilterBuf(Box<str>);

impl TopicFilterBuf {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn as_filter(&self) -> TopicFilter<'_> {
        TopicFilter::parse(&self.0).expect("an owned filter was made from a valid one")
    }
}

impl Borrow<str> for TopicFilterBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TopicFilterBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn a_filter_has_its_wildcards_alone_in_a_level_and_the_last_one_at_the_end() {
        let table = [
            ("a/b", Ok(())),
            ("#", Ok(())),
            ("+", Ok(())),
            ("+/a/#", Ok(())),
            ("a//b", Ok(())),
            ("$share/g/a/#", Ok(())),
            ("$shared/x", Ok(())),
            ("", Err(TopicError::Empty)),
            ("a#", Err(TopicError::MisplacedWildcard)),
            ("#/a", Err(TopicError::MisplacedWildcard)),
            ("+x", Err(TopicError::MisplacedWildcard)),
            ("a/x+/b", Err(TopicError::MisplacedWildcard)),
            ("$share", Err(TopicError::Share)),
            ("$share/x", Err(TopicError::Share)),
            ("$share//f", Err(TopicError::Share)),
            ("$share/g/", Err(TopicError::Share)),
            ("$share/+/f", Err(TopicError::Share)),
            ("$share/a#/f", Err(TopicError::Share)),
            ("$share/g/a#", Err(TopicError::MisplacedWildcard)),
            ("a\u{1}", Err(TopicError::Character)),
        ];
        for (text, expected) in table {
            assert_eq!(TopicFilter::parse(text).map(|_| ()), expected, "{text:?}");
        }
    }

    /// [MQTT5-4.7.1-2] [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]
    #[test]
    fn a_filter_matches_what_the_specification_says() {
        let table = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/a", false),
            ("+/monitor", "$SYS/monitor", false),
            ("$SYS/#", "$SYS/monitor", true),
            ("$SYS/+", "$SYS/monitor", true),
            ("a/b", "a/B", false),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("$share/g/a/+", "a/b", true),
        ];
        for (filter, topic, expected) in table {
            let matched = TopicFilter::parse(filter).unwrap().matches(TopicName::parse(topic).unwrap());
            assert_eq!(matched, expected, "{filter} on {topic}");
        }
    }
}
