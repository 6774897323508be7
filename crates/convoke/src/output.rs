//! Standard output for people: one line at a time, and no error when it is closed.

use std::fmt::Display;
use std::io::Write;

pub fn print_line(line: impl Display) {
    // A closed pipe (`| head`) is no failure.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
