//! Lines for people on standard output; whoever closed it does not want more.

use std::fmt::Display;
use std::io::Write;

pub fn print_line(line: impl Display) {
    // A closed pipe (`| head`) is no failure.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
