//! What the reference product advises on parent topics, as far as rules and grants show that it is not followed.
//!
//! Upstream and downstream go by parent topics of their own. (So do messages of another priority or size, which nobody sees
//! before they are sent.)

use catalog::{Right, Rights, Rule};

/// Something that works, and is not advised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Upstream and downstream share the parent topic.
    BothWays,
    /// Devices are granted what is downstream, on a parent topic for upstream.
    DownOnUp,
    /// Devices are granted to publish, on a parent topic for downstream.
    UpOnDown,
}

impl Advice {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BothWays => "both_ways",
            Self::DownOnUp => "downstream_on_upstream",
            Self::UpOnDown => "upstream_on_downstream",
        }
    }

    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BothWays => {
                "messages from devices and messages to them share this parent topic: take one with to_queue for the first \
                 and one with from_queue for the others"
            }
            Self::DownOnUp => {
                "what devices publish here goes to the queue, and grants let them subscribe or send P2P here, too: take \
                 another parent topic for what they receive"
            }
            Self::UpOnDown => {
                "what is in the queue is delivered here, and grants let devices publish here, too: take another parent \
                 topic, with to_queue, for what they send"
            }
        }
    }
}

/// Of a parent topic with this rule, where devices were granted these rights in all.
#[must_use]
pub fn advice(rule: Rule, to_devices: Rights) -> Vec<Advice> {
    let has = |right| to_devices.allow(right);
    let found = match rule {
        Rule::Both => Some(Advice::BothWays),
        Rule::ToQueue => (has(Right::Subscribe) || has(Right::P2p)).then_some(Advice::DownOnUp),
        Rule::FromQueue => has(Right::Publish).then_some(Advice::UpOnDown),
        // All stays inside the broker: one topic for what devices say to each other is as it is to be.
        Rule::None => None,
    };
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_and_downstream_are_to_be_apart() {
        let table: [(Rule, &str, &[Advice]); 9] = [
            (Rule::Both, "", &[Advice::BothWays]),
            (Rule::Both, "publish p2p", &[Advice::BothWays]),
            (Rule::ToQueue, "publish", &[]),
            (Rule::ToQueue, "publish p2p", &[Advice::DownOnUp]),
            (Rule::ToQueue, "subscribe", &[Advice::DownOnUp]),
            (Rule::FromQueue, "", &[]),
            (Rule::FromQueue, "subscribe p2p", &[]),
            (Rule::FromQueue, "publish", &[Advice::UpOnDown]),
            (Rule::None, "publish subscribe p2p", &[]),
        ];
        for (rule, rights, expected) in table {
            assert_eq!(advice(rule, Rights::parse(rights).unwrap_or_default()), expected, "{rule:?} {rights}");
        }
    }
}
