//! The status that each answer begins with.

use rocketmq_proto::{Code, Status};

use queue::{AckError, InvalidMessage, ReceiveError, SendError, Unavailable};

/// Why a request is refused: the code is the client's, the words are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) words: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    /// The same for a topic that does not exist and for one that the key may not use.
    pub(crate) fn unknown_topic(topic: &str) -> Self {
        Self::new(Code::TopicNotFound, format!("topic {topic} does not exist, or your key may not do this there"))
    }

    pub(crate) fn unknown_group(group: &str) -> Self {
        let words = format!(
            "consumer group {group} does not exist: create it by convoke queue groups create, or name it in queue.groups"
        );
        Self::new(Code::ConsumerGroupNotFound, words)
    }

    /// The same for a group that does not exist.
    pub(crate) fn forbidden_group(group: &str) -> Self {
        let words = format!("your key may not use the consumer group {group}: see the consumer groups of the key");
        Self::new(Code::Forbidden, words)
    }

    pub(crate) fn no_receipt() -> Self {
        let words =
            "the receipt handle is not valid (any more): the message is handed out again unless it was acknowledged";
        Self::new(Code::InvalidReceiptHandle, words)
    }

    pub(crate) fn status(self) -> Option<Status> {
        Some(Status { code: self.code.into(), message: self.words })
    }
}

pub(crate) fn ok() -> Option<Status> {
    Some(Status { code: Code::Ok.into(), message: "OK".to_owned() })
}

/// The value of an answer with its status, or an empty one with the refusal.
pub(crate) fn split<T: Default>(result: Result<T, Refusal>) -> (Option<Status>, T) {
    match result {
        Ok(value) => (ok(), value),
        Err(refusal) => (refusal.status(), T::default()),
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        let code = match error {
            Unavailable::Busy | Unavailable::Full => Code::TooManyRequests,
            // Whether it took effect is unknown.
            Unavailable::Failed(_) => Code::MasterPersistenceTimeout,
            Unavailable::Closed => Code::HaNotAvailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::UnknownTopic(topic) => return Self::unknown_topic(topic.as_str()),
            SendError::Unavailable(unavailable) => return unavailable.clone().into(),
            SendError::TopicFull(_) => Code::TooManyRequests,
            SendError::WrongType { .. } => Code::MessagePropertyConflictWithType,
            SendError::Invalid(invalid) => match invalid {
                InvalidMessage::BodyTooLarge { .. } => Code::MessageBodyTooLarge,
                InvalidMessage::TooManyProperties { .. }
                | InvalidMessage::PropertiesTooLarge { .. }
                | InvalidMessage::KeysTooLarge { .. } => Code::MessagePropertiesTooLarge,
                InvalidMessage::TooManyKeys { .. } => Code::IllegalMessageKey,
                InvalidMessage::Tag => Code::IllegalMessageTag,
                InvalidMessage::PropertyCharacter(_) => Code::IllegalMessagePropertyKey,
                InvalidMessage::MessageGroup { .. } => Code::IllegalMessageGroup,
                InvalidMessage::ClientMessageId { .. } | InvalidMessage::Sender { .. } => Code::IllegalMessageId,
                InvalidMessage::TwoTypes => Code::MessagePropertyConflictWithType,
                InvalidMessage::DeliveryTime { .. } => Code::IllegalDeliveryTime,
            },
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReceiveError> for Refusal {
    fn from(error: ReceiveError) -> Self {
        match &error {
            ReceiveError::UnknownTopic(topic) => Self::unknown_topic(topic.as_str()),
            ReceiveError::UnknownGroup(group) => Self::unknown_group(group.as_str()),
            ReceiveError::InvisibleTime { .. } => Self::new(Code::IllegalInvisibleTime, error.to_string()),
            ReceiveError::TooManyWaiters { .. } => Self::new(Code::TooManyRequests, error.to_string()),
            ReceiveError::Unavailable(unavailable) => unavailable.clone().into(),
        }
    }
}

impl From<AckError> for Refusal {
    fn from(error: AckError) -> Self {
        match &error {
            AckError::Malformed | AckError::StaleEpoch { .. } | AckError::Expired => Self::no_receipt(),
            AckError::InvisibleTime { .. } => Self::new(Code::IllegalInvisibleTime, error.to_string()),
            AckError::Unavailable(unavailable) => unavailable.clone().into(),
        }
    }
}
