//! Topics and groups: created with one append each, answered when it is durable; described from memory.

use commitlog::{Need, NewRecord, Part};

use super::Inner;
use super::state::{DurableAnswer, wait_durable};
use crate::error::AdminError;
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
        let id = self.state().core.topic_id(&name);
        match id.and_then(|id| self.state().core.topic_type(id)) {
            Some(is) if is != topic_type => Err(AdminError::OtherType { topic: name, is }),
            _ => Ok(()),
        }
    }

    fn append_topic(&self, name: &TopicName, topic_type: TopicType) -> Result<DurableAnswer, AdminError> {
        let mut state = self.state();
        state.check_available()?;
        if state.core.topic_id(name).is_some() {
            return Ok(state.answer_when_all_is_durable());
        }
        if state.core.topic_count() >= TOPICS_MAX {
            return Err(AdminError::TooMany { what: "topics", max: TOPICS_MAX });
        }
        let (kind, payload) = encode_topic(name.as_str(), topic_type);
        let payload = [Part::Bytes(&payload)];
        let record = NewRecord::new(kind, 0, &payload);
        let appended = state.append(&self.log, Need::Normal, &[record])?;
        state.core.add_topic(TopicId::from(appended.positions[0]), name.clone(), topic_type);
        Ok(state.answer_when_durable(appended.end))
    }

    pub(super) async fn create_group(&self, name: GroupName, options: GroupOptions) -> Result<(), AdminError> {
        TopicName::dead_letters_of(&name).map_err(|_| AdminError::GroupName(name.clone()))?;
        let answer = self.append_group(&name, options)?;
        Ok(wait_durable(answer).await?)
    }

    fn append_group(&self, name: &GroupName, options: GroupOptions) -> Result<DurableAnswer, AdminError> {
        let mut state = self.state();
        state.check_available()?;
        let known = state.core.group_id(name);
        if known.is_some_and(|id| state.core.group_options(id) == Some(options)) {
            return Ok(state.answer_when_all_is_durable());
        }
        if known.is_none() && state.core.group_count() >= GROUPS_MAX {
            return Err(AdminError::TooMany { what: "groups", max: GROUPS_MAX });
        }
        let (kind, payload) = encode_group(options, name.as_str());
        let payload = [Part::Bytes(&payload)];
        let record = NewRecord::new(kind, 0, &payload);
        let appended = state.append(&self.log, Need::Normal, &[record])?;
        state.core.set_group(GroupId::from(appended.positions[0]), name.clone(), options);
        Ok(state.answer_when_durable(appended.end))
    }

    pub(super) fn topic_type(&self, topic: &TopicName) -> Result<TopicType, AdminError> {
        let state = self.state();
        let id = state.core.topic_id(topic);
        let topic_type = id.and_then(|id| state.core.topic_type(id));
        topic_type.ok_or_else(|| AdminError::UnknownTopic(topic.clone()))
    }

    pub(super) fn group_options(&self, name: &GroupName) -> Result<GroupOptions, AdminError> {
        let state = self.state();
        let options = state.core.group_id(name).and_then(|id| state.core.group_options(id));
        options.ok_or_else(|| AdminError::UnknownGroup(name.clone()))
    }

    pub(super) fn describe(&self, topic: &TopicName) -> Result<TopicDescription, AdminError> {
        let now = self.now();
        let state = self.state();
        let unknown = || AdminError::UnknownTopic(topic.clone());
        let id = state.core.topic_id(topic).ok_or_else(unknown)?;
        state.core.describe(id, now).ok_or_else(unknown)
    }
}
