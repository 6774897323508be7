//! Who may know whom. A part that needs more than this has the wrong shape.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Part → the parts that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("mqtt", &[]),
    ("signalling", &[]),
    ("limiter", &[]),
    ("clock", &[]),
    ("problem", &[]),
    ("commitlog", &[]),
    ("catalog", &[]),
    ("queue", &["clock", "commitlog"]),
    ("rocketmq-proto", &[]),
    ("queue-rocketmq", &["queue", "clock", "rocketmq-proto"]),
    ("accounts", &["catalog", "limiter", "problem"]),
    ("broker", &["mqtt", "queue", "clock", "commitlog", "accounts", "catalog", "limiter"]),
    ("rtc", &["signalling", "clock", "problem"]),
    ("meeting", &["signalling", "queue", "catalog", "clock", "limiter"]),
    ("terminal", &["mqtt", "signalling"]),
    ("demo", &["signalling", "terminal"]),
    (
        "convoke",
        &[
            "accounts",
            "broker",
            "catalog",
            "clock",
            "commitlog",
            "demo",
            "meeting",
            "mqtt",
            "problem",
            "queue",
            "queue-rocketmq",
            "rtc",
            "signalling",
            "terminal",
        ],
    ),
];

/// Crates of input and output, which the pure parts must not have. (`problem` has the types of HTTP from one of them.)
const IO_CRATES: &[&str] = &["tokio", "mio", "libc", "hyper", "axum", "reqwest", "sqlx", "rustls", "socket2"];
const PURE: &[&str] = &["mqtt", "signalling", "limiter"];

fn direct_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages.map(|package| (text(&package["name"]), normal_dependencies(package))).collect()
}

fn normal_dependencies(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
    dependencies.filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

#[test]
fn every_part_uses_only_the_parts_that_it_may_know() {
    let dependencies = direct_dependencies();
    let parts: BTreeSet<&str> = MAY_USE.iter().map(|(part, _)| *part).collect();
    for (part, allowed) in MAY_USE {
        let used = dependencies.get(*part).unwrap_or_else(|| panic!("there is no part {part}"));
        let wrong: Vec<_> =
            used.iter().filter(|d| parts.contains(d.as_str()) && !allowed.contains(&d.as_str())).collect();
        assert!(wrong.is_empty(), "{part} must not use {wrong:?}");
    }
}

#[test]
fn every_part_is_named_by_the_rule() {
    let named: BTreeSet<String> =
        MAY_USE.iter().map(|(part, _)| (*part).to_owned()).chain(["bench".into(), "scenarios".into()]).collect();
    let there: BTreeSet<String> = direct_dependencies().into_keys().collect();
    assert_eq!(there, named);
}

#[test]
fn the_pure_parts_have_no_crate_of_input_and_output() {
    let dependencies = direct_dependencies();
    for part in PURE {
        let wrong: Vec<_> = IO_CRATES.iter().filter(|io| dependencies[*part].contains(**io)).collect();
        assert!(wrong.is_empty(), "{part} must not use {wrong:?}");
    }
}
