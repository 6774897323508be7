//! A file: its fields, and its variants.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) why: String,
    #[serde(default = "bob")]
    pub(super) me: String,
    #[serde(default)]
    pub(super) clock_ms: Value,
    #[serde(default)]
    pub(super) window: Value,
    #[serde(default)]
    pub(super) free: Vec<String>,
    #[serde(default)]
    only: Vec<Sdk>,
    #[serde(default, rename = "for")]
    values: BTreeMap<String, Vec<Value>>,
    pub(super) steps: Vec<Value>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Sdk {
    Rust,
    Web,
}

fn bob() -> String {
    "bob".to_owned()
}

impl Scenario {
    pub(super) fn is_for(&self, sdk: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| format!("{only:?}").eq_ignore_ascii_case(sdk))
    }

    /// With each combination of the values put in; and their text, for messages.
    pub(super) fn variants(&self) -> Vec<(String, Self)> {
        let mut combinations = vec![Map::new()];
        for (name, values) in &self.values {
            let with = |combination: &Map<String, Value>, value: &Value| {
                let mut combination = combination.clone();
                combination.insert(name.clone(), value.clone());
                combination
            };
            combinations = combinations.iter().flat_map(|c| values.iter().map(move |v| with(c, v))).collect();
        }
        combinations.iter().map(|values| (Value::from(values.clone()).to_string(), self.with(values))).collect()
    }

    fn with(&self, values: &Map<String, Value>) -> Self {
        Self {
            clock_ms: replaced(&self.clock_ms, values),
            window: replaced(&self.window, values),
            steps: self.steps.iter().map(|step| replaced(step, values)).collect(),
            ..self.clone()
        }
    }
}

/// `"$name"` becomes the value, `${name}` within a text its text.
pub(super) fn replaced(value: &Value, values: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => replaced_text(text, values),
        Value::Array(items) => items.iter().map(|item| replaced(item, values)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), replaced(field, values))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn replaced_text(text: &str, values: &Map<String, Value>) -> Value {
    if let Some(value) = text.strip_prefix('$').and_then(|name| values.get(name)) {
        return value.clone();
    }
    let replace = |text: String, (name, value): (&String, &Value)| {
        let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.replace(&format!("${{{name}}}"), &word)
    };
    values.iter().fold(text.to_owned(), replace).into()
}
