//! The durable message queue on the commit log.
