//! The names of message properties stand twice, since the broker may not know the signals, nor they the broker: both
//! lists say the same. The broker's is its own secret, so the sources are compared.

use std::collections::BTreeMap;

const SIGNALS: &str = include_str!("../../crates/signalling/src/topics.rs");
const BROKER: &str = include_str!("../../crates/broker/src/bridge/properties.rs");
/// Some of the broker's are those of its stamps.
const STAMPS: &str = include_str!("../../crates/broker/src/stamps.rs");

/// The text constants of the module `name`.
fn constants<'a>(source: &'a str, name: &str) -> BTreeMap<&'a str, &'a str> {
    let (_, body) = source.split_once(&format!("mod {name} {{")).expect("the module is there");
    let (body, _) = body.split_once("\n}").expect("the module ends");
    constants_in(body)
}

fn constants_in(body: &str) -> BTreeMap<&str, &str> {
    let named = body.lines().filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \""));
    named.map(|(constant, value)| (constant, value.trim_end_matches("\";"))).collect()
}

#[test]
fn signals_and_broker_name_message_properties_alike() {
    let (signals, mut broker) = (constants(SIGNALS, "property"), constants(BROKER, "name"));
    broker.extend(constants_in(STAMPS));
    assert!(signals.len() > 10, "the list was not found: {signals:?}");
    let other: Vec<_> = signals.iter().filter(|(constant, value)| broker.get(*constant) != Some(value)).collect();
    assert!(other.is_empty(), "the broker has other names for {other:?}");
}
