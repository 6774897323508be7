//! Join tokens: what a terminal sends to the join endpoint.

use crate::config::Config;
use crate::ids;
use crate::machine::Ticket;
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use signalling::{ClientId, JoinClaims, JoinParameters};

/// Signs join tokens: JWT (RFC 7519) with EdDSA (RFC 8037), the key named by `kid`.
#[derive(Clone)]
pub struct JoinSigner {
    issuer: String,
    header: Header,
    key: EncodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the join key is no Ed25519 private key in PEM (PKCS#8): make a new one")]
pub struct KeyError;

impl JoinSigner {
    /// `issuer`: what the RTC server expects as `iss`, `kid`: the name under which it holds the public key.
    ///
    /// # Errors
    /// [`KeyError`] if the text is no PEM `PRIVATE KEY` of Ed25519, or cannot sign.
    pub fn from_pem(issuer: impl Into<String>, kid: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| KeyError)?;
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &"trial", &key).map_err(|_| KeyError)?;
        Ok(Self { issuer: issuer.into(), header, key })
    }

    /// Everything that the ticket's client needs to join at one of the end points.
    pub(crate) fn parameters(
        &self,
        ticket: &Ticket,
        config: &Config,
        endpoints: Vec<String>,
        now_ms: u64,
    ) -> JoinParameters {
        JoinParameters {
            endpoints,
            app: config.app.clone(),
            token: self.token(ticket, now_ms, config.rules.token_ms),
            turn: config.turn.clone(),
            ..ticket.blank()
        }
    }

    fn token(&self, ticket: &Ticket, now_ms: u64, life_ms: u64) -> String {
        let claims = JoinClaims {
            iss: self.issuer.clone(),
            aud: JoinClaims::AUDIENCE.to_owned(),
            jti: ids::new_id().to_string(),
            iat: now_ms / 1_000,
            exp: now_ms.saturating_add(life_ms) / 1_000,
            channel: ticket.meeting.into(),
            participation: ticket.participation,
            user: ticket.user.clone(),
            client: alias(&ticket.client),
            rev: ticket.rev,
        };
        encode(&self.header, &claims, &self.key).expect("the key has signed before, and claims are plain JSON")
    }
}

impl std::fmt::Debug for JoinSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinSigner")
            .field("issuer", &self.issuer)
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

/// A stable name of the client that does not reveal its client id: for tokens, and for logs.
pub fn alias(client: &ClientId) -> String {
    digest(&SHA256, client.as_str().as_bytes()).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
