//! What this server does not do yet, in one place: QoS 2, retained messages, wills, shared subscriptions, topic
//! aliases, extended authentication.

use crate::codec::{Connect, Properties, PropertiesBuf, Property, Publish, SubscribeFilter};
use crate::topic::TopicFilter;
use crate::{QoS, ReasonCode, SubscriptionOptions, Version};

/// The highest QoS of a PUBLISH in either direction.
pub const MAXIMUM_QOS: QoS = QoS::AtLeastOnce;

/// The QoS that a subscription is granted [MQTT5-3.8.4-7] [MQTT311-3.8.4-6].
pub fn granted_qos(requested: QoS) -> QoS {
    requested.min(MAXIMUM_QOS)
}

/// The filter and the options to subscribe with.
///
/// # Errors
/// The code for the SUBACK: 0x8F for what is no filter, 0x9E for a shared subscription.
pub fn check_subscribe(wish: SubscribeFilter<'_>) -> Result<(TopicFilter<'_>, SubscriptionOptions), ReasonCode> {
    let filter = TopicFilter::parse(wish.filter).map_err(|_| ReasonCode::TOPIC_FILTER_INVALID)?;
    if filter.share_name().is_some() {
        return Err(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
    }
    Ok((filter, SubscriptionOptions { qos: granted_qos(wish.options.qos), ..wish.options }))
}

/// The reason to refuse a CONNECT for what it asks of us.
pub(super) fn refuse_connect(connect: &Connect<'_>) -> Option<(ReasonCode, &'static str)> {
    if connect.properties.authentication_method().is_some() {
        return Some((ReasonCode::BAD_AUTHENTICATION_METHOD, "extended authentication"));
    }
    let will = connect.will?;
    let reason = match connect.version {
        Version::V311 => ReasonCode::SERVER_UNAVAILABLE,
        // [MQTT5-3.2.2-12] [MQTT5-3.2.2-13]
        Version::V5 if will.qos > MAXIMUM_QOS => ReasonCode::QOS_NOT_SUPPORTED,
        Version::V5 if will.retain => ReasonCode::RETAIN_NOT_SUPPORTED,
        Version::V5 => ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
    };
    Some((reason, "wills are not supported"))
}

/// The reason to end a connection for a PUBLISH.
pub(super) fn refuse_publish(message: &Publish<'_>) -> Option<(ReasonCode, &'static str)> {
    if message.delivery.qos() > MAXIMUM_QOS {
        return Some((ReasonCode::QOS_NOT_SUPPORTED, "a PUBLISH above the Maximum QoS"));
    }
    if message.retain {
        return Some((ReasonCode::RETAIN_NOT_SUPPORTED, "a retained PUBLISH"));
    }
    refuse_publish_properties(message.properties)
}

fn refuse_publish_properties(properties: Properties<'_>) -> Option<(ReasonCode, &'static str)> {
    if properties.is_empty() {
        return None;
    }
    properties.iter().find_map(|property| match property {
        // The Topic Alias Maximum of this server is 0 [MQTT5-3.3.2-9].
        Property::TopicAlias(_) => Some((ReasonCode::TOPIC_ALIAS_INVALID, "a Topic Alias above the maximum")),
        // [MQTT5-3.3.4-6]
        Property::SubscriptionIdentifier(_) => {
            Some((ReasonCode::PROTOCOL_ERROR, "a Subscription Identifier from a client"))
        }
        _ => None,
    })
}

/// Tells a 5.0 client what this server does not do.
pub(super) fn announce(properties: &mut PropertiesBuf) {
    for property in [
        Property::MaximumQoS(MAXIMUM_QOS >= QoS::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::SharedSubscriptionAvailable(false),
    ] {
        let pushed = properties.push(property);
        debug_assert!(pushed.is_ok(), "a boolean always fits");
    }
}
