//! Room for what receives hand out: bytes that are reserved before messages are picked, and given back when they have gone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{RECEIVE_BYTES_MAX, ROOM_UNIT};

/// What one receive may hand out, at most, in units.
const RECEIVE_UNITS: usize = RECEIVE_BYTES_MAX.div_ceil(ROOM_UNIT);

/// Where receives reserve their bytes. Without parts it has no end.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Permits are units of [`ROOM_UNIT`] bytes.
    parts: Vec<Arc<Semaphore>>,
}

impl Room {
    /// Returns the room that all of these parts together leave, a share of somebody's before what is everybody's. Each has
    /// permits of [`ROOM_UNIT`] bytes, and at least as many as [`RECEIVE_BYTES_MAX`] needs.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = Arc<Semaphore>>) -> Self {
        Self { parts: parts.into_iter().collect() }
    }

    /// Reserves what one receive may hand out, if there is room for it now.
    #[must_use]
    pub fn try_reserve(&self) -> Option<Place> {
        let permits = self.parts.iter().map(|part| Arc::clone(part).try_acquire_many_owned(units(RECEIVE_UNITS)));
        Some(Place { permits: permits.collect::<Result<_, _>>().ok()? })
    }

    /// The same, as soon as there is room. `None`: there never will be, since a part is closed.
    pub async fn reserve(&self) -> Option<Place> {
        let mut place = Place::default();
        for part in &self.parts {
            let permit = Arc::clone(part).acquire_many_owned(units(RECEIVE_UNITS)).await.ok()?;
            place.permits.push(permit);
        }
        Some(place)
    }
}

/// Reserved bytes, which are free again when this is dropped.
#[derive(Debug, Default)]
pub struct Place {
    permits: Vec<OwnedSemaphorePermit>,
}

impl Place {
    /// Gives back what is not needed for so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        for permit in &mut self.permits {
            let rest = permit.num_permits().saturating_sub(bytes.div_ceil(ROOM_UNIT));
            drop(permit.split(rest));
        }
    }
}

fn units(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn a_place_has_room_in_all_parts_and_gives_back_what_it_does_not_need() {
        let (share, all) = (Arc::new(Semaphore::new(RECEIVE_UNITS)), Arc::new(Semaphore::new(3 * RECEIVE_UNITS)));
        let room = Room::of([Arc::clone(&share), Arc::clone(&all)]);
        let free = || (share.available_permits(), all.available_permits());
        let mut place = room.try_reserve().unwrap();
        assert_eq!(free(), (0, 2 * RECEIVE_UNITS));
        assert!(room.try_reserve().is_none());
        assert_eq!(free(), (0, 2 * RECEIVE_UNITS), "nothing is kept of what has no room in one of them");
        place.keep(ROOM_UNIT + 1);
        assert_eq!(free(), (RECEIVE_UNITS - 2, 3 * RECEIVE_UNITS - 2));
        place.keep(usize::MAX);
        assert_eq!(free(), (RECEIVE_UNITS - 2, 3 * RECEIVE_UNITS - 2));
        drop(place);
        assert_eq!(free(), (RECEIVE_UNITS, 3 * RECEIVE_UNITS));
        assert!(Room::default().try_reserve().is_some());
    }
}
