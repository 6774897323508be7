//! Rates and fairness without I/O: how often one source may do something, and whose turn is next.
//!
//! - [`TokenBucket`] holds one source to a [`Rate`].
//! - [`FairQueue`] is a bounded waiting room in which each source has its turn.
//!
//! What it is not: it keeps no map of sources, answers nobody, and reads no clock. Time is a parameter: `now` is how
//! long ago a moment was that the caller chooses once and keeps, and never goes back.
//!
//! Contract: every number that a flood could raise has a named limit ([`Rate`], [`QueueLimits`]), and what happens at
//! the limit is said at the method that reaches it.

mod fair_queue;
mod token_bucket;

pub use fair_queue::{FairQueue, QueueLimits};
pub use token_bucket::{Rate, TokenBucket};
