//! The holder of tokens: who a connection is that logged in by them.

use super::{Token, TokenError, TokenType};
use crate::access::ClientId;

/// A token that is not good for a client id, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HolderError {
    #[error(transparent)]
    Token(TokenError),
    #[error("the client id belongs to a user's device; apply for a token for it, or choose another one")]
    OwnedByUser,
}

/// What tokens let a client do. At most one of each type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenHolder {
    pub client_id: String,
    /// Whose device it is, if it is one's.
    pub user: Option<String>,
    pub instance: String,
    tokens: Vec<Token>,
}

impl TokenHolder {
    /// # Errors
    /// [`TokenError::Resource`]: a token is for another client id.
    pub(crate) fn new(client_id: ClientId<'_>, instance: &str, tokens: Vec<Token>) -> Result<Self, TokenError> {
        let client_id = client_id.as_str().to_owned();
        let holder = Self { client_id, user: None, instance: instance.to_owned(), tokens };
        if holder.tokens.iter().all(|token| holder.is_named_by(token)) { Ok(holder) } else { Err(TokenError::Resource) }
    }

    fn is_named_by(&self, token: &Token) -> bool {
        token.client_id.as_ref().is_none_or(|named| *named == self.client_id)
    }

    /// The same, as the user whose device this is now; `None`: nobody's.
    ///
    /// # Errors
    /// A token was applied for when the client id was another's.
    pub(crate) fn of_user(self, user: Option<&str>) -> Result<Self, HolderError> {
        let holder = Self { user: user.map(str::to_owned), ..self };
        holder.tokens.iter().try_for_each(|token| holder.check_user(token))?;
        Ok(holder)
    }

    fn check_user(&self, token: &Token) -> Result<(), HolderError> {
        match (&token.user, &self.user) {
            (None, Some(_)) => Err(HolderError::OwnedByUser),
            (named, user) if named == user => Ok(()),
            _ => Err(HolderError::Token(TokenError::Account)),
        }
    }

    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The first of them to end, and when.
    #[must_use]
    pub fn first_to_end(&self) -> Option<(TokenType, u64)> {
        let ends = self.tokens.iter().map(|token| (token.token_type, token.expires_at_ms));
        ends.min_by_key(|(_, expires_at_ms)| *expires_at_ms)
    }

    /// The same tokens, which end no later than this says of each.
    #[must_use]
    pub fn ending_by(&self, end_of: impl Fn(&Token) -> u64) -> Self {
        let mut holder = self.clone();
        for token in &mut holder.tokens {
            token.expires_at_ms = token.expires_at_ms.min(end_of(token));
        }
        holder
    }

    /// Takes a token in place of the one of its type.
    ///
    /// # Errors
    /// It is not good for this client id; all is as it was.
    pub fn replace(&mut self, token: Token) -> Result<(), HolderError> {
        if !self.is_named_by(&token) {
            return Err(HolderError::Token(TokenError::Resource));
        }
        self.check_user(&token)?;
        self.tokens.retain(|known| known.token_type != token.token_type);
        self.tokens.push(token);
        Ok(())
    }
}
