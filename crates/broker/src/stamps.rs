//! Stamps: what the broker says of who published a message. Services that subscribe get them as user properties, before all
//! others, under names that no publisher's own user properties have.

use mqtt::codec::{Properties, PropertiesBuf, Property};

/// The client id of the sender.
pub(crate) const CLIENT_ID: &str = "clientId";
/// The sender's user, if it has one.
pub(crate) const USER: &str = "convokeUser";
/// Arrival at the broker in milliseconds since 1970.
pub(crate) const ARRIVED_MS: &str = "convokeArrivedMs";

/// What a message says of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamps<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) arrived_ms: Option<&'a str>,
}

impl Stamps<'_> {
    pub(crate) fn push(&self, properties: &mut PropertiesBuf) {
        let all = [(CLIENT_ID, self.client_id), (USER, self.user), (ARRIVED_MS, self.arrived_ms)];
        for (name, value) in all.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            // A name or a number is short enough, and has no NUL; what comes from the queue may be anything.
            let _ = properties.push(Property::UserProperty(name, value));
        }
    }
}

/// Whether a user property of this name is the broker's alone.
pub(crate) fn is_stamp(name: &str) -> bool {
    matches!(name, CLIENT_ID | USER | ARRIVED_MS)
}

/// The properties of a message for one who gets no stamps.
pub(crate) fn without(properties: Properties<'_>) -> Properties<'_> {
    properties.after(|property| matches!(property, Property::UserProperty(name, _) if is_stamp(name)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn stamps_stand_first_and_are_taken_off_again() {
        let mut properties = PropertiesBuf::new();
        Stamps { client_id: Some("GID_dev@@@a"), user: None, arrived_ms: Some("7") }.push(&mut properties);
        let own = [Property::ContentType("text"), Property::UserProperty("a", "1")];
        own.into_iter().for_each(|property| properties.push(property).unwrap());
        let all: Vec<_> = properties.view().user_properties().collect();
        assert_eq!(all, [(CLIENT_ID, "GID_dev@@@a"), (ARRIVED_MS, "7"), ("a", "1")]);
        assert_eq!(without(properties.view()).iter().collect::<Vec<_>>(), own);
        assert_eq!(without(without(properties.view())).iter().collect::<Vec<_>>(), own);
        assert!(without(Properties::EMPTY).is_empty());
    }
}
