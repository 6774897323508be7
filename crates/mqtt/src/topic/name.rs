//! The topic a message is published to.

use super::{TopicError, check_common};

/// A valid topic name: not empty, no wildcard, printable, not too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// # Errors
    /// Whatever makes it no topic name [MQTT5-3.3.2-2] [MQTT5-4.7.0-1] [MQTT311-3.3.2-2] [MQTT311-4.7.1-1].
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_common(text)?;
        // Without an early end, so that many bytes are looked at at once.
        if text.bytes().fold(false, |found, b| found | (b == b'+') | (b == b'#')) {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(text))
    }

    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, which may be empty.
    pub fn levels(self) -> impl Iterator<Item = &'a str> {
        self.0.split('/')
    }

    /// Whether it begins with `$`: wildcards at the first level do not see it [MQTT5-4.7.2-1] [MQTT311-4.7.2-1].
    pub fn is_hidden(self) -> bool {
        self.0.starts_with('$')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_has_no_wildcard_and_no_unprintable_character() {
        let table = [
            ("a", Ok(())),
            ("a//b", Ok(())),
            ("/", Ok(())),
            ("£/日本", Ok(())),
            ("\u{feff}a", Ok(())),
            ("", Err(TopicError::Empty)),
            ("a/+", Err(TopicError::Wildcard)),
            ("a/#", Err(TopicError::Wildcard)),
            ("a\0b", Err(TopicError::Character)),
            ("a\u{7f}", Err(TopicError::Character)),
            ("é\u{85}", Err(TopicError::Character)),
            ("\u{fdd0}", Err(TopicError::Character)),
            ("\u{1ffff}", Err(TopicError::Character)),
        ];
        for (text, expected) in table {
            assert_eq!(TopicName::parse(text).map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_topic_name_may_be_deep_but_not_deeper_than_the_limit() {
        let deepest = "/".repeat(super::super::LEVELS_MAX - 1);
        assert!(TopicName::parse(&deepest).is_ok());
        assert_eq!(TopicName::parse(&format!("{deepest}/")), Err(TopicError::TooDeep));
    }
}
