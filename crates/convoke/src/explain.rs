//! The text of an error for a person: the thing, the cause, and only then what to do about it.

/// The chain of causes on one line, then the further lines (remedies, logs) that any of them brought.
pub fn explain(error: &anyhow::Error) -> String {
    let (mut causes, mut advice) = (Vec::<String>::new(), Vec::<String>::new());
    for link in error.chain().map(ToString::to_string) {
        let mut lines = link.lines();
        let cause = lines.next().unwrap_or_default();
        // Some errors repeat their source in their own words.
        if !causes.iter().any(|before| before.contains(cause)) {
            causes.push(cause.to_owned());
        }
        advice.extend(lines.map(|line| format!("\n{line}")));
    }
    format!("{}{}", causes.join(": "), advice.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_remedy_comes_after_the_cause_and_nothing_is_said_twice() {
        let error = anyhow!("port in use").context("cannot listen\n  remedy: another port").context("no start");
        assert_eq!(explain(&error), "no start: cannot listen: port in use\n  remedy: another port");
        let repeated = anyhow!("disk full").context("cannot write: disk full");
        assert_eq!(explain(&repeated), "cannot write: disk full");
    }
}
