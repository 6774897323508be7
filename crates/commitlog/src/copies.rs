//! The index of carried records: where the newest copy of each name is. Dropped with the segment that
//! holds them.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::Position;
use crate::format::Geometry;

/// Copies by the segment that holds them, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    by_segment: RwLock<BTreeMap<u64, BTreeMap<Position, u32>>>,
}

impl Copies {
    /// Notes that a copy of `name` is at `place`.
    pub(crate) fn insert(&self, geometry: &Geometry, name: Position, place: Position) {
        let (segment, offset) = geometry.split(place);
        let Ok(offset) = u32::try_from(offset) else { return };
        let mut by_segment = self.by_segment.write().unwrap_or_else(PoisonError::into_inner);
        by_segment.entry(segment).or_default().insert(name, offset);
    }

    /// Forgets the copies in segments before `begin`.
    pub(crate) fn forget_before(&self, begin: u64) {
        let mut by_segment = self.by_segment.write().unwrap_or_else(PoisonError::into_inner);
        *by_segment = by_segment.split_off(&begin);
    }

    /// Names that have a copy in this segment, rising.
    pub(crate) fn names_in(&self, segment: u64) -> Vec<Position> {
        let by_segment = self.by_segment.read().unwrap_or_else(PoisonError::into_inner);
        by_segment.get(&segment).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    /// Numbers of the segments that have copies, rising.
    pub(crate) fn segments(&self) -> Vec<u64> {
        self.by_segment.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Names that have a copy in this segment, rising, and where it is.
    pub(crate) fn in_segment(&self, geometry: &Geometry, segment: u64) -> Vec<(Position, Position)> {
        let by_segment = self.by_segment.read().unwrap_or_else(PoisonError::into_inner);
        let copies = by_segment.get(&segment).into_iter().flatten();
        copies.map(|(name, offset)| (*name, geometry.position(segment, u64::from(*offset)))).collect()
    }

    /// Returns the place of the newest copy of `name`.
    pub(crate) fn find(&self, geometry: &Geometry, name: Position) -> Option<Position> {
        let by_segment = self.by_segment.read().unwrap_or_else(PoisonError::into_inner);
        by_segment.iter().rev().find_map(|(segment, copies)| {
            copies.get(&name).map(|offset| geometry.position(*segment, u64::from(*offset)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copy_of_a_name_is_found_whatever_the_order() {
        let geometry = Geometry { log_id: [7; 16], segment_size: 16 << 10 };
        let copies = Copies::default();
        let place = |segment, offset| geometry.position(segment, offset);
        for (name, at) in [(300, place(5, 64)), (100, place(4, 64)), (300, place(4, 128)), (100, place(4, 256))] {
            copies.insert(&geometry, Position(name), at);
        }
        assert_eq!(copies.find(&geometry, Position(300)), Some(place(5, 64)));
        assert_eq!(copies.find(&geometry, Position(100)), Some(place(4, 256)));
        assert_eq!(copies.find(&geometry, Position(200)), None);
    }
}
