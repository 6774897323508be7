//! What is asked of accounts.

/// Who a request is from, and what it may do, by the rules that are in force at the moment of each call.
///
/// Topics are named as they are on the wire. What an implementation refuses is answered as if it did not exist.
pub trait Access: Send + Sync {
    /// Whether a secret of this access key, which is valid now, has made the signature: HMAC-SHA1 over `signed`. It takes as long
    /// for a key that is not there.
    fn has_signed(&self, key_id: &str, signed: &[u8], signature: &[u8]) -> bool;

    /// Whether the key may send to any topic at all.
    fn may_use_topics(&self, key_id: &str) -> bool;

    /// Whether the key may send to the topic. `second`: the rest of the MQTT topic that the message goes to, with its leading
    /// `/`, or nothing.
    fn may_send(&self, key_id: &str, topic: &str, second: &str) -> bool;

    /// Whether the key may have its receivers shown this topic of MQTT, parent and rest, as that of a message.
    fn may_show(&self, key_id: &str, topic: &str, second: &str) -> bool;

    /// Whether the key may receive from the topic, and has a secret that is valid now.
    fn may_receive(&self, key_id: &str, topic: &str) -> bool;

    /// Whether the key may receive by this consumer group, of the topics that it may receive from.
    fn may_use_group(&self, key_id: &str, group: &str) -> bool;

    /// Whether the key may set the properties by which the sender of a message is known, and say what else is the broker's.
    fn may_stamp(&self, key_id: &str) -> bool;
}
