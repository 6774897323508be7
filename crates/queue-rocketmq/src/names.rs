//! Names of topics and groups as clients give them.

use queue::{DEAD_LETTER_PREFIX, GroupName, TopicName};
use rocketmq_proto::{Code, Resource};

use crate::answer::Refusal;

/// What the names of the program's own groups begin with: nobody else takes their messages.
pub const OWN_GROUPS: &str = "convoke-";

pub(crate) fn topic(resource: Option<&Resource>) -> Result<TopicName, Refusal> {
    let name = unspaced(resource, Refusal::unknown_topic)?;
    TopicName::parse(name).map_err(|error| Refusal::new(Code::IllegalTopic, error.to_string()))
}

pub(crate) fn group(resource: Option<&Resource>) -> Result<GroupName, Refusal> {
    let name = unspaced(resource, Refusal::unknown_group)?;
    if name.starts_with(OWN_GROUPS) {
        return Err(Refusal::unknown_group(name));
    }
    GroupName::parse(name).map_err(|error| Refusal::new(Code::IllegalConsumerGroup, error.to_string()))
}

/// Dead letters come from their group alone.
pub(crate) fn takes_messages(topic: &TopicName) -> bool {
    !topic.as_str().starts_with(DEAD_LETTER_PREFIX)
}

/// There is one name space, which has no name.
fn unspaced(resource: Option<&Resource>, unknown: fn(&str) -> Refusal) -> Result<&str, Refusal> {
    match resource {
        None => Ok(""),
        Some(Resource { resource_namespace, name }) if resource_namespace.is_empty() => Ok(name),
        Some(Resource { name, .. }) => Err(unknown(name)),
    }
}
