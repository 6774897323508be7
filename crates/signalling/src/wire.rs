//! [`Down`] as one flat object. An invitation and its envelope both name the meeting: on the wire it is one field,
//! which a derived `flatten` would write twice.

use crate::signal::{Down, DownBody, Envelope};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

impl Serialize for Down {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = fields_of(&self.envelope).map_err(serde::ser::Error::custom)?;
        fields.extend(fields_of(&self.body).map_err(serde::ser::Error::custom)?);
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Down {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Value::Object(Map::deserialize(deserializer)?);
        let envelope = Envelope::deserialize(&fields).map_err(serde::de::Error::custom)?;
        let body = DownBody::deserialize(fields).map_err(serde::de::Error::custom)?;
        Ok(Self { envelope, body })
    }
}

fn fields_of(part: &impl Serialize) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(part)? {
        Value::Object(fields) => Ok(fields),
        other => Err(serde::ser::Error::custom(format!("{other} is no object"))),
    }
}
