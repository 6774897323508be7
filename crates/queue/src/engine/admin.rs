//! Topics and groups: created with one append each, answered when it is durable; described from memory.

use commitlog::{Appended, Need, NewRecord, Part};

use super::Inner;
use super::durable::{DurableAnswer, unavailable, wait_durable};
use crate::error::{AdminError, Unavailable};
use crate::ids::{GroupId, TopicId};
use crate::limits::{GROUPS_MAX, TOPICS_MAX};
use crate::message::{GroupOptions, TopicDescription, TopicType};
use crate::names::{GroupName, TopicName};
use crate::records::{encode_group, encode_topic};

impl Inner {
    pub(super) async fn create_topic(&self, name: TopicName) -> Result<(), AdminError> {
        let answer = self.append_topic(&name, TopicType::Normal)?;
        Ok(wait_durable(answer).await?)
    }

    pub(super) async fn create_topic_of(&self, name: TopicName, topic_type: TopicType) -> Result<(), AdminError> {
        if topic_type == TopicType::Transaction {
            return Err(AdminError::UnsupportedType(topic_type));
        }
        let answer = self.append_topic(&name, topic_type)?;
        wait_durable(answer).await?;
        match self.topic_type(&name)? {
            is if is != topic_type => Err(AdminError::OtherType { topic: name, is }),
            _ => Ok(()),
        }
    }

    fn append_topic(&self, name: &TopicName, topic_type: TopicType) -> Result<DurableAnswer, AdminError> {
        let mut names = self.names_mut();
        let mut definitions = self.definitions.lock();
        self.check_available()?;
        if names.topic(name).is_some() {
            return Ok(definitions.answer_when_all_is_durable(self.listed.end()));
        }
        if names.topic_count() >= TOPICS_MAX {
            return Err(AdminError::TooMany { what: "topics", max: TOPICS_MAX });
        }
        let appended = self.append_definition(Need::Normal, encode_topic(name.as_str(), topic_type))?;
        names.add_topic(TopicId::from(appended.positions[0]), name.clone(), topic_type);
        Ok(definitions.answer_when_durable(appended.end))
    }

    /// Of a topic or a group, by kind and payload; under the locks of names and definitions.
    pub(super) fn append_definition(
        &self,
        need: Need,
        (kind, payload): (u8, Vec<u8>),
    ) -> Result<Appended, Unavailable> {
        let payload = [Part::Bytes(&payload)];
        self.log.append(need, &[NewRecord::new(kind, 0, &payload)]).map_err(unavailable)
    }

    pub(super) async fn create_group(&self, name: GroupName, options: GroupOptions) -> Result<(), AdminError> {
        TopicName::dead_letters_of(&name).map_err(|_| AdminError::GroupName(name.clone()))?;
        let answer = self.append_group(&name, options)?;
        Ok(wait_durable(answer).await?)
    }

    fn append_group(&self, name: &GroupName, options: GroupOptions) -> Result<DurableAnswer, AdminError> {
        let mut names = self.names_mut();
        let mut definitions = self.definitions.lock();
        self.check_available()?;
        let known = names.groups.id(name);
        if known.is_some_and(|id| names.groups.options(id) == Some(options)) {
            return Ok(definitions.answer_when_all_is_durable(self.listed.end()));
        }
        if known.is_none() && names.groups.len() >= GROUPS_MAX {
            return Err(AdminError::TooMany { what: "groups", max: GROUPS_MAX });
        }
        let appended = self.append_definition(Need::Normal, encode_group(options, name.as_str()))?;
        let answer = definitions.answer_when_durable(appended.end);
        drop(definitions);
        let id = GroupId::from(appended.positions[0]);
        names.groups.set(id, name.clone(), options);
        for topic in names.topics() {
            let mut locked = self.lock(topic);
            if locked.core.group_id(name).is_some() {
                locked.core.set_group(id, name.clone(), options);
            }
        }
        Ok(answer)
    }

    pub(super) fn topic_type(&self, topic: &TopicName) -> Result<TopicType, AdminError> {
        Ok(self.known_topic(topic)?.topic_type)
    }

    pub(super) fn group_options(&self, name: &GroupName) -> Result<GroupOptions, AdminError> {
        let names = self.names();
        let options = names.groups.id(name).and_then(|id| names.groups.options(id));
        options.ok_or_else(|| AdminError::UnknownGroup(name.clone()))
    }

    pub(super) fn describe(&self, topic: &TopicName) -> Result<TopicDescription, AdminError> {
        let now = self.now();
        let known = self.known_topic(topic)?;
        let described = self.lock(&known).core.describe(known.id, now);
        described.ok_or_else(|| AdminError::UnknownTopic(topic.clone()))
    }
}
