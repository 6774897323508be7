//! Routes by which an owner publishes a message, looks at those of the queue, and drops a dead letter.

use super::Api;
use super::body::Body;
use super::gate::Caller;
use super::owner::{Asked, Holder, Items, Named, Part, Refusals, Refused, RefusedOne, Topics};
use crate::clients::{Answer, Turn};
use crate::messages::{
    BROKER_GROUP, DEAD_TOPIC, LOOK_MAX, Look, Looked, Messages, NoMessages, NotPublished, One, Publication, Published,
    Publisher, Redrive, StoredMessage,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catalog::{Actor, Change, KeyKind, Kind, Note, Scope};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

/// The log may have to be written, and read.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Messages of a part, where the query names no number.
const LIMIT: u32 = 20;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageRequest {
    #[schema(example = "orders-up/call")]
    topic: String,
    /// As text.
    payload: Option<String>,
    /// Any bytes; instead of the text.
    payload_base64: Option<String>,
    /// 1 without it.
    #[schema(minimum = 0, maximum = 1)]
    qos: Option<u8>,
    /// How long it waits for a receiver that is away.
    expiry_s: Option<u32>,
    /// User properties of MQTT 5.
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

fn payload(request: &MessageRequest) -> Result<Vec<u8>, Problem> {
    match (&request.payload, &request.payload_base64) {
        (Some(_), Some(_)) => {
            Err(Problem::new(Code::InvalidBody, "send payload or payload_base64, and not both of them"))
        }
        (_, Some(text)) => {
            let words = "payload_base64 is no base64 (RFC 4648 section 4, with padding); encode it anew";
            STANDARD.decode(text).map_err(|_| Problem::new(Code::InvalidBody, words))
        }
        (text, None) => Ok(text.clone().unwrap_or_default().into_bytes()),
    }
}

/// The key counts as on MQTT, if it is one of those that open that.
fn publisher(caller: &Caller) -> Publisher {
    match (&caller.actor, caller.key.map(|key| key.kind)) {
        (Actor::Key(key_id), Some(KeyKind::Access)) => Publisher::Service(key_id.clone()),
        (actor, _) => Publisher::Owner(actor.to_string()),
    }
}

fn not_published(refused: NotPublished) -> Problem {
    use crate::access::PublishRefusal;
    let code = match refused {
        NotPublished::Refused(PublishRefusal::Scope | PublishRefusal::NotGranted) => Code::Forbidden,
        NotPublished::Topic | NotPublished::Refused(_) => Code::InvalidTopic,
        NotPublished::TooLarge { .. } => Code::BodyTooLarge,
        NotPublished::Properties | NotPublished::Invalid(_) => Code::InvalidBody,
        NotPublished::Unavailable(_) => Code::Unavailable,
    };
    let problem = Problem::new(code, refused.to_string());
    if code == Code::Unavailable { problem.retry_after(1) } else { problem }
}

pub(super) async fn answered<T>(answer: Answer<T>) -> Result<T, Problem> {
    match timeout(ANSWERS_WITHIN, answer).await {
        Ok(Some(answer)) => Ok(answer),
        _ => {
            let words = "broker and queue did not answer; what was ordered may have been done";
            Err(Problem::new(Code::Unavailable, words).retry_after(1))
        }
    }
}

/// Publishes a message, with the rights of the key as on MQTT, and says where it went.
#[utoipa::path(
    post, path = "/api/v1/messages", tag = "messages", security(("api_key" = ["topics"])),
    request_body = MessageRequest, responses((status = 200, body = Published), Refused, RefusedOne)
)]
pub(super) async fn publish_message(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Body(request): Body<MessageRequest>,
) -> Result<Json<Published>, Problem> {
    let payload = payload(&request)?;
    let at_least_once = match request.qos {
        None | Some(1) => true,
        Some(0) => false,
        Some(_) => return Err(Problem::new(Code::InvalidBody, "qos must be 0 or 1")),
    };
    let MessageRequest { topic, expiry_s, properties, .. } = request;
    let by = publisher(holder.caller());
    let publication = Publication { by, topic, payload, at_least_once, expiry_s, properties };
    let turn = turn(&api, holder.caller()).await?;
    answered(api.state.messages.publish(publication, turn)).await?.map(Json).map_err(not_published)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum End {
    #[default]
    Newest,
    Oldest,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MessageQuery {
    /// newest or oldest; the newest first without it.
    #[param(inline)]
    from: End,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 20 without it. A part ends early where its messages are large.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// The caller may have lost the right while others had theirs.
pub(super) async fn turn(api: &Api, caller: &Caller) -> Result<Turn, Problem> {
    let turn = timeout(ANSWERS_WITHIN, Arc::clone(&api.looks).acquire_owned()).await;
    let words = "very many ask at once; try again in a moment";
    let turn = turn.ok().and_then(Result::ok).map(Turn::of);
    let turn = turn.ok_or_else(|| Problem::new(Code::Unavailable, words).retry_after(1))?;
    api.state.gate.judge_again(caller).await?;
    Ok(turn)
}

/// The inner error: there are none, for this reason.
async fn look(
    api: &Api,
    holder: &Holder<Topics>,
    topic: String,
    query: MessageQuery,
) -> Result<Result<Json<Items<StoredMessage>>, NoMessages>, Problem> {
    let limit = Part { after: None, limit: query.limit.or(Some(LIMIT)) }.limit()?.min(LOOK_MAX);
    let (newest_first, with_p2p) = (query.from == End::Newest, sees_p2p(holder));
    let look = Look { topic, newest_first, after: query.after, limit, with_p2p };
    let turn = turn(api, holder.caller()).await?;
    let looked = answered(api.state.messages.look(look, turn)).await?;
    Ok(looked.map(|Looked { messages, has_more }| {
        let next = messages.last().filter(|_| has_more).map(|message| message.message_id.clone());
        Json(Items { items: messages, next })
    }))
}

fn no_messages(none: NoMessages) -> Problem {
    let code = match none {
        NoMessages::Topic(_) | NoMessages::Damaged => Code::NotFound,
        NoMessages::Id(_) => Code::InvalidQuery,
        NoMessages::OtherType { .. } => Code::InvalidTopic,
        NoMessages::Unavailable(_) => Code::Unavailable,
    };
    Problem::new(code, none.to_string())
}

/// Looks at the messages that a queue topic holds, which stay as they are. What is for one client is shown to keys with the
/// scope `admin` alone.
#[utoipa::path(
    get, path = "/api/v1/queue-topics/{topic}/messages", tag = "messages", security(("api_key" = ["topics"])),
    params(("topic" = String, Path), MessageQuery),
    responses((status = 200, body = Items<StoredMessage>), Refused, RefusedOne)
)]
pub(super) async fn list_messages(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named(topic): Named<String>,
    Asked(query): Asked<MessageQuery>,
) -> Result<Json<Items<StoredMessage>>, Problem> {
    look(&api, &holder, topic, query).await?.map_err(no_messages)
}

/// Looks at the dead letters of a consumer group: messages that it was handed in vain as often as it may be.
#[utoipa::path(
    get, path = "/api/v1/queue-groups/{group}/dead-letters", tag = "messages", security(("api_key" = ["topics"])),
    params(("group" = String, Path, description = "A consumer group; that of the broker is `convoke-broker`."), MessageQuery),
    responses((status = 200, body = Items<StoredMessage>), Refused, RefusedOne)
)]
pub(super) async fn list_dead_letters(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named(group): Named<String>,
    Asked(query): Asked<MessageQuery>,
) -> Result<Json<Items<StoredMessage>>, Problem> {
    let topic = dead_letters_of(&*api.state.messages, &group)?;
    match look(&api, &holder, topic, query).await? {
        Err(NoMessages::Topic(_)) if api.state.messages.topics_of(&group).is_empty() => {
            Err(Refusals::of("consumer group", &group).unknown())
        }
        // It is made with the first of them.
        Err(NoMessages::Topic(_)) => Ok(Json(Items { items: Vec::new(), next: None })),
        looked => looked.map_err(no_messages),
    }
}

fn dead_letters_of(messages: &dyn Messages, group: &str) -> Result<String, Problem> {
    messages.dead_letters_of(group).ok_or_else(|| Refusals::of("consumer group", group).unknown())
}

/// A dead letter with its payload, up to 65,536 bytes of it.
#[utoipa::path(
    get, path = "/api/v1/queue-groups/{group}/dead-letters/{message}", tag = "messages",
    security(("api_key" = ["topics"])), params(("group" = String, Path), ("message" = String, Path)),
    responses((status = 200, body = StoredMessage), Refused, RefusedOne)
)]
pub(super) async fn show_dead_letter(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named((group, message_id)): Named<(String, String)>,
) -> Result<Json<StoredMessage>, Problem> {
    let topic = dead_letters_of(&*api.state.messages, &group)?;
    letter(&api, &holder, One { topic, message_id, with_p2p: sees_p2p(&holder) }).await.map(Json)
}

/// What is for one client is its sender's and its own: it may hold what opens a call.
fn sees_p2p(holder: &Holder<Topics>) -> bool {
    holder.caller().scopes.allow(Scope::Admin)
}

async fn letter(api: &Api, holder: &Holder<Topics>, one: One) -> Result<StoredMessage, Problem> {
    let message_id = one.message_id.clone();
    let unknown = || Refusals::of("dead letter", &message_id).unknown();
    let turn = turn(api, holder.caller()).await?;
    match answered(api.state.messages.show(one, turn)).await? {
        Ok(Some(letter)) => Ok(letter),
        Ok(None) | Err(NoMessages::Topic(_)) => Err(unknown()),
        Err(none) => Err(no_messages(none)),
    }
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedriveRequest {
    /// The queue topic; else the one that it came from, as far as that is known: of the broker's letters their property
    /// `deadLetterTopic`, of others the only topic from which the group receives.
    #[schema(example = "orders")]
    topic: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Redriven {
    topic: String,
    /// Of the message that it is now.
    message_id: String,
}

fn target(
    messages: &dyn Messages,
    group: &str,
    letter: &StoredMessage,
    named: Option<String>,
) -> Result<String, Problem> {
    // Of another group's letter only its sender may have said it.
    let said = || letter.properties.get(DEAD_TOPIC).filter(|_| group == BROKER_GROUP).cloned();
    if let Some(topic) = named.or_else(said) {
        return Ok(topic);
    }
    match messages.topics_of(group).as_slice() {
        [topic] => Ok(topic.clone()),
        topics => {
            let words = format!(
                "which topic the message came from is not known, and the group receives from {}; name the topic",
                if topics.is_empty() { "none".to_owned() } else { topics.join(", ") }
            );
            Err(Problem::new(Code::InvalidTopic, words))
        }
    }
}

/// Tries a dead letter again: it becomes a new message of its topic, which all groups of that are handed, and is no dead letter any
/// more. After a crash it is one of the two, never both and never none. Sent again, the request finds no letter: 404.
#[utoipa::path(
    post, path = "/api/v1/queue-groups/{group}/dead-letters/{message}/redrive", tag = "messages",
    security(("api_key" = ["topics"])), params(("group" = String, Path), ("message" = String, Path)),
    request_body(content = RedriveRequest, description = "May be empty."),
    responses((status = 200, body = Redriven), Refused, RefusedOne)
)]
pub(super) async fn redrive_dead_letter(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named((group, message_id)): Named<(String, String)>,
    Body(RedriveRequest { topic }): Body<RedriveRequest>,
) -> Result<Json<Redriven>, Problem> {
    let messages = &api.state.messages;
    let from = dead_letters_of(&**messages, &group)?;
    // Whole, because where it came from is looked for in it.
    let whole = One { topic: from.clone(), message_id: message_id.clone(), with_p2p: true };
    let letter = letter(&api, &holder, whole).await?;
    if letter.payload_bytes.is_none() {
        return Err(no_messages(NoMessages::Damaged));
    }
    let to = target(&**messages, &group, &letter, topic)?;
    if to == from {
        return Err(Problem::new(
            Code::InvalidTopic,
            "the letter is in this topic already; name the one that it came from",
        ));
    }
    let refusals = Refusals::of("dead letter", &message_id);
    // Before it is done, as for what is ordered of devices.
    let after = json!({ "group": group, "message_id": message_id, "topic": to });
    let subject = format!("{group}/{message_id}");
    let note = Note { action: "redrive", kind: Kind::DeadLetter, subject, after: Some(after) };
    let turn = turn(&api, holder.caller()).await?;
    api.apply(holder.by(), Change::Note(note), None).await.map_err(|error| refusals.refuse(error))?;
    let redrive = Redrive { from, message_id: message_id.clone(), to: to.clone() };
    match answered(messages.redrive(redrive, turn)).await? {
        Ok(Some(message_id)) => Ok(Json(Redriven { topic: to, message_id })),
        Ok(None) => Err(refusals.unknown()),
        Err(none @ NoMessages::Topic(_)) => Err(Problem::new(Code::InvalidTopic, none.to_string())),
        Err(none) => Err(no_messages(none)),
    }
}

#[derive(Clone, Debug, Serialize)]
struct Dropped<'a> {
    group: &'a str,
    message_id: &'a str,
}

/// Drops a dead letter, for good.
#[utoipa::path(
    delete, path = "/api/v1/queue-groups/{group}/dead-letters/{message}", tag = "messages",
    security(("api_key" = ["topics"])), params(("group" = String, Path), ("message" = String, Path)),
    responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn drop_dead_letter(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named((group, message_id)): Named<(String, String)>,
) -> Result<StatusCode, Problem> {
    let messages = &api.state.messages;
    let topic = dead_letters_of(&**messages, &group)?;
    let refusals = Refusals::of("dead letter", &message_id);
    if !messages.holds(&topic, &message_id) {
        return Err(refusals.unknown());
    }
    let after = serde_json::to_value(Dropped { group: &group, message_id: &message_id }).ok();
    let note = Note { action: "drop", kind: Kind::DeadLetter, subject: format!("{group}/{message_id}"), after };
    let turn = turn(&api, holder.caller()).await?;
    // First in the log, as what is ordered of devices; and then it is done, also if the caller hangs up.
    let (api, by, removed) = (Arc::clone(&api), holder.by(), message_id.clone());
    let task = tokio::spawn(async move {
        let noted = api.apply(by, Change::Note(note), None).await;
        noted.map_err(|error| Refusals::of("dead letter", &removed).refuse(error))?;
        answered(api.state.messages.remove(topic, removed, turn)).await?.map_err(no_messages)
    });
    let lost = || Err(Problem::new(Code::Unavailable, "the letter was not dropped; try again").retry_after(1));
    let is_gone = task.await.unwrap_or_else(|_| lost())?;
    if is_gone { Ok(StatusCode::NO_CONTENT) } else { Err(refusals.unknown()) }
}
