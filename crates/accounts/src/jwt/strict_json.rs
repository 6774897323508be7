//! JSON objects of which each name is there once: two readers of a doubled one could differ in what was signed.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Names of one object; more are not read.
const NAMES_MAX: usize = 256;

/// An object; of objects inside it nothing is asked.
pub(super) struct UniqueNames(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names).map(Self)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose names are there once each")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.len() == NAMES_MAX || map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is there twice, or there are too many"));
            }
        }
        Ok(map)
    }
}

/// `None`: it is no such object.
pub(super) fn parse(text: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice::<UniqueNames>(text).ok().map(|UniqueNames(map)| map)
}
