//! The question before something is destroyed.

use super::failure::Failure;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Read, Write, stdin};

/// Nobody answers with more.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// # Errors
/// The answer is not yes, or there is no terminal to ask at.
pub(super) fn ask(question: &str) -> Result<()> {
    if !(stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let words = format!("there is no terminal to ask at: {question}\n  remedy: give --yes, if that is meant");
        bail!(Failure::Usage(words));
    }
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).context("cannot ask")?;
    let mut answer = String::new();
    stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer).context("cannot read the answer")?;
    if is_yes(&answer) { Ok(()) } else { bail!("nothing was done") }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(["y\n", "YES\n"].iter().all(|answer| is_yes(answer)));
        assert!(!["\n", "", "n\n", "yess\n"].iter().any(|answer| is_yes(answer)));
    }
}
