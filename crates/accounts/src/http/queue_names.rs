//! Routes for queue topics and consumer groups. They are the queue's, which keeps them in its log; the log of changes has what was
//! ordered, before it is done.

use super::Api;
use super::body::Body;
use super::messages::{answered, turn};
use super::owner::{Asked, Holder, Items, Named, Part, Refusals, Refused, RefusedOne, Topics};
use crate::queue_names::{ConsumerGroupState, NewConsumerGroup, NewQueueTopic, NotMade, QueueTopicType};
use crate::server::QueueTopicState;
use axum::Json;
use axum::extract::State;
use catalog::{Change, Kind, Note, Row};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Hand-outs of one message, if an owner does not say.
const ATTEMPTS: u32 = 16;
const ATTEMPTS_MAX: u32 = 1_000;

/// Lists the topics of the queue: what they hold, and what their consumer groups have still to consume.
#[utoipa::path(
    get, path = "/api/v1/queue-topics", tag = "messages", security(("api_key" = ["topics"])), params(Part),
    responses((status = 200, body = Items<QueueTopicState>), Refused)
)]
pub(super) async fn list_queue_topics(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Asked(part): Asked<Part>,
) -> Result<Json<Items<QueueTopicState>>, Problem> {
    part_of(&part, api.state.messages.topics(), |topic| topic.topic.clone())
}

/// A topic of the queue.
#[utoipa::path(
    get, path = "/api/v1/queue-topics/{topic}", tag = "messages", security(("api_key" = ["topics"])),
    params(("topic" = String, Path)), responses((status = 200, body = QueueTopicState), Refused, RefusedOne)
)]
pub(super) async fn show_queue_topic(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Named(topic): Named<String>,
) -> Result<Json<QueueTopicState>, Problem> {
    api.state.messages.topic(&topic).map(Json).ok_or_else(|| Refusals::of("queue topic", &topic).unknown())
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueTopicRequest {
    /// Up to 120 of A-Z a-z 0-9 - _.
    #[schema(example = "orders")]
    topic: String,
    /// `normal` without it. A topic keeps its type.
    #[serde(default, rename = "type")]
    topic_type: QueueTopicType,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct QueueTopicAnswer {
    topic: String,
    #[serde(rename = "type")]
    topic_type: QueueTopicType,
}

/// Creates a topic of the queue; the same one again stays as it is, so that the request can be sent again.
#[utoipa::path(
    post, path = "/api/v1/queue-topics", tag = "messages", security(("api_key" = ["topics"])),
    request_body = QueueTopicRequest, responses((status = 200, body = QueueTopicAnswer), Refused, RefusedOne)
)]
pub(super) async fn create_queue_topic(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Body(QueueTopicRequest { topic, topic_type }): Body<QueueTopicRequest>,
) -> Result<Json<QueueTopicAnswer>, Problem> {
    let wish = NewQueueTopic { topic, topic_type };
    if api.state.messages.is_new_topic(&wish).map_err(not_made)? {
        let note = noted("create", Kind::QueueTopic, &wish.topic, &wish);
        let making = wish.clone();
        order(&api, &holder, note, |api, turn| async move {
            answered(api.state.messages.create_topic(making, turn)).await?.map_err(not_made)
        })
        .await?;
    }
    Ok(Json(QueueTopicAnswer { topic: wish.topic, topic_type: wish.topic_type }))
}

/// Lists consumer groups, with what they have still to consume. Those of the server itself are not among them.
#[utoipa::path(
    get, path = "/api/v1/queue-groups", tag = "messages", security(("api_key" = ["topics"])), params(Part),
    responses((status = 200, body = Items<ConsumerGroupState>), Refused)
)]
pub(super) async fn list_queue_groups(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Asked(part): Asked<Part>,
) -> Result<Json<Items<ConsumerGroupState>>, Problem> {
    part_of(&part, api.state.messages.groups(), |group| group.group.clone())
}

/// A consumer group, with what it has still to consume.
#[utoipa::path(
    get, path = "/api/v1/queue-groups/{group}", tag = "messages", security(("api_key" = ["topics"])),
    params(("group" = String, Path)), responses((status = 200, body = ConsumerGroupState), Refused, RefusedOne)
)]
pub(super) async fn show_queue_group(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Named(group): Named<String>,
) -> Result<Json<ConsumerGroupState>, Problem> {
    known_group(&api, &group).map(Json)
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueGroupRequest {
    /// Up to 120 of A-Z a-z 0-9 - _.
    #[schema(example = "shop")]
    group: String,
    /// Hand-outs of one message before it is a dead letter; 16 without it.
    #[schema(minimum = 1, maximum = 1_000)]
    max_attempts: Option<u32>,
    /// Its push consumers process the messages of a message group one after the other.
    #[serde(default)]
    fifo: bool,
}

/// A field that is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueueGroupUpdate {
    #[schema(minimum = 1, maximum = 1_000)]
    max_attempts: Option<u32>,
    /// Consumers that are connected learn of it within 5 minutes.
    fifo: Option<bool>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct QueueGroupAnswer {
    group: String,
    max_attempts: u32,
    fifo: bool,
}

/// Creates a consumer group; the same one again stays as it is, so that the request can be sent again.
#[utoipa::path(
    post, path = "/api/v1/queue-groups", tag = "messages", security(("api_key" = ["topics"])),
    request_body = QueueGroupRequest, responses((status = 200, body = QueueGroupAnswer), Refused, RefusedOne)
)]
pub(super) async fn create_queue_group(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Body(QueueGroupRequest { group, max_attempts, fifo }): Body<QueueGroupRequest>,
) -> Result<Json<QueueGroupAnswer>, Problem> {
    let wish = NewConsumerGroup { group, max_attempts: max_attempts.unwrap_or(ATTEMPTS), fifo };
    check_attempts(wish.max_attempts)?;
    api.state.messages.check_group(&wish.group).map_err(not_made)?;
    match api.state.messages.group(&wish.group) {
        None => put_group(&api, &holder, "create", wish).await,
        Some(known) if (known.max_attempts, known.fifo) == (wish.max_attempts, wish.fifo) => Ok(shown(wish)),
        Some(_) => Err(Refusals::of("consumer group", &wish.group).refuse(catalog::ApplyError::Exists)),
    }
}

/// Changes a consumer group.
#[utoipa::path(
    patch, path = "/api/v1/queue-groups/{group}", tag = "messages", security(("api_key" = ["topics"])),
    params(("group" = String, Path)), request_body = QueueGroupUpdate,
    responses((status = 200, body = QueueGroupAnswer), Refused, RefusedOne)
)]
pub(super) async fn update_queue_group(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named(group): Named<String>,
    Body(QueueGroupUpdate { max_attempts, fifo }): Body<QueueGroupUpdate>,
) -> Result<Json<QueueGroupAnswer>, Problem> {
    let known = known_group(&api, &group)?;
    let max_attempts = max_attempts.unwrap_or(known.max_attempts);
    check_attempts(max_attempts)?;
    let wish = NewConsumerGroup { group, max_attempts, fifo: fifo.unwrap_or(known.fifo) };
    if (known.max_attempts, known.fifo) == (wish.max_attempts, wish.fifo) {
        return Ok(shown(wish));
    }
    put_group(&api, &holder, "update", wish).await
}

async fn put_group(
    api: &Arc<Api>,
    holder: &Holder<Topics>,
    action: &'static str,
    wish: NewConsumerGroup,
) -> Result<Json<QueueGroupAnswer>, Problem> {
    let (note, making) = (noted(action, Kind::QueueGroup, &wish.group, &wish), wish.clone());
    order(api, holder, note, |api, turn| async move {
        answered(api.state.messages.put_group(making, turn)).await?.map_err(not_made)
    })
    .await?;
    Ok(shown(wish))
}

fn shown(NewConsumerGroup { group, max_attempts, fifo }: NewConsumerGroup) -> Json<QueueGroupAnswer> {
    Json(QueueGroupAnswer { group, max_attempts, fifo })
}

fn known_group(api: &Api, group: &str) -> Result<ConsumerGroupState, Problem> {
    api.state.messages.group(group).ok_or_else(|| Refusals::of("consumer group", group).unknown())
}

fn check_attempts(max_attempts: u32) -> Result<(), Problem> {
    let words = format!("max_attempts must be 1 to {ATTEMPTS_MAX}: how often one message is handed out");
    let is_allowed = (1..=ATTEMPTS_MAX).contains(&max_attempts);
    if is_allowed { Ok(()) } else { Err(Problem::new(Code::InvalidBody, words)) }
}

fn not_made(error: NotMade) -> Problem {
    let code = match error {
        NotMade::Name { .. } | NotMade::NoSuchType(_) => Code::InvalidBody,
        NotMade::OtherType { .. } => Code::Exists,
        NotMade::TooMany(_) => Code::InUse,
        NotMade::Unavailable(_) => Code::Unavailable,
    };
    let problem = Problem::new(code, error.to_string());
    if code == Code::Unavailable { problem.retry_after(1) } else { problem }
}

fn noted(action: &'static str, kind: Kind, subject: &str, wish: &impl Serialize) -> Note {
    Note { action, kind, subject: subject.to_owned(), after: serde_json::to_value(wish).ok() }
}

/// First in the log, as what is ordered of devices; and then it is done, also if the caller hangs up.
async fn order<Doing>(
    api: &Arc<Api>,
    holder: &Holder<Topics>,
    note: Note,
    doing: impl FnOnce(Arc<Api>, crate::clients::Turn) -> Doing + Send + 'static,
) -> Result<(), Problem>
where
    Doing: Future<Output = Result<(), Problem>> + Send,
{
    let turn = turn(api, holder.caller()).await?;
    let (api, by) = (Arc::clone(api), holder.by());
    let task = tokio::spawn(async move {
        let subject = note.subject.clone();
        let noted = api.apply(by, Change::Note(note), None).await;
        noted.map_err(|error| Refusals::of("name of the queue", &subject).refuse(error))?;
        doing(api, turn).await
    });
    let lost = || Err(Problem::new(Code::Unavailable, "it was not done; try again").retry_after(1));
    task.await.unwrap_or_else(|_| lost())
}

fn part_of<T>(part: &Part, all: Vec<T>, name: impl Fn(&T) -> String) -> Result<Json<Items<T>>, Problem> {
    let page = part.page()?;
    let is_behind = |row: &Row<T>| page.after.as_ref().is_none_or(|after| name(&row.value) > *after);
    let rows = all.into_iter().map(|value| Row { value, changed: 0 });
    let rows = rows.filter(is_behind).take(page.limit as usize).collect();
    Items::of(part, rows, &name, |row| row.value)
}
