//! Documents that name files: the files are there.

use std::path::Path;

/// A document, the folder that its paths begin at, and how they begin.
const DOCUMENTS: &[(&str, &str, &[&str])] = &[
    ("ARCHITECTURE.md", "", &["crates/", "web/", "tests/", "bench/", "fuzz/", "docs/", "scripts/"]),
    ("docs/disk.md", "", &["crates/", "tests/"]),
    ("docs/broker.md", "crates/broker/src/worker", &["connections/", "clients/", "durability/"]),
];

/// What stands between backticks and begins like one of `folders`.
fn paths<'a>(text: &'a str, folders: &[&str]) -> Vec<&'a str> {
    let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| !quoted.contains([' ', '\n', '*', '<']));
    quoted.filter(|quoted| folders.iter().any(|folder| quoted.starts_with(folder))).collect()
}

fn missing<'a>(base: &Path, paths: &[&'a str]) -> Vec<&'a str> {
    paths.iter().copied().filter(|path| !base.join(path).exists()).collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository");
    for (document, base, folders) in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document)).expect("the document is there");
        let paths = paths(&text, folders);
        assert!(!paths.is_empty(), "{document} names no file: it needs no check");
        assert_eq!(missing(&root.join(base), &paths), [] as [&str; 0], "{document} names files that are not there");
    }
    let named = paths("see `crates/broker` and `crates/no_such_part/src/lib.rs`", &["crates/"]);
    assert_eq!(missing(root, &named), ["crates/no_such_part/src/lib.rs"]);
}
