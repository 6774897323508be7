//! Receipts of the embedded engine: `epoch.subscription.position.serial`, hexadecimal.

use commitlog::{Epoch, Position};

use crate::error::AckError;
use crate::ids::SubscriptionId;
use crate::message::Receipt;

/// One hand-out of one message to one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOutId {
    pub(crate) subscription: SubscriptionId,
    pub(crate) position: Position,
    pub(crate) serial: u64,
}

impl HandOutId {
    pub(crate) fn receipt(&self, epoch: Epoch) -> Receipt {
        let Self { subscription, position, serial } = self;
        Receipt::new(format!("{:x}.{:x}.{:x}.{serial:x}", epoch.0, subscription.0, position.0))
    }

    pub(crate) fn parse(receipt: &Receipt, current: Epoch) -> Result<Self, AckError> {
        let mut numbers = receipt.as_str().split('.').map(|part| u64::from_str_radix(part, 16).ok());
        let mut next = || numbers.next().flatten().ok_or(AckError::Malformed);
        let (epoch, subscription, position, serial) = (next()?, next()?, next()?, next()?);
        if numbers.next().is_some() {
            return Err(AckError::Malformed);
        }
        if epoch != current.0 {
            return Err(AckError::StaleEpoch { receipt: epoch, current: current.0 });
        }
        Ok(Self { subscription: SubscriptionId(subscription), position: Position(position), serial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_survives_being_text() {
        let id = HandOutId { subscription: SubscriptionId(70_000), position: Position(1 << 40), serial: 3 };
        let text = id.receipt(Epoch(9)).to_string();
        assert_eq!(HandOutId::parse(&Receipt::new(text), Epoch(9)), Ok(id));
    }

    #[test]
    fn a_receipt_of_another_start_or_shape_is_refused() {
        let cases = [
            ("8.1.2.3", AckError::StaleEpoch { receipt: 8, current: 9 }),
            ("", AckError::Malformed),
            ("9.1.2", AckError::Malformed),
            ("9.1.2.3.4", AckError::Malformed),
            ("9.1.x.3", AckError::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(HandOutId::parse(&Receipt::new(text), Epoch(9)), Err(error), "{text:?}");
        }
    }
}
