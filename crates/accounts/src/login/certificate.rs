//! The login of a device by the certificate of its TLS connection.

use super::{Credential, Login, LoginError};
use crate::access::{Access, Identity};
use crate::certificate::{Certificate, CertificateError, Path};
use catalog::Device;
use rustls::pki_types::CertificateDer;

/// What a CONNECT with a certificate claims: one for its client id, which nobody has revoked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CertificateClaim {
    client_id: String,
    path: Path,
    /// Group and instance exist, and there is no password that would say something else.
    known: bool,
}

impl CertificateClaim {
    pub(super) fn new(
        access: &Access,
        client_id: &str,
        chain: &[CertificateDer<'_>],
        known: bool,
    ) -> Result<Self, CertificateError> {
        let certificate = Certificate::read(chain.first().ok_or(CertificateError::Missing)?)?;
        if certificate.client_id != client_id {
            return Err(CertificateError::ClientId);
        }
        let path = access.client_authority().ok_or(CertificateError::Missing)?.path(chain)?;
        access.check_certificates(&path.ids)?;
        Ok(Self { client_id: certificate.client_id, path, known })
    }

    /// Whether it was revoked is judged once more by the caller, who has the rules of then.
    pub(super) fn finish(self, device: Option<&Device>, is_over: impl Fn(u64) -> bool) -> Result<Login, LoginError> {
        let Self { client_id, path, known } = self;
        path.check_time(is_over)?;
        if !known {
            return Err(LoginError::Refused);
        }
        let device = device.filter(|device| device.client_id == client_id).ok_or(CertificateError::Device)?;
        let identity =
            Identity::Device { client_id, user: device.user.clone(), group: device.group.clone(), publishes: None };
        let credential = Credential::Certificate { ids: path.ids };
        Ok(Login { identity, credential, valid_until_ms: Some(path.ends_at_ms) })
    }
}
