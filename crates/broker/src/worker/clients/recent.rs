//! Where the receivers of the last messages are.
//!
//! A publisher names its receiver by clones of one key. They are found by the key's address, without a look at its bytes;
//! every other key is found by its bytes, as if this were not here.

use crate::client::ClientKey;
use crate::worker::action::ClientRef;

const PLACES: usize = 256;
/// What is allocated begins at a multiple of this.
const ALLOCATION_ALIGNMENT: usize = 16;

/// Of several keys with the same place the last one is remembered.
#[derive(Default)]
pub(super) struct RecentReceivers {
    places: Vec<Option<(ClientKey, ClientRef)>>,
}

impl RecentReceivers {
    /// The client that was remembered for this key. It may have been forgotten since.
    pub(super) fn find(&self, key: &ClientKey) -> Option<ClientRef> {
        let (known, client) = self.places.get(place(key))?.as_ref()?;
        known.is_same(key).then_some(*client)
    }

    pub(super) fn remember(&mut self, key: &ClientKey, client: ClientRef) {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        if let Some(known) = self.places.get_mut(place(key)) {
            *known = Some((key.clone(), client));
        }
    }
}

fn place(key: &ClientKey) -> usize {
    key.address() / ALLOCATION_ALIGNMENT % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_key_are_found_and_equal_keys_are_not() {
        let (key, equal) = (ClientKey::new("GID_dev@@@bob"), ClientKey::new("GID_dev@@@bob"));
        let client = ClientRef { slot: 3, generation: 9 };
        let mut recent = RecentReceivers::default();
        assert_eq!(recent.find(&key), None);
        recent.remember(&key, client);
        assert_eq!((recent.find(&key.clone()), recent.find(&equal)), (Some(client), None));
    }
}
