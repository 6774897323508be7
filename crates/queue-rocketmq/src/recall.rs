//! RecallMessage: a message whose delivery time has not come is taken back.
//!
//! A recall handle is `<id of the queue>:<id of the client>`. It outlives a restart, as the message does. Whoever may send to a topic
//! may recall there.

use queue::{AdminError, MessageId};
use rocketmq_proto as wire;
use rocketmq_proto::Code;

use crate::answer::Refusal;
use crate::door::Caller;
use crate::names;
use crate::service::Shared;

pub(crate) fn handle(queued: &MessageId, id: &str) -> String {
    format!("{queued}:{id}")
}

impl Shared {
    /// Returns the id that the client has given the message.
    pub(crate) async fn recall(&self, caller: &Caller, request: wire::RecallMessageRequest) -> Result<String, Refusal> {
        let topic = names::topic(request.topic.as_ref())?;
        if !names::takes_messages(&topic) || !self.access.may_send(&caller.key_id, topic.as_str(), "") {
            return Err(Refusal::unknown_topic(topic.as_str()));
        }
        let garbage = || Refusal::new(Code::BadRequest, "the recall handle is none");
        let (queued, id) = request.recall_handle.split_once(':').ok_or_else(garbage)?;
        match self.queue.recall(topic.clone(), MessageId::new(queued)).await {
            Ok(true) => Ok(id.to_owned()),
            Ok(false) => Err(Refusal::new(Code::NotFound, "the message does not wait for its delivery time any more")),
            Err(AdminError::UnknownTopic(_)) => Err(Refusal::unknown_topic(topic.as_str())),
            Err(AdminError::Unavailable(unavailable)) => Err(unavailable.into()),
            Err(_) => Err(garbage()),
        }
    }
}
