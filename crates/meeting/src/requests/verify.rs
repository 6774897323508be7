//! The verification of a request that needs no catalog: its sender, whether it can be read, whether it makes sense.

use crate::config::Config;
use catalog::User;
use catalog::text::{self, TextError};
use clock::Times;
use queue::Message;
use serde_json::Value;
use signalling::signal::VERSION;
use signalling::topics::property;
use signalling::{ClientId, MeetingId, RefusalCode, SignalId, Up, UpBody, UserName};
use uuid::{Uuid, Variant, Version};

/// The sender, as the broker stamped it. What a payload says of its sender is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub client: ClientId,
    /// Absent: no end user.
    pub user: Option<UserName>,
    pub arrived_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: RefusalCode,
    pub words: String,
}

/// A message that cannot be handled, with the fields that can be read for the answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub id: Option<SignalId>,
    pub meeting: Option<MeetingId>,
    pub refusal: Refusal,
}

pub(crate) fn refusal(code: RefusalCode, words: impl Into<String>) -> Refusal {
    Refusal { code, words: words.into() }
}

/// `None`: no client to answer. What somebody who runs the server publishes is stamped with a name that is none.
pub(crate) fn sender(message: &Message) -> Option<Sender> {
    let client = message.property(property::CLIENT_ID)?;
    let (group, device) = client.split_once("@@@")?;
    if group.is_empty() || device.is_empty() {
        return None;
    }
    let client = ClientId(client.to_owned());
    let user = message.property(property::USER).map(UserName::from);
    let arrived_ms = message.property(property::ARRIVED_MS).and_then(|text| text.parse().ok());
    Some(Sender { client, user, arrived_ms })
}

pub(crate) fn parse(body: &[u8], config: &Config) -> Result<Up, Unreadable> {
    if body.len() > config.payload_bytes_max {
        let words = format!("the request has {} bytes: send at most {}", body.len(), config.payload_bytes_max);
        return Err(Unreadable { id: None, meeting: None, refusal: refusal(RefusalCode::Limit, words) });
    }
    let value = serde_json::from_slice::<Value>(body).map_err(|error| unreadable(&Value::Null, &error.to_string()))?;
    if value["v"] != VERSION {
        return Err(unreadable(&value, &format!("version {} is not spoken here: send {VERSION}", value["v"])));
    }
    serde_json::from_value(value.clone()).map_err(|error| unreadable(&value, &error.to_string()))
}

fn unreadable(value: &Value, cause: &str) -> Unreadable {
    let id = |field: &str| value[field].as_str().and_then(|text| Uuid::try_parse(text).ok());
    let cause: String = cause.chars().take(300).collect();
    Unreadable {
        id: id("id").map(SignalId),
        meeting: id("meeting").map(MeetingId),
        refusal: refusal(RefusalCode::Invalid, format!("the request cannot be read: {cause}")),
    }
}

/// Checks that need no catalog.
pub(crate) fn check(up: &Up, sender: &Sender, config: &Config, times: Times) -> Result<(), Refusal> {
    // A terminal whose clock is wrong learns the service's by `state`: none of these is refused for its time.
    let about_user =
        matches!(up.body, UpBody::State {} | UpBody::Contacts { .. } | UpBody::History { .. } | UpBody::Seen { .. });
    if !about_user && times.is_over(expiry_ms(up, sender, config).saturating_add(1)) {
        return Err(refusal(RefusalCode::Expired, "the request came too late: send it anew, with the service's clock"));
    }
    if up.envelope.meeting.is_none() && !about_user {
        return Err(refusal(RefusalCode::Invalid, "the request names no meeting: set `meeting`"));
    }
    match &up.body {
        UpBody::Create { callees, title, .. } => {
            check_new_meeting(up.envelope.meeting)?;
            check_title(title.as_deref())?;
            check_callees(callees, sender)
        }
        UpBody::Invite { callees } => check_callees(callees, sender),
        _ => Ok(()),
    }
}

/// An id that terminals create is a UUIDv7.
pub(crate) fn check_new_meeting(meeting: Option<MeetingId>) -> Result<(), Refusal> {
    let is_v7 = |id: Uuid| id.get_version() == Some(Version::SortRand) && matches!(id.get_variant(), Variant::RFC4122);
    if meeting.is_some_and(|meeting| is_v7(meeting.0)) {
        return Ok(());
    }
    Err(refusal(RefusalCode::Invalid, "a meeting's id is a UUIDv7 (RFC 9562): make a new one for each meeting"))
}

/// A create expires soon after its arrival, whatever it says.
fn expiry_ms(up: &Up, sender: &Sender, config: &Config) -> u64 {
    let said = up.envelope.expires_at_ms;
    let arrived_ms = sender.arrived_ms.filter(|_| matches!(up.body, UpBody::Create { .. }));
    arrived_ms.map_or(said, |at_ms| said.min(at_ms.saturating_add(config.create_ms)))
}

fn check_title(title: Option<&str>) -> Result<(), Refusal> {
    let Some(Err(error)) = title.map(text::check_title) else { return Ok(()) };
    let code = if matches!(error, TextError::TooLong { .. }) { RefusalCode::Limit } else { RefusalCode::Invalid };
    Err(refusal(code, format!("the title {error}")))
}

fn check_callees(callees: &[UserName], sender: &Sender) -> Result<(), Refusal> {
    if callees.len() > Config::CALLEES_MAX {
        let words = format!("{} callees are too many: name at most {}", callees.len(), Config::CALLEES_MAX);
        return Err(refusal(RefusalCode::Limit, words));
    }
    if let Some(user) = callees.iter().find(|user| !User::may_be_called(user.as_str())) {
        let shown: String = user.as_str().chars().take(User::CHARS_MAX).collect();
        return Err(refusal(RefusalCode::Invalid, format!("{shown:?} cannot be a user's name")));
    }
    if callees.iter().any(|user| sender.user.as_ref() == Some(user)) {
        return Err(refusal(RefusalCode::Invalid, "you cannot call yourself: name others"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_sends_requests() {
        let sent_by = |client: Option<&str>| {
            let properties = client.map(|client| (property::CLIENT_ID.to_owned(), client.to_owned()));
            let message = Message { properties: properties.into_iter().collect(), ..Message::default() };
            sender(&message).map(|sender| sender.client.0)
        };
        assert_eq!(sent_by(Some("GID_a@@@1")).as_deref(), Some("GID_a@@@1"));
        // The last ones are of those who run the server, and publish by the API.
        for nobody in [None, Some(""), Some("@@@"), Some("GID_a@@@"), Some("@@@1"), Some("owner"), Some("key:billing")]
        {
            assert_eq!(sent_by(nobody), None, "{nobody:?}");
        }
    }
}
