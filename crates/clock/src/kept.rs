//! What one run keeps for the next one, as one line of text.

use std::fmt;
use std::str::FromStr;

/// As the id of a boot: none has it.
pub(crate) const NO_BOOT: &str = "-";

/// The service's time at a moment since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of the boot that `boot_ns` belongs to; without white space.
    pub boot_id: String,
    pub boot_ns: u64,
    pub service_ns: u64,
}

/// The text is no [`Kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot_id, boot_ns, service_ns } = self;
        writeln!(formatter, "{boot_id} {boot_ns} {service_ns}")
    }
}

impl FromStr for Kept {
    type Err = NotKept;

    fn from_str(text: &str) -> Result<Self, NotKept> {
        let mut words = text.split_ascii_whitespace();
        let boot_id = words.next().ok_or(NotKept)?.to_owned();
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or(NotKept);
        let (boot_ns, service_ns) = (number()?, number()?);
        if words.next().is_some() || !text.ends_with('\n') {
            return Err(NotKept);
        }
        Ok(Self { boot_id, boot_ns, service_ns })
    }
}
