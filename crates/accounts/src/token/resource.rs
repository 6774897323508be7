//! The resources of a token: topics, and filters for many of them.

use crate::access::{ClientId, P2pTopic, check_parent, is_word};

/// Why a text is no resource; its words are thing, cause and remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    #[error("a topic must begin with a parent topic of 3 to 64 letters, digits, - or _; wildcards may follow it")]
    Parent,
    #[error("# must be the last level of a topic")]
    Wildcard,
    #[error("the levels of a topic have letters, digits, - and _, or are the wildcards + and #")]
    Level,
    #[error("what follows p2p in a topic must be a client id <GroupID>@@@<DeviceID>, + or #")]
    Receiver,
    #[error("the topic is longer than this instance allows")]
    TooLong,
}

/// Whether a token may name it. A wildcard stays inside one parent topic.
///
/// # Errors
/// The first rule that is broken.
pub fn check_resource(resource: &str, chars_max: usize) -> Result<(), ResourceError> {
    let (parent, rest) = resource.split_once('/').map_or((resource, None), |(parent, rest)| (parent, Some(rest)));
    check_parent(parent).map_err(|_| ResourceError::Parent)?;
    let levels: Vec<&str> = rest.map_or_else(Vec::new, |rest| rest.split('/').collect());
    if levels.iter().rev().skip(1).any(|level| *level == "#") {
        return Err(ResourceError::Wildcard);
    }
    let (limited, levels) = match levels.split_first() {
        Some((_, more)) if P2pTopic::is_p2p(resource) => {
            let (receiver, more) = more.split_first().ok_or(ResourceError::Receiver)?;
            if !is_wildcard(receiver) && ClientId::parse(receiver).is_err() {
                return Err(ResourceError::Receiver);
            }
            (more.join("/").chars().count(), more)
        }
        _ => (resource.chars().count(), &*levels),
    };
    if !levels.iter().all(|level| is_word(level) || is_wildcard(level)) {
        return Err(ResourceError::Level);
    }
    if limited > chars_max { Err(ResourceError::TooLong) } else { Ok(()) }
}

fn is_wildcard(level: &str) -> bool {
    matches!(level, "+" | "#")
}

/// As a filter matches a topic name (5.0 section 4.7.1): `a/#` is `a` too. P2P is a right of its own: no wildcard of the second
/// level gives it.
pub(crate) fn matches(resource: &str, topic: &str) -> bool {
    covers(resource, topic) && (P2pTopic::is_p2p(resource) || !P2pTopic::is_p2p(topic))
}

/// Whether all that the filter matches is matched by the resource. A topic name is a filter that matches itself alone.
pub(crate) fn covers(resource: &str, filter: &str) -> bool {
    let (mut wide, mut narrow) = (resource.split('/'), filter.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_covers_a_filter_that_brings_nothing_else() {
        let table = [
            ("chat/#", "chat", true),
            ("chat/#", "chat/a", true),
            ("chat/#", "chat/a/b", true),
            ("chat/#", "chat/#", true),
            ("chat/#", "chat/+", true),
            ("chat/#", "chat/+/#", true),
            ("chat/#", "chatter", false),
            ("chat/+", "chat/a", true),
            ("chat/+", "chat/+", true),
            ("chat/+", "chat", false),
            ("chat/+", "chat/a/b", false),
            ("chat/+", "chat/#", false),
            ("chat/+/b", "chat/a/b", true),
            ("chat/+/b", "chat/+/b", true),
            ("chat/+/b", "chat/+/+", false),
            ("chat/+/b", "chat/#", false),
            ("chat/+/#", "chat/a", true),
            ("chat/+/#", "chat", false),
            ("chat/+/#", "chat/#", false),
            ("chat/+/#", "chat/+/#", true),
            ("chat/a", "chat/a", true),
            ("chat/a", "chat/A", false),
            ("chat/a", "chat/+", false),
            ("chat/a", "chat/a/#", false),
            ("chat", "chat", true),
            ("chat", "chat/a", false),
            ("chat", "chat/", false),
            ("news/p2p/GID_dev@@@a", "news/p2p/GID_dev@@@a", true),
            ("news/p2p/GID_dev@@@a", "news/p2p/GID_dev@@@b", false),
            ("news/p2p/GID_dev@@@a/#", "news/p2p/GID_dev@@@a/x", true),
        ];
        for (resource, filter, expected) in table {
            assert_eq!(covers(resource, filter), expected, "{resource} {filter}");
        }
    }

    #[test]
    fn a_p2p_topic_is_named_by_a_resource_that_says_p2p_alone() {
        let table = [
            ("news/#", false),
            ("news/+/GID_dev@@@a/x", false),
            ("news/+/#", false),
            ("news/p2p/#", true),
            ("news/p2p/+/x", true),
            ("news/p2p/GID_dev@@@a/#", true),
            ("news/p2p/GID_dev@@@b/#", false),
        ];
        for (resource, expected) in table {
            assert_eq!(matches(resource, "news/p2p/GID_dev@@@a/x"), expected, "{resource}");
        }
        assert!(matches("news/#", "news/a/p2p") && matches("news/p2p/#", "news/p2p"));
    }

    /// What a filter matches, said another way: by all names of three levels at most.
    #[test]
    fn a_resource_that_covers_a_filter_matches_each_name_that_the_filter_matches() {
        let words = ["a", "b", "+", "#"];
        let mut filters = vec!["top".to_owned()];
        for one in words {
            filters.push(format!("top/{one}"));
            filters.extend(words.iter().filter(|_| one != "#").map(|two| format!("top/{one}/{two}")));
        }
        let names: Vec<&String> = filters.iter().filter(|name| !name.contains(['+', '#'])).collect();
        for resource in &filters {
            for filter in filters.iter().filter(|filter| covers(resource, filter)) {
                for name in names.iter().filter(|name| matches(filter, name)) {
                    assert!(matches(resource, name), "{resource} covers {filter}, but not {name}");
                }
            }
        }
    }

    #[test]
    fn resources_keep_to_one_parent_and_to_the_levels_of_topics() {
        let longest = format!("top/{}", "l".repeat(60));
        let table = [
            ("top", Ok(())),
            ("top/a/b", Ok(())),
            ("top/+/b", Ok(())),
            ("top/#", Ok(())),
            ("top/p2p/GID_dev@@@a", Ok(())),
            ("top/p2p/GID_dev@@@a/more/#", Ok(())),
            ("top/p2p/+", Ok(())),
            ("top/p2p/#", Ok(())),
            (longest.as_str(), Ok(())),
            ("", Err(ResourceError::Parent)),
            ("#", Err(ResourceError::Parent)),
            ("+/a", Err(ResourceError::Parent)),
            ("ab/c", Err(ResourceError::Parent)),
            ("$SYS/a", Err(ResourceError::Parent)),
            ("$share/g/top", Err(ResourceError::Parent)),
            ("top/#/a", Err(ResourceError::Wildcard)),
            ("top/", Err(ResourceError::Level)),
            ("top//a", Err(ResourceError::Level)),
            ("top/a+", Err(ResourceError::Level)),
            ("top/a,b", Err(ResourceError::Level)),
            ("top/ä", Err(ResourceError::Level)),
            ("top/p2p", Err(ResourceError::Receiver)),
            ("top/p2p/alice", Err(ResourceError::Receiver)),
            ("top/p2p/GID_dev@@@a/b c", Err(ResourceError::Level)),
        ];
        for (resource, expected) in table {
            assert_eq!(check_resource(resource, 64), expected, "{resource}");
        }
        assert_eq!(check_resource(&format!("{longest}l"), 64), Err(ResourceError::TooLong));
    }
}
