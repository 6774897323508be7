//! Tokens of connections that stand: one takes the place of another, is void, or soon will be.
//!
//! The topics are those of the reference product. No subscription is needed or possible; what the broker says is of QoS 0.
//!
//! | topic | from | payload |
//! |---|---|---|
//! | `$SYS/uploadToken` | client | `{"token":"…","type":"RW"}`; `Token` is read too |
//! | `$SYS/tokenExpireNotice` | broker | `{"expireTime":<ms>,"type":"RW"}`, once, some minutes before |
//! | `$SYS/tokenInvalidNotice` | broker | `{"code":2,"type":"RW"}`, and the connection ends |

use accounts::access::Identity;
use accounts::token::{HolderError, TokenError, TokenHolder, TokenType};
use mqtt::codec::{PropertiesBuf, Publish};
use mqtt::{QoS, ReasonCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Worker;
use super::connections::{Connected, TokenNews};
use super::post::{ConnectionKey, Outcome, ReplyTarget};
use crate::message::{Message, NEVER_MS};

pub(super) const UPLOAD: &str = "$SYS/uploadToken";
const EXPIRE_NOTICE: &str = "$SYS/tokenExpireNotice";
const INVALID_NOTICE: &str = "$SYS/tokenInvalidNotice";

/// Tokens of which one turn says something; the others' turn is the next one.
const NEWS_PER_TURN: usize = 256;
/// What the person behind a connection reads whose token is void.
const VOID: &str = "a token of this connection is not valid any more: apply for a new one";

#[derive(Deserialize)]
struct Upload {
    #[serde(alias = "Token")]
    token: String,
    #[serde(rename = "type")]
    token_type: TokenType,
}

impl Worker {
    /// Another token for a connection that was let in by tokens. It is in force when its PUBLISH is acknowledged; one that is
    /// void ends the connection.
    pub(super) fn take_upload(&mut self, key: ConnectionKey, publish: &Publish<'_>, target: ReplyTarget) {
        let Some(Connected { client, identity: Identity::Tokens(holder), .. }) = self.connections.connected(key) else {
            return;
        };
        let client = *client;
        let (token_type, renewed) = self.renewed(holder, publish.payload);
        let renewed = match renewed {
            Ok(renewed) => renewed,
            Err(error) => return self.void_token(key, token_type, error),
        };
        let identity = Identity::Tokens(Box::new(renewed));
        let access = self.shared.access.load();
        let judged =
            self.clients.judge_subscriptions(client, &|filter| access.may_subscribe(&identity, filter).is_ok());
        if judged.is_err() {
            return self.close(key, Some(ReasonCode::QUOTA_EXCEEDED));
        }
        self.connections.change_identity(key, identity);
        self.connections.watch_tokens(key, Some(token_type));
        self.settle(target, Outcome::Done(ReasonCode::SUCCESS));
    }

    /// The holder with the token that was sent; and of what type that is.
    fn renewed(&self, holder: &TokenHolder, payload: &[u8]) -> (TokenType, Result<TokenHolder, TokenError>) {
        let Ok(Upload { token, token_type }) = serde_json::from_slice(payload) else {
            return (type_of(holder), Err(TokenError::Forged));
        };
        let access = self.shared.access.load();
        let token = access.token(&token).and_then(|token| match token {
            token if token.token_type != token_type => Err(TokenError::Type),
            token if self.now.over().is_over(access.end_of_token(&token)) => Err(TokenError::Expired),
            token => Ok(token),
        });
        let mut renewed = holder.clone();
        let replaced = token.and_then(|token| {
            renewed.replace(token).map_err(|error| match error {
                HolderError::Token(error) => error,
                HolderError::OwnedByUser => TokenError::Account,
            })
        });
        (token_type, replaced.map(|()| renewed.ending_by(|token| access.end_of_token(token))))
    }

    /// Tells a client that one of its tokens is void, and ends its connection.
    pub(super) fn void_token(&mut self, key: ConnectionKey, token_type: TokenType, error: TokenError) {
        self.tell(key, INVALID_NOTICE, &json!({ "code": error.code(), "type": token_type }));
        self.close_with_words(key, ReasonCode::NOT_AUTHORIZED, VOID);
    }

    /// Ends that are near or have come: looked for a few times a second, until all that are found are told.
    pub(super) fn tell_of_tokens(&mut self) {
        self.has_token_news = false;
        for _ in 0..NEWS_PER_TURN {
            let Some((key, news)) = self.connections.next_token_news(self.now.over()) else { return };
            match news {
                TokenNews::EndsSoon { token_type, ends_at_ms } => {
                    self.tell(key, EXPIRE_NOTICE, &json!({ "expireTime": ends_at_ms, "type": token_type }));
                }
                TokenNews::Void { .. } if self.is_prolonged(key) => {}
                TokenNews::Void { token_type, error } => self.void_token(key, token_type, error),
            }
        }
        self.has_token_news = true;
    }

    /// Whether the key of a token that was to end by now was given more time, which the worker was not told.
    fn is_prolonged(&mut self, key: ConnectionKey) -> bool {
        let (access, over) = (self.shared.access.load(), self.now.over());
        let Some(Identity::Tokens(holder)) = self.connections.identity_of(key) else { return false };
        let holder = holder.ending_by(|token| access.end_of_token(token));
        if holder.first_to_end().is_none_or(|(_, ends_at_ms)| over.is_over(ends_at_ms)) {
            return false;
        }
        self.connections.change_identity(key, Identity::Tokens(Box::new(holder)));
        self.connections.watch_tokens(key, None);
        true
    }

    fn tell(&mut self, key: ConnectionKey, topic: &str, said: &Value) {
        let message = Message {
            topic: topic.into(),
            properties: PropertiesBuf::new().into_bytes().into(),
            payload: said.to_string().into_bytes().into(),
            qos: QoS::AtMostOnce,
            arrived_ms: self.now.ms,
            expires_at_ms: NEVER_MS,
            collapse: None,
        };
        self.connections.send_at_most_once(key, &message, &[], self.now);
    }

    /// Rules have changed: ends the connection if they void one of its tokens. `false`: it has none.
    pub(super) fn judge_tokens(&mut self, key: ConnectionKey) -> bool {
        let access = self.shared.access.load();
        let Some(Identity::Tokens(holder)) = self.connections.identity_of(key) else { return false };
        let is_void = |token: &accounts::token::Token| Some((token.token_type, access.check_token(token).err()?));
        let void = holder.tokens().find_map(is_void);
        if let Some((token_type, error)) = void {
            self.end_uncovered(key);
            self.void_token(key, token_type, error);
            return true;
        }
        // They end with their key, whose time may have been shortened.
        let holder = holder.ending_by(|token| access.end_of_token(token));
        self.connections.change_identity(key, Identity::Tokens(Box::new(holder)));
        self.connections.watch_tokens(key, None);
        true
    }

    /// Ends the subscriptions that no good token of a connection covers: its session may outlive it, and would collect for the
    /// next one what nobody has a right to. A full log leaves them to be judged when the session is resumed.
    fn end_uncovered(&mut self, key: ConnectionKey) {
        let Some(Connected { client, identity, .. }) = self.connections.let_in(key) else { return };
        let (client, access) = (*client, self.shared.access.load());
        let may = |filter: &str| access.may_subscribe(identity, filter).is_ok();
        if let Err(error) = self.clients.judge_subscriptions(client, &may) {
            tracing::debug!(%error, "subscriptions of a void token have not ended yet");
        }
    }
}

fn type_of(holder: &TokenHolder) -> TokenType {
    holder.tokens().next().map_or(TokenType::ReadWrite, |token| token.token_type)
}
