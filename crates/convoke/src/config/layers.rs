//! The layers of the configuration, merged with the origin of each value kept.

use super::{ConfigError, Raw};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Flag(name) => write!(f, "the flag {name}"),
        }
    }
}

/// One value of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    pub value: Value,
    pub origin: Origin,
}

const ENVIRONMENT_PREFIX: &str = "CONVOKE_";

/// Values by `section.key`; a later layer wins.
#[derive(Default)]
pub struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.display().to_string(), cause })?;
        self.add_text(&text, Origin::File(path.to_owned()))
    }

    pub(super) fn add_text(&mut self, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let table: Table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Syntax { origin: origin.clone(), cause: e.to_string() })?;
        for (section, value) in table {
            let Value::Table(keys) = value else {
                self.set(section, value, origin.clone())?;
                continue;
            };
            for (key, value) in keys {
                self.set(format!("{section}.{key}"), value, origin.clone())?;
            }
        }
        Ok(())
    }

    /// Takes `CONVOKE_SECTION__KEY` variables; others of the prefix without `__` are not ours.
    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let Some((section, key)) = rest.split_once("__") else { continue };
            let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            self.set_text(&key, &text, Origin::Environment(name))?;
        }
        Ok(())
    }

    /// Sets a value given as plain text: TOML where it parses to the default's type, else a string.
    pub fn set_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let value = match known_keys().get(key) {
            Some(Value::String(_)) => Value::String(text.to_owned()),
            _ => parse_value(text).unwrap_or_else(|| Value::String(text.to_owned())),
        };
        self.set(key.to_owned(), value, origin)
    }

    fn set(&mut self, key: String, value: Value, origin: Origin) -> Result<(), ConfigError> {
        if !known_keys().contains_key(&key) {
            let nearest = nearest(&key);
            return Err(ConfigError::UnknownKey { key, origin, nearest });
        }
        self.values.insert(key, (value, origin));
        Ok(())
    }

    pub fn origin(&self, key: &str) -> Origin {
        self.values.get(key).map(|(_, origin)| origin.clone()).unwrap_or_default()
    }

    /// All values that are in force, those of the defaults too, by their keys.
    pub fn settings(&self) -> Vec<Setting> {
        let with_origin = |(key, default): (String, Value)| {
            let (value, origin) = self.values.get(&key).cloned().unwrap_or((default, Origin::Default));
            Setting { key, value, origin }
        };
        known_keys().into_iter().map(with_origin).collect()
    }

    /// The merged raw configuration. Read anew after each value, so that an error names the one that is wrong.
    pub fn merge(&self) -> Result<Raw, ConfigError> {
        let mut table = Table::try_from(Raw::default()).expect("the defaults are a table");
        let mut merged = Raw::default();
        for (key, (value, origin)) in &self.values {
            let (section, name) = key.split_once('.').expect("known keys have a section");
            let keys = table[section].as_table_mut().expect("sections are tables");
            let expected = keys[name].type_str();
            if value.type_str() != expected {
                return Err(wrong_type(key, origin, value, expected));
            }
            keys.insert(name.to_owned(), value.clone());
            merged = table.clone().try_into().map_err(|error| unfit(key, origin, value, &error))?;
        }
        Ok(merged)
    }
}

/// Of the right type, but negative, or with something else inside.
fn unfit(key: &str, origin: &Origin, value: &Value, error: &toml::de::Error) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        origin: origin.clone(),
        cause: format!("{value} does not fit ({})", error.message()),
        remedy: "docs/configuration.md says what fits".to_owned(),
    }
}

fn wrong_type(key: &str, origin: &Origin, value: &Value, expected: &str) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        origin: origin.clone(),
        cause: format!("it is a {}, but a {expected} is needed", value.type_str()),
        remedy: format!("give a {expected}"),
    }
}

fn parse_value(text: &str) -> Option<Value> {
    format!("v = {text}").parse::<Table>().ok()?.remove("v")
}

fn known_keys() -> BTreeMap<String, Value> {
    let table = Table::try_from(Raw::default()).expect("the defaults are a table");
    let mut known = BTreeMap::new();
    for (section, value) in table {
        let Value::Table(keys) = value else { continue };
        known.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
    }
    known
}

fn nearest(key: &str) -> Option<String> {
    const LEAST_LIKENESS: f64 = 0.6;
    let known = known_keys();
    let likeness = |candidate: &String| strsim::jaro_winkler(candidate, key);
    let best = known.into_keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= LEAST_LIKENESS).then_some(best)
}
