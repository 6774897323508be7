//! Names of topics and message properties that signalling uses.

use crate::ids::ClientId;

/// Requests of terminals: `meeting-up/<type>`.
pub const MEETING_UP: &str = "meeting-up";
/// Invitations and what ends them, to the callee's devices.
pub const RING_DOWN: &str = "ring-down";
/// Everything else from the service.
pub const MEETING_DOWN: &str = "meeting-down";
/// Queue topic of connect and tcpclean events of a group: `<GroupID>_MQTT`.
pub const STATUS_SUFFIX: &str = "_MQTT";
/// Group that `--dev` creates.
pub const DEV_GROUP: &str = "GID_dev";
/// The first instance.
pub const INSTANCE: &str = "convoke";
/// Consumer group of the meeting service.
pub const MEETING_GROUP: &str = "convoke-meeting";

/// Message properties on the queue and, where MQTT 5 has room, on the wire.
pub mod property {
    /// Levels after the parent topic, with the leading `/`.
    pub const SECOND_TOPIC: &str = "mqttSecondTopic";
    /// The whole topic that the receiver is shown.
    pub const REAL_TOPIC: &str = "mqttRealTopic";
    pub const QOS: &str = "qoslevel";
    /// `false`: kept while the receiver is off.
    pub const CLEAN_SESSION: &str = "cleansessionflag";
    /// The sender, stamped by the broker.
    pub const CLIENT_ID: &str = "clientId";
    /// The sender's account, stamped by the broker.
    pub const USER: &str = "convokeUser";
    /// Arrival at the broker in milliseconds since 1970, stamped by the broker.
    pub const ARRIVED_MS: &str = "convokeArrivedMs";
    /// MQTT 5 user properties as a JSON list of `{"key","value"}`.
    pub const USER_PROPERTIES: &str = "mqtt5UserProperty";
    /// Seconds.
    pub const EXPIRY_S: &str = "mqtt5MsgExpireInterval";
    pub const CONTENT_TYPE: &str = "mqtt5ContentType";
    /// One live message per key and inbox.
    pub const COLLAPSE_KEY: &str = "collapseKey";
    /// Highest version wins.
    pub const COLLAPSE_VERSION: &str = "collapseVersion";
}

/// `<parent>/p2p/<client>/<kind>`.
pub fn p2p(parent: &str, client: &ClientId, kind: &str) -> String {
    format!("{parent}/p2p/{client}/{kind}")
}

/// `meeting-up/<kind>`.
pub fn up(kind: &str) -> String {
    format!("{MEETING_UP}/{kind}")
}
