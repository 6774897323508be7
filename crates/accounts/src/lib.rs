//! Accounts: users, devices, groups, keys and grants; who may log in and do what, and the API for them.
//!
//! What it is: [`login`] decides who a connection is, [`access`] what it may publish and subscribe, both without SQL
//! and without waiting, from a published snapshot of the catalog and a cache of devices. [`token`] signs and reads what
//! services hand to their users, [`jwt`] reads what other issuers have signed, [`certificate`] what a TLS handshake has verified. [`http`] is the way in for an application's users.
//!
//! What it is not: it knows nothing of MQTT, sessions or connections. A refusal is a value of its own ([`LoginError`],
//! [`PublishRefusal`], [`SubscribeRefusal`]); which code it has on a wire is the caller's matter. What the API needs of
//! the broker it asks through the traits [`Clients`] and [`Sessions`], which the broker implements; [`revocation`] tells it
//! what ends with a right. The whole program it sees through [`ServerView`].
//!
//! Contract:
//! - Default deny: what no rule allows is refused.
//! - Unknown and wrong give one answer after the same hashing; no secret is in an answer, a log line or a `Debug`.
//! - Every queue and map that the network feeds has a limit, in a constant beside it.
//!
//! [`LoginError`]: login::LoginError
//! [`PublishRefusal`]: access::PublishRefusal
//! [`SubscribeRefusal`]: access::SubscribeRefusal
//! [`Clients`]: clients::Clients
//! [`Sessions`]: revocation::Sessions
//! [`ServerView`]: server::ServerView

pub mod access;
pub mod certificate;
pub mod clients;
pub mod http;
pub mod jwt;
pub mod login;
pub mod meetings;
pub mod messages;
mod network;
pub mod queue_names;
mod recent;
pub mod revocation;
pub mod sealing;
pub mod server;
pub mod token;

pub use network::Network;
