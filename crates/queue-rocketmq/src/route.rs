//! Where the queue of a topic is: here, at the address that the client has dialled.

use queue::{AdminError, TopicName};
use rocketmq_proto as wire;
use rocketmq_proto::{Code, Endpoints, MessageQueue, MessageType, Permission, Resource};

use crate::answer::Refusal;
use crate::door::Caller;
use crate::limits::ADDRESSES_MAX;
use crate::message::type_on_wire;
use crate::names;
use crate::service::Shared;

/// A topic has one queue on the wire: order and sharing out are by group, not by queue.
const QUEUE_ID: i32 = 0;
/// In assignments of groups that are not FIFO: whichever queue.
const ANY_QUEUE: i32 = -1;
const BROKER: &str = "convoke";

impl Shared {
    pub(crate) async fn route(
        &self,
        caller: &Caller,
        request: wire::QueryRouteRequest,
    ) -> Result<Vec<MessageQueue>, Refusal> {
        let topic = names::topic(request.topic.as_ref())?;
        let may_send = names::takes_messages(&topic) && self.access.may_send(&caller.key_id, topic.as_str(), "");
        let may_receive = self.access.may_receive(&caller.key_id, topic.as_str());
        let permission = match (may_receive, may_send) {
            (true, true) => Permission::ReadWrite,
            (true, false) => Permission::Read,
            (false, true) => Permission::Write,
            (false, false) => return Err(Refusal::unknown_topic(topic.as_str())),
        };
        let accepted = self.type_of(&topic).await?;
        Ok(vec![queue(&topic, QUEUE_ID, permission, accepted, dialled(request.endpoints)?)])
    }

    pub(crate) async fn assignment(
        &self,
        caller: &Caller,
        request: wire::QueryAssignmentRequest,
    ) -> Result<Vec<wire::Assignment>, Refusal> {
        let (topic, group) = self.place_of(caller, request.topic.as_ref(), request.group.as_ref())?;
        let accepted = self.type_of(&topic).await?;
        let is_fifo = self.queue.group_options(group).await.is_ok_and(|options| options.is_fifo);
        let id = if is_fifo { QUEUE_ID } else { ANY_QUEUE };
        let queue = queue(&topic, id, Permission::Read, accepted, dialled(request.endpoints)?);
        Ok(vec![wire::Assignment { message_queue: Some(queue) }])
    }

    async fn type_of(&self, topic: &TopicName) -> Result<MessageType, Refusal> {
        match self.queue.topic_type(topic.clone()).await {
            Ok(topic_type) => Ok(type_on_wire(topic_type)),
            Err(AdminError::Unavailable(unavailable)) => Err(unavailable.into()),
            Err(_) => Err(Refusal::unknown_topic(topic.as_str())),
        }
    }
}

fn queue(
    topic: &TopicName,
    id: i32,
    permission: Permission,
    accepted: MessageType,
    endpoints: Endpoints,
) -> MessageQueue {
    MessageQueue {
        topic: Some(Resource { name: topic.to_string(), ..Resource::default() }),
        id,
        permission: permission.into(),
        broker: Some(wire::Broker { name: BROKER.to_owned(), id: 0, endpoints: Some(endpoints) }),
        accept_message_types: vec![accepted.into()],
    }
}

/// The server cannot know by which address it is reached from there.
fn dialled(endpoints: Option<Endpoints>) -> Result<Endpoints, Refusal> {
    let good = |endpoints: &Endpoints| (1..=ADDRESSES_MAX).contains(&endpoints.addresses.len());
    let words = "the endpoints of the request name no address, or too many";
    endpoints.filter(good).ok_or_else(|| Refusal::new(Code::IllegalAccessPoint, words))
}
