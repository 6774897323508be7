//! Join tokens for the participations of a service's own channels.

use super::NAME_BYTES_MAX;
use crate::keys::JoinKey;
use anyhow::{Context, Result};
use axum::http::StatusCode;
use clock::Clock;
use problem::{Code, Problem};
use rtc::token::SigningKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use signalling::topics::INSTANCE;
use signalling::{ChannelId, JoinClaims, ParticipationId, UserName};
use uuid::Uuid;

const VALID_S: u64 = 600;
const VALID_S_MAX: u64 = 3_600;

/// Who is to be let in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// As in the wish for the channel.
    participation: ParticipationId,
    /// As in the wish: 1 to 128 bytes.
    user: UserName,
    /// As in the wish: 1 to 128 bytes. A join replaces the same client's older participation.
    client: String,
    /// The revision from which on the wish has this participation: before it is put, a join waits for it. 0 without it.
    #[serde(default)]
    rev: u64,
    /// How long it opens the channel, 1 to 3600; 600 without it. A stay goes on for longer.
    valid_s: Option<u64>,
}

/// What a terminal needs to join, besides the channel and its participation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JoinGrant {
    app: String,
    /// Base addresses of join endpoints, the best first.
    endpoints: Vec<String>,
    token: String,
    expires_at_ms: u64,
}

/// Signs in the name of the instance's app.
#[derive(Clone)]
pub(crate) struct TokenSigner {
    key: SigningKey,
    endpoints: Vec<String>,
    clock: Clock,
}

impl TokenSigner {
    pub(crate) fn new(key: &JoinKey, endpoints: Vec<String>, clock: Clock) -> Result<Self> {
        let key = SigningKey::from_pem(&key.private_pem).context("keys/channels.pem cannot be used")?;
        Ok(Self { key, endpoints, clock })
    }

    /// # Errors
    /// The answer to the request.
    pub(super) fn sign(&self, channel: ChannelId, asked: TokenRequest) -> Result<JoinGrant, Problem> {
        let TokenRequest { participation, user, client, rev, valid_s } = asked;
        let valid_s = valid_s.unwrap_or(VALID_S);
        if !(1..=VALID_S_MAX).contains(&valid_s) {
            return Err(invalid(format!("valid_s must be 1 to {VALID_S_MAX}")));
        }
        let is_name = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
        if !is_name(user.as_str()) || !is_name(&client) {
            return Err(invalid(format!("user and client must have 1 to {NAME_BYTES_MAX} bytes")));
        }
        let iat = self.clock.now_ms() / 1_000;
        let claims = JoinClaims {
            iss: INSTANCE.to_owned(),
            aud: JoinClaims::AUDIENCE.to_owned(),
            jti: Uuid::now_v7().to_string(),
            iat,
            exp: iat + valid_s,
            channel,
            participation,
            user,
            client,
            rev,
        };
        let unsigned = |_| Problem::new(Code::Unavailable, "the token could not be signed; try again");
        let token = self.key.sign(&claims).map_err(unsigned)?;
        Ok(JoinGrant {
            app: INSTANCE.to_owned(),
            endpoints: self.endpoints.clone(),
            token,
            expires_at_ms: claims.exp * 1_000,
        })
    }
}

fn invalid(words: String) -> Problem {
    Problem::blank(StatusCode::BAD_REQUEST, "invalid_token_request", words)
}
