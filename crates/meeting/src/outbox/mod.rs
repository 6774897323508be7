//! The outbox: signals that a decision caused, from the catalog to the queue.

pub(crate) mod encode;
pub(crate) mod relay;
