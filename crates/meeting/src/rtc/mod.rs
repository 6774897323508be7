//! The RTC server as the service rules it: the seam, what each channel should be, and what is reported of it.

pub(crate) mod apply;
pub(crate) mod channels;
pub(crate) mod events;
pub(crate) mod reconcile;
mod reports;
