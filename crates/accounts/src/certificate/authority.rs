//! Whose certificates let devices in, as the TLS library asks it; and the revocation lists that are in force, which change as
//! long as the process runs.

use super::revocation_list::{ListError, RevocationList};
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Certificates of one chain, without the configured authority.
pub const CHAIN_MAX: usize = 4;

/// Why an authority cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("there is no certificate in PEM in it")]
    Malformed,
    #[error("one of its certificates cannot be used: {0}")]
    Refused(String),
}

/// What there is to say of a list that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListState {
    pub issuer: String,
    pub revoked: usize,
    pub issued_at_ms: u64,
    /// When the next one is due.
    pub due_at_ms: Option<u64>,
}

/// The authorities of client certificates. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct ClientAuthority(Arc<Inner>);

struct Inner {
    roots: Arc<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
    hints: Vec<DistinguishedName>,
    is_required: bool,
    in_force: ArcSwap<InForce>,
}

struct InForce {
    verifier: Arc<dyn ClientCertVerifier>,
    lists: Vec<Arc<RevocationList>>,
    revoked: HashSet<Uuid>,
}

impl PartialEq for ClientAuthority {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientAuthority {}

impl fmt::Debug for ClientAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthority").field("certificates", &self.0.certificates.len()).finish_non_exhaustive()
    }
}

impl ClientAuthority {
    /// `bundle`: certificates in PEM; each is trusted by itself. `is_required`: who has no certificate is refused.
    ///
    /// # Errors
    /// The bundle cannot be used.
    pub fn new(bundle: &[u8], is_required: bool) -> Result<Self, AuthorityError> {
        let certificates = CertificateDer::pem_slice_iter(bundle).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| AuthorityError::Malformed)?;
        if certificates.is_empty() {
            return Err(AuthorityError::Malformed);
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| AuthorityError::Refused(error.to_string()))?;
        }
        let (hints, roots) = (roots.subjects(), Arc::new(roots));
        let in_force = in_force(&roots, is_required, Vec::new());
        let in_force = ArcSwap::from_pointee(in_force.map_err(|error| AuthorityError::Refused(error.to_string()))?);
        Ok(Self(Arc::new(Inner { roots, certificates, hints, is_required, in_force })))
    }

    /// Reads a list, which is not in force by that.
    ///
    /// # Errors
    /// No authority of these has signed it, or it cannot be read.
    pub fn read_list(&self, bytes: &[u8]) -> Result<Arc<RevocationList>, ListError> {
        RevocationList::read(bytes, &self.0.certificates).map(Arc::new)
    }

    /// Puts these lists in force instead of those before. With any, each issuer of a chain needs one. One that is past its time
    /// goes on to count.
    ///
    /// # Errors
    /// One is older than one that is in force, or the TLS library refuses it. Nothing has changed.
    pub fn put_lists(&self, lists: Vec<Arc<RevocationList>>) -> Result<(), ListError> {
        let before = self.0.in_force.load();
        if lists.iter().any(|list| before.lists.iter().any(|old| list.is_older_than(old))) {
            return Err(ListError::Older);
        }
        self.0.in_force.store(Arc::new(in_force(&self.0.roots, self.0.is_required, lists)?));
        Ok(())
    }

    /// Whether a list in force names the certificate with this id.
    #[must_use]
    pub fn is_revoked(&self, id: Uuid) -> bool {
        self.0.in_force.load().revoked.contains(&id)
    }

    /// Those in force.
    #[must_use]
    pub fn lists(&self) -> Vec<ListState> {
        let state = |list: &Arc<RevocationList>| ListState {
            issuer: list.issuer.clone(),
            revoked: list.len(),
            issued_at_ms: list.issued_at_ms,
            due_at_ms: list.due_at_ms,
        };
        self.0.in_force.load().lists.iter().map(state).collect()
    }

    /// Of the bundle.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0.certificates
    }

    /// As a handshake does it.
    ///
    /// # Errors
    /// The chain is none of these authorities', not for clients, revoked, too long, or out of its time.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (own, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.0.verify_client_cert(own, intermediates, now).map(drop)
    }

    /// For the configuration of a TLS listener.
    #[must_use]
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0) as Arc<dyn ClientCertVerifier>
    }
}

fn in_force(
    roots: &Arc<RootCertStore>,
    is_required: bool,
    lists: Vec<Arc<RevocationList>>,
) -> Result<InForce, ListError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
        .with_crls(lists.iter().map(|list| list.der.clone()));
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| ListError::Refused(error.to_string()))?;
    let revoked = lists.iter().flat_map(|list| list.revoked.iter().copied()).collect();
    Ok(InForce { verifier, lists, revoked })
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthority").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Inner {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() >= CHAIN_MAX {
            return Err(CertificateError::UnknownIssuer.into());
        }
        self.in_force.load().verifier.verify_client_cert(own, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.in_force.load().verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.in_force.load().verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.in_force.load().verifier.supported_verify_schemes()
    }
}
