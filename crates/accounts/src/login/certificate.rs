//! The login of a device by the certificate of its TLS connection.

use super::{Credential, Login, LoginError};
use crate::access::{Access, Identity};
use crate::certificate::{Certificate, CertificateError};
use catalog::Device;

/// What a CONNECT with a certificate claims: one for its client id, which nobody has revoked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CertificateClaim {
    certificate: Certificate,
    /// Group and instance exist, and there is no password that would say something else.
    known: bool,
}

impl CertificateClaim {
    pub(super) fn new(access: &Access, client_id: &str, der: &[u8], known: bool) -> Result<Self, CertificateError> {
        let certificate = Certificate::read(der)?;
        if certificate.client_id != client_id {
            return Err(CertificateError::ClientId);
        }
        access.check_certificate(certificate.id)?;
        Ok(Self { certificate, known })
    }

    /// Whether it was revoked is judged once more by the caller, who has the rules of then.
    pub(super) fn finish(self, device: Option<&Device>, is_over: impl Fn(u64) -> bool) -> Result<Login, LoginError> {
        let Certificate { id, client_id, expires_at_ms, .. } = &self.certificate;
        self.certificate.check_time(is_over)?;
        if !self.known {
            return Err(LoginError::Refused);
        }
        let device = device.filter(|device| device.client_id == *client_id).ok_or(CertificateError::Device)?;
        let identity = Identity::Device {
            client_id: client_id.clone(),
            user: device.user.clone(),
            group: device.group.clone(),
            publishes: None,
        };
        Ok(Login { identity, credential: Credential::Certificate { id: *id }, valid_until_ms: Some(*expires_at_ms) })
    }
}
