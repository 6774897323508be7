//! Identifiers, each of its own type so that two of them cannot be swapped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

uuid_id!(
    /// The id of one signal: a UUIDv7 (RFC 9562). A request is handled once per id, however often it is delivered.
    SignalId
);
uuid_id!(
    /// The id of one meeting: a UUIDv7, made by the terminal that creates it; refused if taken.
    MeetingId
);
uuid_id!(
    /// The id of one ring of one callee, for all devices of that user: a UUIDv7, never used again. It is the collapse key.
    InvitationId
);
uuid_id!(
    /// The id of one stay of one client in a channel: a UUIDv7.
    ParticipationId
);
text_id!(
    /// The account that owns devices: 1 to 64 characters of `[A-Za-z0-9_.@+-]`.
    UserName
);
text_id!(
    /// An MQTT client id, `<GroupID>@@@<DeviceID>`.
    ClientId
);
text_id!(
    /// The media resource at the RTC server; the meeting's id as text.
    ChannelId
);

impl From<MeetingId> for ChannelId {
    fn from(meeting: MeetingId) -> Self {
        Self(meeting.to_string())
    }
}

impl UserName {
    /// Stands in `by` for an operator of the server. No user is called so: a user's name has no colon.
    pub const OPERATOR: &str = ":operator";

    #[must_use]
    pub fn operator() -> Self {
        Self(Self::OPERATOR.to_owned())
    }
}
