//! The byte stream below MQTT: TCP, with TLS on `mqtts`.

use crate::options::Endpoints;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// TCP and TLS together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Transport {
    pub(crate) stream: Box<dyn Stream>,
    /// Protocol version.
    pub(crate) tls: Option<String>,
}

/// Why the given authorities or end points cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the authority (CA) is no PEM certificate: {0}; give the server's tls/ca.pem")]
    Ca(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the credentials name no MQTT end point (mqtts or mqtt)")]
    NoEndpoint,
    #[error("{0} is no MQTT end point; it looks like mqtts://host:8883")]
    Endpoint(String),
}

/// One TLS configuration for signalling and the join endpoint.
pub(crate) fn tls_config(ca: Option<&[u8]>) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let Some(pem) = ca else { return Ok(builder.with_platform_verifier()?.with_no_client_auth()) };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| SetupError::Ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| SetupError::Ca(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(SetupError::Ca("it holds no certificate".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    host: String,
    port: u16,
    tls: bool,
}

impl Endpoint {
    /// The best one: with TLS if it is offered.
    pub(crate) fn choose(endpoints: &Endpoints) -> Result<Self, SetupError> {
        let url = endpoints.mqtts.as_ref().or(endpoints.mqtt.as_ref()).ok_or(SetupError::NoEndpoint)?;
        Self::parse(url).ok_or_else(|| SetupError::Endpoint(url.clone()))
    }

    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "mqtts" => true,
            "mqtt" => false,
            _ => return None,
        };
        let authority = rest.trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if tls { 8883 } else { 1883 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then(|| Self { url: url.to_owned(), host, port, tls })
    }

    pub(crate) async fn open(self, config: Arc<ClientConfig>) -> io::Result<Transport> {
        let opening = self.open_patiently(config);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        tokio::time::timeout(OPEN_TIMEOUT, opening).await.map_err(late)?
    }

    async fn open_patiently(self, config: Arc<ClientConfig>) -> io::Result<Transport> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        if !self.tls {
            return Ok(Transport { stream: Box::new(tcp), tls: None });
        }
        let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        let version = stream.get_ref().1.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
        Ok(Transport { stream: Box::new(stream), tls: version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_points_are_checked_and_tls_is_preferred() {
        let read = |url: &str| Endpoint::parse(url).map(|e| (e.host, e.port, e.tls));
        let table = [
            ("mqtts://localhost:9000", Some(("localhost".to_owned(), 9000, true))),
            ("mqtt://192.0.2.1", Some(("192.0.2.1".to_owned(), 1883, false))),
            ("mqtts://[::1]:8883/", Some(("::1".to_owned(), 8883, true))),
            ("mqtts://[::1]", Some(("::1".to_owned(), 8883, true))),
            ("https://localhost", None),
            ("mqtt://", None),
            ("mqtt://host:port", None),
            ("localhost:1883", None),
        ];
        for (url, expected) in table {
            assert_eq!(read(url), expected, "{url}");
        }
        let both = Endpoints { mqtts: Some("mqtts://a:1".into()), mqtt: Some("mqtt://a:2".into()) };
        assert!(Endpoint::choose(&both).is_ok_and(|chosen| chosen.tls));
        assert!(matches!(Endpoint::choose(&Endpoints::default()), Err(SetupError::NoEndpoint)));
    }

    #[test]
    fn an_authority_that_is_none_is_named() {
        for pem in [&b"no certificate"[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(tls_config(Some(pem)), Err(SetupError::Ca(_))));
        }
    }
}
