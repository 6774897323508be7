//! Which tokens are good by the rules of now, and what their holders may do.

use super::policy::first_level;
use super::{Access, P2pTopic};
use crate::token::{Token, TokenError, TokenHolder, TokenKey, TokenType};
use catalog::{Key, KeyKind, Right, Scope};

impl Access {
    /// The key that signs; `None`: this instance has no tokens.
    #[must_use]
    pub fn token_key(&self) -> Option<&TokenKey> {
        self.config.token_key.as_ref()
    }

    /// The name of the owner's key.
    #[must_use]
    pub fn owner_key(&self) -> &str {
        &self.config.owner_key
    }

    /// A token as a client shows it, if it is good but for its time, which [`end_of_token`](Self::end_of_token) says.
    ///
    /// # Errors
    /// It is void.
    pub fn token(&self, text: &str) -> Result<Token, TokenError> {
        let key = self.token_key().ok_or(TokenError::Forged)?;
        let token = key.verify(text)?;
        self.check_token(&token)?;
        Ok(token)
    }

    /// The end of a token by the rules of now: its own, or that of the key that applied for it.
    #[must_use]
    pub fn end_of_token(&self, token: &Token) -> u64 {
        let ends = self.applicant(token).and_then(|key| key.expires_at_ms);
        ends.map_or(token.expires_at_ms, |ends| ends.min(token.expires_at_ms))
    }

    /// Whether a token is good by the rules of now, but for its time.
    ///
    /// # Errors
    /// It was revoked, or the key that applied for it may no longer do so.
    pub fn check_token(&self, token: &Token) -> Result<(), TokenError> {
        if self.revoked.contains(&token.id) {
            return Err(TokenError::Revoked);
        }
        let owner_key = token.applicant.owner_key.as_deref();
        let of_owner = token.applicant.key_id.is_none() && owner_key == Some(&*self.config.owner_key);
        let may = |key: &Key| {
            let scopes = key.administers();
            scopes.allow(Scope::Topics) && (token.user.is_none() || scopes.allow(Scope::Devices))
        };
        if of_owner || self.applicant(token).is_some_and(may) { Ok(()) } else { Err(TokenError::Account) }
    }

    /// The key that applied for it, if it is still that key.
    fn applicant(&self, token: &Token) -> Option<&Key> {
        let applicant = &token.applicant;
        let key = self.any_key(applicant.key_id.as_deref()?)?;
        let is_of_instance = key.kind == KeyKind::Api || key.instance == self.instance();
        (is_of_instance && key.created_at_ms == applicant.made_ms).then_some(key)
    }

    /// A right that a token would give, and that no client has there; `None`: it may name the resource.
    #[must_use]
    pub fn closed_to_token(&self, token_type: TokenType, resource: &str) -> Option<Right> {
        let publishes = token_type.writes().then(|| P2pTopic::right_at(resource));
        let subscribes = token_type.reads().then_some(Right::Subscribe);
        publishes.into_iter().chain(subscribes).find(|right| self.is_closed(resource, *right))
    }

    /// Also to tokens that are older than the topic is closed.
    fn is_closed(&self, topic: &str, right: Right) -> bool {
        self.never_granted_to_devices(first_level(topic)).allow(right)
    }

    pub(super) fn holder_may_write(&self, holder: &TokenHolder, topic: &str) -> bool {
        let is_open = !self.is_closed(topic, P2pTopic::right_at(topic));
        is_open && self.good_tokens(holder).any(|token| token.token_type.writes() && token.names_topic(topic))
    }

    pub(super) fn holder_may_read(&self, holder: &TokenHolder, filter: &str) -> bool {
        let is_open = !self.is_closed(filter, Right::Subscribe);
        is_open && self.good_tokens(holder).any(|token| token.token_type.reads() && token.covers_filter(filter))
    }

    fn good_tokens<'a>(&'a self, holder: &'a TokenHolder) -> impl Iterator<Item = &'a Token> {
        holder.tokens().filter(|token| self.check_token(token).is_ok())
    }
}
