//! The reference of the configuration, made from the doc comments and defaults of [`Raw`].

use super::Raw;
use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "# Configuration\n\n\
    One TOML file, `convoke serve --config FILE`. Every key can also be given as `--set section.key=value` or as the\n\
    environment variable `CONVOKE_SECTION__KEY`. Flag wins over environment, environment over file, file over default;\n\
    an unknown key is refused. In an address port 0 is any free one; what was taken is printed when the server is ready.\n\
    This page is generated.\n";

/// Has keys in builds for tests alone, which are nobody else's matter.
const SECTION_OF_TESTS: &str = "test";

/// One table a section.
pub fn markdown() -> String {
    let schema = schemars::schema_for!(Raw).to_value();
    let defaults = serde_json::to_value(Raw::default()).expect("the defaults are plain values");
    let mut text = String::from(HEAD);
    let sections = defaults.as_object().into_iter().flatten();
    for (section, keys) in sections.filter(|(section, _)| *section != SECTION_OF_TESTS) {
        let _ = write!(text, "\n## `[{section}]`\n\n| key | default | |\n|---|---|---|\n");
        let definition = definition_of(&schema, section);
        for (key, default) in keys.as_object().into_iter().flatten() {
            line(&mut text, definition, key, default);
        }
        for key in keys.as_object().into_iter().flatten().map(|(key, _)| key) {
            items(&mut text, &schema, section, key);
        }
    }
    text
}

fn line(text: &mut String, definition: &Value, key: &str, default: &Value) {
    let words = definition["properties"][key]["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ")
        .replace('|', "\\|");
    let _ = writeln!(text, "| `{key}` | `{default}` | {words} |");
}

/// The keys of one table of a list of tables.
fn items(text: &mut String, schema: &Value, section: &str, key: &str) {
    let list = &definition_of(schema, section)["properties"][key];
    let Some(name) = list["items"]["$ref"].as_str() else { return };
    let definition = &schema["$defs"][name.trim_start_matches("#/$defs/")];
    let _ = write!(text, "\n### `[[{section}.{key}]]`\n\n| key | default | |\n|---|---|---|\n");
    for (key, property) in definition["properties"].as_object().into_iter().flatten() {
        line(text, definition, key, &property["default"]);
    }
}

fn definition_of<'a>(schema: &'a Value, section: &str) -> &'a Value {
    let reference = schema["properties"][section]["$ref"].as_str().unwrap_or_default();
    &schema["$defs"][reference.trim_start_matches("#/$defs/")]
}
