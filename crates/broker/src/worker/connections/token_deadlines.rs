//! When tokens of connections that stand end, and when their clients are told so before.
//!
//! By the service's clock, which is set: these times stand in an order of their own, and are looked at a few times a second.
//! A connection has one place in it, for what comes next of all its tokens.

use accounts::access::Identity;
use accounts::token::{TokenError, TokenType};

use super::Connections;
use super::connection::Connected;
use crate::over::Over;
use crate::worker::post::ConnectionKey;

/// So long before its end a client is told of it.
const TOLD_AHEAD_MS: u64 = 5 * 60 * 1000;

/// What is to be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum TokenNews {
    EndsSoon { token_type: TokenType, ends_at_ms: u64 },
    Void { token_type: TokenType, error: TokenError },
}

/// What a connection has of it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::worker) struct TokenWatch {
    /// Its place in the order; 0: none.
    due_ms: u64,
    /// Tokens whose end was told, a bit for each type.
    told: u8,
}

const fn bit(token_type: TokenType) -> u8 {
    1 << token_type as u8
}

impl TokenWatch {
    fn next_of(self, (token_type, ends_at_ms): (TokenType, u64)) -> u64 {
        let is_told = self.told & bit(token_type) != 0;
        // 0 is no time: what is that long over is over at 1, too.
        (if is_told { ends_at_ms } else { ends_at_ms.saturating_sub(TOLD_AHEAD_MS) }).max(1)
    }

    fn next(self, connected: &Connected) -> u64 {
        let Identity::Tokens(holder) = &connected.identity else { return 0 };
        holder.ends().map(|end| self.next_of(end)).min().unwrap_or(0)
    }

    /// An end that is another one now was not told.
    pub(super) fn forget_told(&mut self, before: &Identity, after: &Identity) {
        let (Identity::Tokens(before), Identity::Tokens(after)) = (before, after) else { return };
        for end in after.ends().filter(|end| !before.ends().any(|known| known == *end)) {
            self.told &= !bit(end.0);
        }
    }
}

impl Connections {
    /// Watches the ends of the tokens that a connection has. `renewed`: one that has come anew.
    pub(in crate::worker) fn watch_tokens(&mut self, key: ConnectionKey, renewed: Option<TokenType>) {
        let Some(connected) = self.connected_mut(key) else { return };
        let told = connected.tokens.told & !renewed.map_or(0, bit);
        let watch = TokenWatch { told, ..connected.tokens };
        let due_ms = watch.next(connected);
        let before = std::mem::replace(&mut connected.tokens, TokenWatch { due_ms, told });
        self.token_deadlines.remove(&(before.due_ms, key));
        if due_ms > 0 {
            self.token_deadlines.insert((due_ms, key));
        }
    }

    /// The connection has ended.
    pub(super) fn forget_tokens(&mut self, key: ConnectionKey, watch: TokenWatch) {
        self.token_deadlines.remove(&(watch.due_ms, key));
    }

    /// What has become due, and for which connection; `None`: nothing.
    pub(in crate::worker) fn next_token_news(&mut self, over: Over) -> Option<(ConnectionKey, TokenNews)> {
        loop {
            let (due_ms, key) = *self.token_deadlines.first()?;
            if !over.is_over(due_ms) {
                return None;
            }
            self.token_deadlines.pop_first();
            let news = self.news_of(key, over);
            self.watch_tokens(key, None);
            if let Some(news) = news {
                return Some((key, news));
            }
        }
    }

    fn news_of(&mut self, key: ConnectionKey, over: Over) -> Option<TokenNews> {
        let connected = self.connected_mut(key)?;
        let Identity::Tokens(holder) = &connected.identity else { return None };
        let watch = connected.tokens;
        let (token_type, ends_at_ms) = holder.ends().find(|end| over.is_over(watch.next_of(*end)))?;
        if over.is_over(ends_at_ms) {
            return Some(TokenNews::Void { token_type, error: TokenError::Expired });
        }
        connected.tokens.told |= bit(token_type);
        Some(TokenNews::EndsSoon { token_type, ends_at_ms })
    }
}
