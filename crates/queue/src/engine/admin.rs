//! Making and describing topics and groups: one append each, answered when it is durable.

use commitlog::{Need, NewRecord, Part};

use super::Inner;
use super::state::{Told, settled};
use crate::error::AdminError;
use crate::ids::{GroupId, TopicId};
use crate::limits::{GROUPS_MAX, TOPICS_MAX};
use crate::message::{GroupOptions, TopicDescription};
use crate::names::{GroupName, TopicName};
use crate::records::{encode_group, kind};

impl Inner {
    pub(super) async fn create_topic(&self, name: TopicName) -> Result<(), AdminError> {
        let told = self.append_topic(&name)?;
        Ok(settled(told).await?)
    }

    fn append_topic(&self, name: &TopicName) -> Result<Told, AdminError> {
        let mut state = self.state();
        state.check_up()?;
        if state.core.topic_id(name).is_some() {
            return Ok(state.tell_when_all_is_durable());
        }
        if state.core.topics() >= TOPICS_MAX {
            return Err(AdminError::TooMany { what: "topics", max: TOPICS_MAX });
        }
        let payload = [Part::Bytes(name.as_str().as_bytes())];
        let record = NewRecord::new(kind::TOPIC, 0, &payload);
        let appended = state.append(&self.log, Need::Normal, &[record])?;
        state.core.add_topic(TopicId::from(appended.positions[0]), name.clone());
        Ok(state.tell_when_durable(appended.end))
    }

    pub(super) async fn create_group(&self, name: GroupName, options: GroupOptions) -> Result<(), AdminError> {
        TopicName::dead_letters_of(&name).map_err(|_| AdminError::GroupName(name.clone()))?;
        let told = self.append_group(&name, options)?;
        Ok(settled(told).await?)
    }

    fn append_group(&self, name: &GroupName, options: GroupOptions) -> Result<Told, AdminError> {
        let mut state = self.state();
        state.check_up()?;
        let known = state.core.group_id(name);
        if known.is_some_and(|id| state.core.group_options(id) == Some(options)) {
            return Ok(state.tell_when_all_is_durable());
        }
        if known.is_none() && state.core.groups() >= GROUPS_MAX {
            return Err(AdminError::TooMany { what: "groups", max: GROUPS_MAX });
        }
        let payload = encode_group(options, name.as_str());
        let payload = [Part::Bytes(&payload)];
        let record = NewRecord::new(kind::GROUP, 0, &payload);
        let appended = state.append(&self.log, Need::Normal, &[record])?;
        state.core.set_group(GroupId::from(appended.positions[0]), name.clone(), options);
        Ok(state.tell_when_durable(appended.end))
    }

    pub(super) fn describe(&self, topic: &TopicName) -> Result<TopicDescription, AdminError> {
        let now = self.now();
        let state = self.state();
        let unknown = || AdminError::UnknownTopic(topic.clone());
        let id = state.core.topic_id(topic).ok_or_else(unknown)?;
        state.core.describe(id, now).ok_or_else(unknown)
    }
}
