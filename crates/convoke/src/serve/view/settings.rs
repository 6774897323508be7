//! The configuration as its owner is told of it.

use crate::config::{self, Origin};
use accounts::server::Setting;
use serde_json::Value;

/// Words in the keys of values that nobody is shown.
const SECRET_WORDS: [&str; 3] = ["secret", "password", "token"];
const HIDDEN: &str = "(set)";

pub(super) fn shown(setting: &config::Setting) -> Setting {
    let config::Setting { key, value, origin } = setting;
    let (origin, from) = match origin {
        Origin::Default => ("default", None),
        Origin::File(path) => ("file", Some(path.display().to_string())),
        Origin::Environment(name) => ("environment", Some(name.clone())),
        Origin::Flag(name) => ("flag", Some(name.clone())),
    };
    let value = serde_json::to_value(value).unwrap_or_default();
    Setting { key: key.clone(), value: if is_secret(key) { hidden(&value) } else { value }, origin, from }
}

fn is_secret(key: &str) -> bool {
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// That it is set, or not.
fn hidden(value: &Value) -> Value {
    let is_unset = value.is_null() || value == "";
    if is_unset { Value::from("") } else { Value::from(HIDDEN) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn shown_as(key: &str, value: &str, origin: Origin) -> Setting {
        shown(&config::Setting { key: key.to_owned(), value: toml::Value::String(value.to_owned()), origin })
    }

    #[test]
    fn a_value_is_shown_with_what_gave_it() {
        let origins = [
            (Origin::Default, ("default", None)),
            (Origin::File(PathBuf::from("a.toml")), ("file", Some("a.toml"))),
            (Origin::Environment("CONVOKE_X__Y".to_owned()), ("environment", Some("CONVOKE_X__Y"))),
            (Origin::Flag("--data".to_owned()), ("flag", Some("--data"))),
        ];
        for (origin, expected) in origins {
            let setting = shown_as("mqtt.listen", "0.0.0.0:1883", origin);
            assert_eq!((setting.origin, setting.from.as_deref()), expected);
            assert_eq!(setting.value, "0.0.0.0:1883");
        }
    }

    #[test]
    fn of_a_secret_nothing_is_shown_but_that_it_is_set() {
        for key in ["turn.secret", "hook.password", "hook.token_file"] {
            assert_eq!(shown_as(key, "hush", Origin::Default).value, HIDDEN);
            assert_eq!(shown_as(key, "", Origin::Default).value, "");
        }
    }
}
