//! Build script: it writes the table of embedded pages, every file of `web/app/dist`, with its `.br` form
//! where there is one.
//!
//! One rule for all profiles: what is there is embedded. Without it the program is built all the same, so that a
//! build without pages needs no Node; build, start and each page say so in the same words.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const WORDS: &str = "the web pages are not part of this build: build them with `make web`, then build convoke again (`make release` \
                     and `make run` do both)";

fn main() -> io::Result<()> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../web/app/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from("static PAGES: &[Page] = &[\n");
    for file in files.iter().filter(|file| !is_compressed(file)) {
        let path = file.strip_prefix(&dist).expect("it lies in the folder").display().to_string();
        let brotli = PathBuf::from(format!("{}.br", file.display()));
        let brotli = if brotli.is_file() {
            format!("Some(include_bytes!({:?}))", brotli.display().to_string())
        } else {
            "None".into()
        };
        let body = file.display().to_string();
        let _ = writeln!(table, "    Page {{ path: {path:?}, body: include_bytes!({body:?}), brotli: {brotli} }},");
    }
    table.push_str("];\n");
    if files.is_empty() {
        println!("cargo::warning={WORDS}");
    }
    let missing = files.is_empty().then_some(WORDS);
    let _ = writeln!(table, "const PAGES_MISSING: Option<&str> = {missing:?};");
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("pages.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn is_compressed(file: &Path) -> bool {
    matches!(file.extension().and_then(|e| e.to_str()), Some("br" | "gz"))
}
