//! The fate of what was not synced at a power cut.

/// The fate of one un-synced sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorFate {
    Lost,
    Kept,
    /// The first bytes are new, the rest is old.
    Torn(usize),
    /// Neither old nor new.
    Garbage(u8),
}

/// A choice of what a power cut leaves.
pub trait Fate {
    /// Called once for each sector of each un-synced write, in order.
    fn sector(&mut self) -> SectorFate;

    /// Returns how many of the un-synced changes of the folder are kept: those that were made first.
    fn folder(&mut self, changes: usize) -> usize;
}

/// All that was not synced is gone.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Fate for Nothing {
    fn sector(&mut self) -> SectorFate {
        SectorFate::Lost
    }

    fn folder(&mut self, _: usize) -> usize {
        0
    }
}

/// All that was written is there, synced or not.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Fate for Everything {
    fn sector(&mut self) -> SectorFate {
        SectorFate::Kept
    }

    fn folder(&mut self, changes: usize) -> usize {
        changes
    }
}

/// The n-th un-synced sector is kept if bit n is set; so is the folder's change. Counting up enumerates all subsets.
#[derive(Clone, Copy, Debug)]
pub struct Subset {
    bits: u64,
    folder: usize,
}

impl Subset {
    #[must_use]
    pub fn new(bits: u64, folder: usize) -> Self {
        Self { bits, folder }
    }
}

impl Fate for Subset {
    fn sector(&mut self) -> SectorFate {
        let kept = self.bits & 1 == 1;
        self.bits >>= 1;
        if kept { SectorFate::Kept } else { SectorFate::Lost }
    }

    fn folder(&mut self, changes: usize) -> usize {
        self.folder.min(changes)
    }
}

/// Lost, kept, torn or garbage, by a seed.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Splitmix64: small, and good enough to choose fates.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound.max(1) as u64).unwrap_or(0)
    }
}

impl Fate for Random {
    fn sector(&mut self) -> SectorFate {
        match self.below(16) {
            0..7 => SectorFate::Lost,
            7..14 => SectorFate::Kept,
            14 => SectorFate::Torn(self.below(super::SECTOR)),
            _ => SectorFate::Garbage(u8::try_from(self.below(255)).unwrap_or(0).saturating_add(1)),
        }
    }

    fn folder(&mut self, changes: usize) -> usize {
        self.below(changes + 1)
    }
}
