//! Writes the table of embedded pages: every file of `web/app/dist`, beside it its `.br` form where there is one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

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
