//! The holder of tokens: who a connection is that logged in by them.

use super::{Token, TokenError, TokenType};
use crate::access::ClientId;
use catalog::Device;
use std::sync::Arc;

/// A token that is not good for a client id, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HolderError {
    #[error(transparent)]
    Token(TokenError),
    #[error("the client id belongs to a user's device; apply for a token for it, or choose another one")]
    OwnedByUser,
}

/// What tokens let a client do. At most one of each type. A clone shares them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenHolder {
    pub client_id: String,
    /// Whose device it is, if it is one's.
    pub user: Option<String>,
    /// The id of that device's credential.
    login: Option<String>,
    pub instance: String,
    tokens: Vec<Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    token: Arc<Token>,
    /// By the rules that it was judged by last: its own end, or an earlier one.
    ends_at_ms: u64,
    bytes: usize,
}

impl From<Token> for Held {
    fn from(token: Token) -> Self {
        Self { ends_at_ms: token.expires_at_ms, bytes: token.bytes(), token: Arc::new(token) }
    }
}

impl TokenHolder {
    /// # Errors
    /// [`TokenError::Resource`]: a token is for another client id.
    pub(crate) fn new(client_id: ClientId<'_>, instance: &str, tokens: Vec<Token>) -> Result<Self, TokenError> {
        let client_id = client_id.as_str().to_owned();
        let tokens = tokens.into_iter().map(Held::from).collect();
        let holder = Self { client_id, user: None, login: None, instance: instance.to_owned(), tokens };
        if holder.tokens().all(|token| holder.is_named_by(token)) { Ok(holder) } else { Err(TokenError::Resource) }
    }

    fn is_named_by(&self, token: &Token) -> bool {
        token.client_id.as_ref().is_none_or(|named| *named == self.client_id)
    }

    /// The same, as the user whose device this is now; `None`: nobody's.
    ///
    /// # Errors
    /// A token was applied for when the client id was another's, or by a login of the device that has ended.
    pub(crate) fn of_device(self, device: Option<&Device>) -> Result<Self, HolderError> {
        let (user, login) = (device.map(|device| device.user.clone()), device.map(|device| device.key_id.clone()));
        let holder = Self { user, login, ..self };
        holder.tokens().try_for_each(|token| holder.check_device(token))?;
        Ok(holder)
    }

    fn check_device(&self, token: &Token) -> Result<(), HolderError> {
        if token.user.is_none() && self.user.is_some() {
            return Err(HolderError::OwnedByUser);
        }
        let is_of_it = token.user == self.user && token.login == self.login;
        if is_of_it { Ok(()) } else { Err(HolderError::Token(TokenError::Account)) }
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().map(|held| &*held.token)
    }

    /// Whether one of the tokens is for this client id and no other.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.tokens().any(|token| token.client_id.is_some())
    }

    /// Whether it acts by this login of a user's device.
    #[must_use]
    pub fn is_of_login(&self, key_id: &str) -> bool {
        self.login.as_deref() == Some(key_id)
    }

    /// When each of them ends.
    pub fn ends(&self) -> impl Iterator<Item = (TokenType, u64)> {
        self.tokens.iter().map(|held| (held.token.token_type, held.ends_at_ms))
    }

    /// The first of them to end, and when.
    #[must_use]
    pub fn first_to_end(&self) -> Option<(TokenType, u64)> {
        self.ends().min_by_key(|(_, ends_at_ms)| *ends_at_ms)
    }

    /// The same tokens, each of which ends when this says, but no later than by itself.
    #[must_use]
    pub fn ending_by(&self, end_of: impl Fn(&Token) -> u64) -> Self {
        let mut holder = self.clone();
        for held in &mut holder.tokens {
            held.ends_at_ms = held.token.expires_at_ms.min(end_of(&held.token));
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
        self.check_device(&token)?;
        self.tokens.retain(|known| known.token.token_type != token.token_type);
        self.tokens.push(token.into());
        Ok(())
    }

    /// In memory, with its tokens.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = [Some(&self.client_id), self.user.as_ref(), self.login.as_ref(), Some(&self.instance)];
        let names: usize = names.into_iter().flatten().map(String::len).sum();
        let tokens: usize = self.tokens.iter().map(|held| size_of::<Held>() + held.bytes).sum();
        size_of::<Self>() + names + tokens
    }
}
