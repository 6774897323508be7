//! ReceiveMessage: a long poll, answered by a status, the messages, and the time of delivery.
//!
//! Messages are handed out within the room of the caller's key, and have their place until their answer is written or its stream
//! ends: what a consumer does not read stays in buffers of the connection until then.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use queue::{Delivery, GroupName, Place, ReceiveRequest, Room, TagFilter, TopicName};
use rocketmq_proto as wire;
use rocketmq_proto::receive_message_response::Content;
use rocketmq_proto::{Code, FilterExpression, FilterType, ReceiveMessageResponse, Status};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::answer::{Refusal, ok};
use crate::connection::stopped;
use crate::door::Caller;
use crate::limits::{
    ANSWER_AHEAD, ANSWER_STEP_MAX, BATCH_MAX, INVISIBLE_MAX, INVISIBLE_MIN, INVISIBLE_OF_SERVER, POLL_MAX, POLL_MIN,
};
use crate::message::{timestamp, to_wire};
use crate::names;
use crate::service::Shared;
use crate::unwritten::Unwritten;

type Part = Result<ReceiveMessageResponse, tonic::Status>;

/// The parts of an answer.
pub(crate) struct Answers {
    parts: ReceiverStream<Part>,
    _place: Place,
}

impl Stream for Answers {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Part>> {
        Pin::new(&mut self.parts).poll_next(cx)
    }
}

/// What was handed out, and its place in memory until it is written.
pub(crate) struct Received {
    group: GroupName,
    deliveries: Vec<Delivery>,
    unwritten: Unwritten,
    place: Place,
}

impl Shared {
    pub(crate) async fn receive(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ReceiveMessageRequest,
        patience: Option<Duration>,
    ) -> Result<Received, Refusal> {
        let is_renewed = request.auto_renew;
        let wait = wait(request.long_polling_timeout.as_ref(), patience);
        let request = ReceiveRequest { wait, ..self.checked(caller, request)? };
        self.renewals().saw(caller, Instant::now());
        let too_many = || Refusal::new(Code::TooManyRequests, "too many receives wait at the same time");
        let _poll = self.polls.try_acquire().map_err(|_| too_many())?;
        let (group, topic) = (request.group.clone(), request.topic.clone());
        let mut stop = self.stop.clone();
        let room = Room::of(self.answers.parts(&caller.key_id));
        let (deliveries, place) = tokio::select! {
            received = self.queue.receive_within(request, room) => received?,
            () = stopped(&mut stop) => Default::default(),
        };
        let receipts = deliveries.iter().map(|delivery| delivery.receipt.clone());
        let unwritten = Unwritten::new(Arc::clone(self), receipts);
        // The right may have ended while it waited.
        if !deliveries.is_empty() {
            self.check_may_receive(caller, &group, &topic)?;
        }
        if is_renewed {
            let (mut renewals, now) = (self.renewals(), Instant::now());
            unwritten.receipts().for_each(|receipt| renewals.begin(caller, &group, receipt, now));
        }
        Ok(Received { group, deliveries, unwritten, place })
    }

    fn checked(&self, caller: &Caller, request: wire::ReceiveMessageRequest) -> Result<ReceiveRequest, Refusal> {
        let topic = request.message_queue.as_ref().and_then(|queue| queue.topic.as_ref());
        let (topic, group) = self.place_of(caller, topic, request.group.as_ref())?;
        let filter = filter(request.filter_expression)?;
        let max = usize::try_from(request.batch_size).unwrap_or_default().min(BATCH_MAX);
        if max == 0 {
            return Err(Refusal::new(Code::BadRequest, "the batch size must be at least 1"));
        }
        let invisible = if request.auto_renew {
            INVISIBLE_OF_SERVER
        } else {
            let invisible = request.invisible_duration.as_ref().and_then(duration);
            let is_allowed = |invisible: &Duration| (INVISIBLE_MIN..=INVISIBLE_MAX).contains(invisible);
            invisible.filter(is_allowed).ok_or_else(illegal_invisible)?
        };
        Ok(ReceiveRequest { group, topic, filter, max, wait: POLL_MAX, invisible })
    }

    /// The answer, written as fast as the consumer reads it. What it does not take is given back.
    pub(crate) fn stream_of(&self, received: Result<Received, Refusal>) -> Answers {
        let (answers, stream) = mpsc::channel(1);
        let (status, messages, unwritten, place) = match received {
            Ok(Received { deliveries, .. }) if deliveries.is_empty() => (no_message(), vec![], None, Place::default()),
            Ok(Received { group, deliveries, unwritten, place }) => {
                let messages = deliveries.into_iter().map(|delivery| self.sealed(&group, delivery)).collect();
                (ok(), messages, Some(unwritten), place)
            }
            Err(refusal) => (refusal.status(), vec![], None, Place::default()),
        };
        tokio::spawn(async move {
            let messages = messages.into_iter().map(|message| Content::Message(Box::new(message)));
            let delivered = Content::DeliveryTimestamp(timestamp(now_ms()));
            write(answers, status.map(Content::Status).into_iter().chain(messages).chain([delivered]), unwritten).await;
        });
        Answers { parts: ReceiverStream::new(stream), _place: place }
    }

    fn sealed(&self, group: &GroupName, delivery: Delivery) -> wire::Message {
        let handle = self.handles.seal(&delivery.topic, group, &delivery.receipt);
        to_wire(delivery, handle)
    }

    /// A group that the caller may use.
    pub(crate) fn group(&self, caller: &Caller, group: Option<&wire::Resource>) -> Result<GroupName, Refusal> {
        let group = names::group(group)?;
        let may_use = self.access.may_use_group(&caller.key_id, group.as_str());
        if may_use { Ok(group) } else { Err(Refusal::forbidden_group(group.as_str())) }
    }

    fn check_may_receive(&self, caller: &Caller, group: &GroupName, topic: &TopicName) -> Result<(), Refusal> {
        if !self.access.may_receive(&caller.key_id, topic.as_str()) {
            return Err(Refusal::unknown_topic(topic.as_str()));
        }
        let may_use = self.access.may_use_group(&caller.key_id, group.as_str());
        if may_use { Ok(()) } else { Err(Refusal::forbidden_group(group.as_str())) }
    }

    /// The topic and the group of a request, if the caller may receive there.
    pub(crate) fn place_of(
        &self,
        caller: &Caller,
        topic: Option<&wire::Resource>,
        group: Option<&wire::Resource>,
    ) -> Result<(TopicName, GroupName), Refusal> {
        let (group, topic) = (names::group(group)?, names::topic(topic)?);
        self.check_may_receive(caller, &group, &topic)?;
        Ok((topic, group))
    }
}

/// There is room for a part once the one before it was taken, and a part is taken once the one before it is written. So the
/// message before that one is written then.
async fn write(answers: mpsc::Sender<Part>, contents: impl Iterator<Item = Content>, mut unwritten: Option<Unwritten>) {
    /// The status, and the two parts that may be on their way.
    const BEFORE_WRITTEN: usize = 3;
    for (number, content) in contents.map(Some).chain([None]).enumerate() {
        let Ok(Ok(room)) = timeout(ANSWER_STEP_MAX, answers.reserve()).await else { return };
        if let Some(unwritten) = unwritten.as_mut().filter(|_| number >= BEFORE_WRITTEN) {
            unwritten.wrote_one();
        }
        if let Some(content) = content {
            room.send(Ok(ReceiveMessageResponse { content: Some(content) }));
        }
    }
}

/// Not all clients say how long a poll is to wait: some say only when they give it up.
fn wait(asked: Option<&wire::Duration>, patience: Option<Duration>) -> Duration {
    let asked = asked.map_or(POLL_MAX, |asked| duration(asked).unwrap_or_default()).clamp(POLL_MIN, POLL_MAX);
    patience.map_or(asked, |patience| asked.min(patience.saturating_sub(ANSWER_AHEAD)))
}

/// When the client gives the request up, by its header `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn patience(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = u64::from(number.parse::<u32>().ok()?);
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn no_message() -> Option<Status> {
    Some(Status { code: Code::MessageNotFound.into(), message: "there is no message for the group".to_owned() })
}

pub(crate) fn illegal_invisible() -> Refusal {
    let (min, max) = (INVISIBLE_MIN.as_secs(), INVISIBLE_MAX.as_secs() / 3_600);
    Refusal::new(Code::IllegalInvisibleTime, format!("the invisible time must be {min} s to {max} h"))
}

fn filter(expression: Option<FilterExpression>) -> Result<TagFilter, Refusal> {
    let illegal = |words: &str| Err(Refusal::new(Code::IllegalFilterExpression, words));
    let Some(FilterExpression { r#type, expression }) = expression else { return Ok(TagFilter::All) };
    if !matches!(FilterType::try_from(r#type), Ok(FilterType::Unspecified | FilterType::Tag)) {
        return illegal("filters by SQL are not served here: filter by tags");
    }
    match expression.trim() {
        "" | "*" => Ok(TagFilter::All),
        tags => {
            let tags: BTreeSet<String> = tags.split("||").map(|tag| tag.trim().to_owned()).collect();
            if tags.contains("") { illegal("a tag of the filter is empty") } else { Ok(TagFilter::Tags(tags)) }
        }
    }
}

/// `None`: it is negative.
pub(crate) fn duration(wire: &wire::Duration) -> Option<Duration> {
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(wire.seconds).ok()?, nanos))
}

/// By the system's clock, as a consumer knows it; nothing goes by it.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod unread_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_clients_write_them() {
        let read = |r#type: FilterType, text: &str| {
            filter(Some(FilterExpression { r#type: r#type.into(), expression: text.to_owned() }))
        };
        let tags = |tags: &[&str]| Ok(TagFilter::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(filter(None), Ok(TagFilter::All));
        for all in ["", "*", " * "] {
            assert_eq!(read(FilterType::Tag, all), Ok(TagFilter::All));
        }
        assert_eq!(read(FilterType::Tag, "a||b c || d"), tags(&["a", "b c", "d"]));
        assert_eq!(read(FilterType::Unspecified, "a"), tags(&["a"]));
        for (r#type, text) in [(FilterType::Tag, "a||"), (FilterType::Tag, "||"), (FilterType::Sql, "a > 1")] {
            assert_eq!(
                read(r#type, text).map_err(|refusal| refusal.code),
                Err(Code::IllegalFilterExpression),
                "{text}"
            );
        }
    }

    #[test]
    fn a_poll_ends_before_its_client_gives_it_up() {
        let ms = |asked: Option<i64>, timeout: Option<&str>| {
            let patience = timeout.and_then(patience);
            wait(asked.map(|seconds| wire::Duration { seconds, nanos: 0 }).as_ref(), patience).as_millis()
        };
        assert_eq!(ms(None, None), 20_000);
        assert_eq!(
            [ms(Some(1), None), ms(Some(7), None), ms(Some(30), None), ms(Some(-1), None)],
            [5_000, 7_000, 20_000, 5_000]
        );
        assert_eq!(
            [ms(None, Some("8S")), ms(None, Some("7999998u")), ms(Some(5), Some("8000m"))],
            [7_500, 7_499, 5_000]
        );
        assert_eq!([ms(None, Some("100m")), ms(None, Some("1H"))], [0, 20_000]);
        for garbage in ["", "S", "8", "-8S", "8é", "99999999999S", "8s"] {
            assert_eq!(patience(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_duration_that_is_none_is_not_taken_for_one() {
        let read = |seconds, nanos| duration(&wire::Duration { seconds, nanos });
        assert_eq!(read(1, 500_000_000), Some(Duration::from_millis(1_500)));
        assert_eq!([read(-1, 0), read(0, -1), read(0, i32::MAX)], [None; 3]);
    }
}
