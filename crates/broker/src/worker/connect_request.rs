//! A CONNECT from the socket to the session, also from worker to worker.

use mqtt::Version;
use mqtt::codec::Connect;
use rustls::pki_types::CertificateDer;

use crate::client::ClientKey;

/// What a CONNECT asks for, owned.
pub(crate) struct ConnectRequest {
    pub(super) client: ClientKey,
    pub(super) username: Option<Box<str>>,
    pub(super) password: Option<Box<[u8]>>,
    /// Of its TLS connection, with those that it has shown with it.
    pub(super) certificate: Option<Box<[CertificateDer<'static>]>>,
    pub(super) clean_start: bool,
    /// As asked for, in seconds; `None`: 5.0 did not say, or it is a 3.1.1 session that is to last.
    pub(super) session_expiry_s: Option<u32>,
    pub(super) version: Version,
}

impl ConnectRequest {
    /// `certificate`: of its TLS connection, with the others of its chain.
    pub(super) fn of(connect: &Connect<'_>, certificate: Option<&[CertificateDer<'static>]>) -> Self {
        Self {
            client: ClientKey::new(connect.client_id),
            username: connect.username.map(Box::from),
            password: connect.password.map(Box::from),
            certificate: certificate.map(Box::from),
            clean_start: connect.clean_start,
            session_expiry_s: connect.properties.session_expiry_interval(),
            version: connect.version,
        }
    }
}
