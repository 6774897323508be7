//! The purity of the state machine: its folder names no crate of input and output, no clock, no source of randomness,
//! and nothing of this crate outside itself.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that the folder may use.
const CRATES: &[&str] = &["serde", "serde_json", "signalling", "thiserror", "uuid"];
/// Modules of `std` that do nothing but compute.
const STD: &[&str] = &["cmp", "collections", "fmt", "hash", "iter", "mem", "ops", "slice"];
/// Functions of the crates above that read a clock or draw random numbers, and macros that write.
const IMPURE: &[&str] =
    &["now_v1", "now_v6", "now_v7", "new_v4", "Instant", "SystemTime", "print", "println", "eprint", "eprintln", "dbg"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine")
}

/// The files of the folder, and of folders in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Whether the code of a line names only pure paths: `a::b::{c, d}` is the path `a::b::`.
fn is_pure_line(line: &str, modules: &[String]) -> bool {
    let code = line.split("//").next().unwrap_or_default().replace("::<", "<");
    let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.all(|word| {
        let path: Vec<&str> = word.split("::").map(|part| part.trim_matches(':')).collect();
        is_pure(&path, modules)
    })
}

fn is_pure(path: &[&str], modules: &[String]) -> bool {
    if path.iter().any(|part| IMPURE.contains(part)) {
        return false;
    }
    match path {
        [] | [_] => true,
        ["crate", second, ..] => *second == "machine",
        ["std" | "core" | "alloc", second, ..] => STD.contains(second),
        // What follows a `>`, or a path from the root.
        ["", rest @ ..] => is_pure(rest, modules),
        ["self", ..] => true,
        [name, ..] if name.starts_with(char::is_uppercase) || is_primitive(name) => true,
        [name, ..] => CRATES.contains(name) || modules.iter().any(|module| module == name),
    }
}

fn is_primitive(name: &str) -> bool {
    matches!(name, "bool" | "char" | "str" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i64")
}

/// Lines of a file that break the rule.
fn impurities<'a>(source: &'a str, modules: &[String]) -> Vec<&'a str> {
    source.lines().filter(|line| !is_pure_line(line, modules)).collect()
}

fn modules(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_machine_uses_nothing_but_signalling_and_plain_data() {
    let files = sources(&folder());
    assert!(files.len() > 10, "the folder of the machine is somewhere else: {files:?}");
    let modules = modules(&files);
    for file in &files {
        let source = fs::read_to_string(file).unwrap();
        assert_eq!(impurities(&source, &modules), Vec::<&str>::new(), "{}", file.display());
    }
}

#[test]
fn the_check_finds_each_kind_of_impurity() {
    let modules = modules(&sources(&folder()));
    for line in [
        "use tokio::sync::mpsc;",
        "use std::fs;",
        "use std::net::SocketAddr;",
        "use std::time::{Duration, Instant};",
        "let now = SystemTime::now();",
        "    let bytes = std::fs::read(path);",
        "let id = Uuid::now_v7();",
        "use crate::clock;",
        "let now_ms = crate::clock::now_ms();",
        "use super::super::clock;",
        "::tokio::spawn(work);",
        "use catalog::Catalog;",
        "tracing::warn!(\"a side effect\");",
        "println!(\"a side effect\");",
    ] {
        assert_eq!(impurities(line, &modules), [line]);
    }
    let pure = [
        "use crate::machine::document::Meeting; // not crate::clock",
        "let n = all.collect::<Vec<_>>();",
        "use std::mem;",
    ];
    assert_eq!(
        impurities(
            &pure.join(
                "
"
            ),
            &modules
        ),
        Vec::<&str>::new()
    );
}
