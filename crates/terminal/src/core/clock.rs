//! The service's clock, as far as this terminal knows it. All deadlines in signals are by that clock.

/// Local time plus an offset that is unknown until the first state answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    offset_ms: Option<i64>,
}

impl Clock {
    pub(crate) fn learn(&mut self, service_ms: u64, now_ms: u64) {
        self.offset_ms = Some(service_ms.wrapping_sub(now_ms).cast_signed());
    }

    /// The best guess; the local clock where nothing is known.
    pub(crate) fn service_ms(self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.offset_ms.unwrap_or(0))
    }

    /// `None` while a deadline cannot be judged.
    pub(crate) fn known_service_ms(self, now_ms: u64) -> Option<u64> {
        self.offset_ms.map(|offset| now_ms.saturating_add_signed(offset))
    }

    pub(crate) fn local_ms(self, service_ms: u64) -> u64 {
        service_ms.saturating_add_signed(self.offset_ms.unwrap_or(0).saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_in_either_direction_goes_both_ways() {
        for (service, local) in [(5_000, 1_000), (1_000, 5_000), (7, 7)] {
            let mut clock = Clock::default();
            assert_eq!(clock.known_service_ms(local), None);
            clock.learn(service, local);
            assert_eq!(clock.known_service_ms(local + 10), Some(service + 10));
            assert_eq!(clock.local_ms(service + 10), local + 10);
        }
    }
}
