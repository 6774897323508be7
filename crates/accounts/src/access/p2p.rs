//! `<parent>/p2p/<clientId>[/more]`: to one client id, without a subscription.

use super::names::{ClientId, check_parent};
use catalog::Right;

/// Level 2 of a P2P topic; a reserved word.
pub(super) const P2P: &str = "p2p";

/// A P2P topic in its parts. Parent and client id are limited separately: 64 characters could not hold both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct P2pTopic<'a> {
    pub parent: &'a str,
    pub receiver: ClientId<'a>,
    /// What follows the client id, without its leading `/`.
    pub more: Option<&'a str>,
}

impl<'a> P2pTopic<'a> {
    /// `None`: no P2P topic, or one that names no possible receiver ([`is_p2p`](Self::is_p2p) tells them apart).
    pub fn parse(topic: &'a str) -> Option<Self> {
        let (parent, rest) = topic.split_once('/')?;
        let rest = rest.strip_prefix(P2P)?.strip_prefix('/')?;
        let (receiver, more) = match rest.split_once('/') {
            Some((receiver, more)) => (receiver, Some(more)),
            None => (rest, None),
        };
        check_parent(parent).ok()?;
        Some(Self { parent, receiver: ClientId::parse(receiver).ok()?, more })
    }

    /// The right to publish there: P2P is one of its own.
    pub fn right_at(topic: &str) -> Right {
        if Self::is_p2p(topic) { Right::P2p } else { Right::Publish }
    }

    /// Level 2 is the reserved word, whatever follows.
    pub fn is_p2p(topic: &str) -> bool {
        topic.split('/').nth(1) == Some(P2P)
    }
}
