//! The service's side of the RTC server: the seam, the puts that make each channel what it should be, its events.

pub(crate) mod apply;
pub(crate) mod channels;
pub(crate) mod events;
pub(crate) mod reconcile;
mod reports;
