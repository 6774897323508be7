//! Client certificates where tokens are asked about or voided.

use super::Api;
use super::tokens::TokenAnswer;
use crate::access::ClientId;
use crate::certificate::{Certificate, CertificateError, ClientAuthority};
use catalog::{By, Change, RevokedToken};
use problem::{Code, Problem};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt::Display;
use std::sync::Arc;

const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// The device's own first, then what leads to the authority. `None`: the text is something else.
fn chain_of(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    text.contains(PEM).then(|| CertificateDer::pem_slice_iter(text.as_bytes()).map_while(Result::ok).collect())
}

fn read(chain: &[CertificateDer<'_>]) -> Result<Certificate, CertificateError> {
    Certificate::read(chain.first().ok_or(CertificateError::Malformed)?)
}

fn not_believed(why: impl Display) -> String {
    format!("the certificate is not believed: {why}")
}

impl Api {
    /// What there is to say of a certificate. `None`: the text is none.
    pub(super) async fn describe_certificate(&self, text: &str) -> Option<TokenAnswer> {
        let chain = chain_of(text)?;
        let certificate = match read(&chain) {
            Ok(certificate) => certificate,
            Err(error) => return Some(TokenAnswer { why: Some(error.to_string()), ..TokenAnswer::default() }),
        };
        let (user, why) = match self.user_of(&chain, &certificate).await {
            Ok(user) => (Some(user), None),
            Err(why) => (None, Some(why)),
        };
        Some(TokenAnswer {
            valid: why.is_none(),
            why,
            id: Some(certificate.id),
            expires_at_ms: Some(certificate.expires_at_ms),
            client_id: Some(certificate.client_id),
            user,
            ..TokenAnswer::default()
        })
    }

    /// As a handshake and a login find it.
    async fn user_of(&self, chain: &[CertificateDer<'_>], certificate: &Certificate) -> Result<String, String> {
        let authority = self.authority()?;
        let path = authority.path(chain).map_err(|error| error.to_string())?;
        self.state.access.load().check_certificates(&path.ids).map_err(|error| error.to_string())?;
        path.check_time(|at_ms| (self.state.is_over)(at_ms)).map_err(|error| error.to_string())?;
        authority.verify(chain, UnixTime::now()).map_err(not_believed)?;
        let id = ClientId::parse(&certificate.client_id).map_err(|error| error.to_string())?;
        if !self.state.access.load().has_group(id.group()) {
            return Err(format!("the group {} of the client id does not exist; create it first", id.group()));
        }
        let device = self.state.catalog.device(&certificate.client_id).await;
        let device = device.map_err(|_| "the catalog did not answer; try again later".to_owned())?;
        device.map(|device| device.user).ok_or_else(|| CertificateError::Device.to_string())
    }

    fn authority(&self) -> Result<ClientAuthority, String> {
        let authority = self.state.access.load().client_authority().cloned();
        authority.ok_or_else(|| not_believed("the configuration has no client_certificates.ca"))
    }

    /// `None`: the text is no certificate. One whose time is over is void already, as is one that was revoked here. A list that
    /// names it may let it in again, and it, or one above it, may be valid later: it can be voided all the same.
    pub(super) async fn void_certificate(self: &Arc<Self>, by: &By, text: &str) -> Option<Result<(), Problem>> {
        let chain = chain_of(text)?;
        let certificate = match read(&chain) {
            Ok(certificate) => certificate,
            Err(error) => return Some(Err(Problem::new(Code::InvalidToken, error.to_string()))),
        };
        let Certificate { id, expires_at_ms, .. } = certificate;
        if self.state.access.load().is_revoked(id) || (self.state.is_over)(expires_at_ms) {
            return Some(Ok(()));
        }
        let believed = self.authority().and_then(|one| one.verify_for_any_time(&chain).map_err(not_believed));
        if let Err(why) = believed {
            return Some(Err(Problem::new(Code::InvalidToken, why)));
        }
        let revoked = RevokedToken { id, key_id: None, expires_at_ms };
        let done = self.apply(by.clone(), Change::RevokeToken(revoked), None).await;
        let refused = |error| super::owner::Refusals::of("token", &id.to_string()).refuse(error);
        Some(done.map(drop).map_err(refused))
    }
}
