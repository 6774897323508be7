//! Client certificates where tokens are asked about or voided.

use super::Api;
use super::tokens::TokenAnswer;
use crate::access::ClientId;
use crate::certificate::{Certificate, CertificateError};
use catalog::{By, Change, RevokedToken};
use problem::{Code, Problem};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// The device's own first, then what leads to the authority. `None`: the text is something else.
fn chain_of(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    text.contains(PEM).then(|| CertificateDer::pem_slice_iter(text.as_bytes()).map_while(Result::ok).collect())
}

fn read(chain: &[CertificateDer<'_>]) -> Result<Certificate, CertificateError> {
    Certificate::read(chain.first().ok_or(CertificateError::Malformed)?)
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
        self.state.access.load().check_certificate(certificate.id).map_err(|error| error.to_string())?;
        certificate.check_time(|at_ms| (self.state.is_over)(at_ms)).map_err(|error| error.to_string())?;
        self.verify(chain).map_err(|why| format!("the certificate is not believed: {why}"))?;
        let id = ClientId::parse(&certificate.client_id).map_err(|error| error.to_string())?;
        if !self.state.access.load().has_group(id.group()) {
            return Err(format!("the group {} of the client id does not exist; create it first", id.group()));
        }
        let device = self.state.catalog.device(&certificate.client_id).await;
        let device = device.map_err(|_| "the catalog did not answer; try again later".to_owned())?;
        device.map(|device| device.user).ok_or_else(|| CertificateError::Device.to_string())
    }

    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let access = self.state.access.load();
        let authority = access.client_authority().ok_or("the configuration has no client_certificates.ca")?;
        authority.verify(chain, UnixTime::now()).map_err(|error| error.to_string())
    }

    /// `None`: the text is no certificate. One whose time is over is void already, as is one that was revoked.
    pub(super) async fn void_certificate(self: &Arc<Self>, by: &By, text: &str) -> Option<Result<(), Problem>> {
        let chain = chain_of(text)?;
        let certificate = match read(&chain) {
            Ok(certificate) => certificate,
            Err(error) => return Some(Err(Problem::new(Code::InvalidToken, error.to_string()))),
        };
        let Certificate { id, expires_at_ms, .. } = certificate;
        let is_revoked = self.state.access.load().check_certificate(id).is_err();
        if is_revoked || (self.state.is_over)(expires_at_ms) {
            return Some(Ok(()));
        }
        if let Err(why) = self.verify(&chain) {
            return Some(Err(Problem::new(Code::InvalidToken, format!("the certificate is not believed: {why}"))));
        }
        let revoked = RevokedToken { id, key_id: None, expires_at_ms };
        let done = self.apply(by.clone(), Change::RevokeToken(revoked), None).await;
        let refused = |error| super::owner::Refusals::of("token", &id.to_string()).refuse(error);
        Some(done.map(drop).map_err(refused))
    }
}
