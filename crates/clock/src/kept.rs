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
    /// Absent if nothing was.
    pub early: Option<KeptEarly>,
}

/// What was dated too early, because the system's clock was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptEarly {
    /// When the clock was set, and the time by which that ends as it was then. As late as the service's: the clock is not set
    /// yet, or not for long.
    pub since_boot_ns: u64,
    pub known_ns: u64,
    /// It ends by then at the latest: when the clock was set. 0: it has not been.
    pub until_ns: u64,
}

/// The text is no [`Kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot_id, boot_ns, service_ns, early } = self;
        write!(formatter, "{boot_id} {boot_ns} {service_ns}")?;
        if let Some(KeptEarly { since_boot_ns, known_ns, until_ns }) = early {
            write!(formatter, " {since_boot_ns} {known_ns} {until_ns}")?;
        }
        writeln!(formatter)
    }
}

impl FromStr for Kept {
    type Err = NotKept;

    fn from_str(text: &str) -> Result<Self, NotKept> {
        let mut words = text.strip_suffix('\n').ok_or(NotKept)?.split_ascii_whitespace();
        let boot_id = words.next().ok_or(NotKept)?.to_owned();
        let numbers: Result<Vec<u64>, _> = words.map(str::parse).collect();
        let (boot_ns, service_ns, early) = match numbers.map_err(|_| NotKept)?[..] {
            [boot_ns, service_ns] => (boot_ns, service_ns, None),
            [boot_ns, service_ns, since_boot_ns, known_ns, until_ns] => {
                (boot_ns, service_ns, Some(KeptEarly { since_boot_ns, known_ns, until_ns }))
            }
            _ => return Err(NotKept),
        };
        Ok(Self { boot_id, boot_ns, service_ns, early })
    }
}
