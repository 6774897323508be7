//! Whose certificates let devices in, as the TLS library asks it; and the revocation lists that are in force, which change as
//! long as the process runs.

use super::path::{Authority, Bundle, Path};
use super::revocation_list::{ListError, RevocationList};
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, iter};
use uuid::Uuid;

/// Certificates of one chain, without the configured authority.
pub const CHAIN_MAX: usize = 4;
/// All of them together; a usual one has a kilobyte or two.
pub const CHAIN_BYTES_MAX: usize = 16 << 10;

/// Why an authority cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("there is no certificate in PEM in it")]
    Malformed,
    #[error("{0} is no authority (CA:TRUE): leave it out, or have it issued as one")]
    NoAuthority(String),
    #[error("no certificate of it is the first of its authorities: add the one that has signed the others")]
    NoAnchor,
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
    bundle: Bundle,
    certificates: Vec<CertificateDer<'static>>,
    hints: Vec<DistinguishedName>,
    is_required: bool,
    algorithms: WebPkiSupportedAlgorithms,
    /// Whatever lists say.
    any: Chains,
    in_force: ArcSwap<InForce>,
}

/// What verifies chains, but for revocation: the lists' signatures were verified when they were read, once.
struct Chains {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Authorities of the bundle that others of it have signed.
    intermediates: Vec<CertificateDer<'static>>,
}

struct InForce {
    /// `None`: each anchor is revoked.
    chains: Option<Chains>,
    lists: Vec<Arc<RevocationList>>,
    revoked: HashSet<Uuid>,
    /// Of the authorities that have a list.
    signers: HashSet<Box<[u8]>>,
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
    /// `bundle`: certificates in PEM; each is trusted by itself that no other one of them has signed. `is_required`: who has no
    /// certificate is refused.
    ///
    /// # Errors
    /// The bundle cannot be used.
    pub fn new(bundle: &[u8], is_required: bool) -> Result<Self, AuthorityError> {
        let bundle = Bundle::read(bundle)?;
        let mut all = RootCertStore::empty();
        for one in bundle.iter() {
            all.add(one.der.clone()).map_err(|error| AuthorityError::Refused(error.to_string()))?;
        }
        let any = Chains::of(bundle.iter()).ok_or(AuthorityError::NoAnchor)?;
        let in_force = ArcSwap::from_pointee(InForce::new(&bundle, Vec::new()));
        Ok(Self(Arc::new(Inner {
            certificates: bundle.iter().map(|one| one.der.clone()).collect(),
            hints: all.subjects(),
            is_required,
            algorithms: rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms,
            bundle,
            any,
            in_force,
        })))
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
    /// One is older than the one of its authority that is in force. Nothing has changed.
    pub fn put_lists(&self, lists: Vec<Arc<RevocationList>>) -> Result<(), ListError> {
        let before = self.0.in_force.load();
        if lists.iter().any(|list| before.lists.iter().any(|old| list.is_older_than(old))) {
            return Err(ListError::Older);
        }
        self.0.in_force.store(Arc::new(InForce::new(&self.0.bundle, lists)));
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

    /// The names of those whose certificates are all refused, because others have a list and they have none.
    #[must_use]
    pub fn without_list(&self) -> Vec<String> {
        let in_force = self.0.in_force.load();
        let lacks = |one: &&Authority| !in_force.lists.is_empty() && !in_force.signers.contains(&one.key);
        self.0.bundle.iter().filter(lacks).map(|one| one.name.clone()).collect()
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
        self.0.verify(chain, now).map(drop)
    }

    /// The same, but for time and revocation: whether it was one of these authorities', ever.
    ///
    /// # Errors
    /// It never was.
    pub fn verify_for_any_time(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let path = self.path(chain).map_err(|_| CertificateError::BadEncoding)?;
        let time = UnixTime::since_unix_epoch(Duration::from_millis(path.begins_at_ms));
        self.0.any.verify(chain, time).map(drop)
    }

    /// # Errors
    /// One of it cannot be read, or there are too many.
    pub fn path(&self, chain: &[CertificateDer<'_>]) -> Result<Path, super::CertificateError> {
        if chain.is_empty() || chain.len() > CHAIN_MAX {
            return Err(super::CertificateError::Malformed);
        }
        self.0.bundle.path(chain)
    }

    /// For the configuration of a TLS listener.
    #[must_use]
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0) as Arc<dyn ClientCertVerifier>
    }
}

impl Chains {
    /// `None`: there is no anchor.
    fn of<'a>(authorities: impl Iterator<Item = &'a Authority>) -> Option<Self> {
        let (mut anchors, mut intermediates) = (RootCertStore::empty(), Vec::new());
        for one in authorities {
            if one.is_anchor {
                anchors.add(one.der.clone()).ok()?;
            } else {
                intermediates.push(one.der.clone());
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider).build().ok()?;
        Some(Self { verifier, intermediates })
    }

    fn verify(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> Result<ClientCertVerified, Error> {
        let (own, others) = shown.split_first().ok_or(Error::NoCertificatesPresented)?;
        let known = self.intermediates.iter().map(|der| CertificateDer::from(der.as_ref()));
        let others: Vec<_> = others.iter().map(|der| CertificateDer::from(der.as_ref())).chain(known).collect();
        self.verifier.verify_client_cert(own, &others, now)
    }
}

impl InForce {
    fn new(bundle: &Bundle, lists: Vec<Arc<RevocationList>>) -> Self {
        let revoked: HashSet<Uuid> = lists.iter().flat_map(|list| list.revoked.iter().copied()).collect();
        let chains = Chains::of(bundle.iter().filter(|one| !revoked.contains(&one.id)));
        let signers = lists.iter().map(|list| list.signer.clone()).collect();
        Self { chains, lists, revoked, signers }
    }

    /// With lists, each that signs needs one.
    fn judge(&self, path: &Path, now: UnixTime) -> Result<(), CertificateError> {
        if path.ids.iter().any(|id| self.revoked.contains(id)) {
            return Err(CertificateError::Revoked);
        }
        if !self.lists.is_empty() && !path.is_signed_by(&self.signers) {
            return Err(CertificateError::UnknownRevocationStatus);
        }
        // The TLS library does not ask when an anchor ends.
        let now_ms = now.as_secs().saturating_mul(1_000);
        path.check_time(|at_ms| at_ms <= now_ms).map_err(|error| match error {
            super::CertificateError::NotYet => CertificateError::NotValidYet,
            _ => CertificateError::Expired,
        })
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthority").finish_non_exhaustive()
    }
}

impl Inner {
    fn verify(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> Result<ClientCertVerified, Error> {
        let bytes: usize = shown.iter().map(|der| der.len()).sum();
        if shown.len() > CHAIN_MAX || bytes > CHAIN_BYTES_MAX {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let in_force = self.in_force.load();
        let verified = in_force.chains.as_ref().ok_or(CertificateError::UnknownIssuer)?.verify(shown, now)?;
        let path = self.bundle.path(shown).map_err(|_| CertificateError::BadEncoding)?;
        in_force.judge(&path, now)?;
        Ok(verified)
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
        // Before anything is copied.
        if intermediates.len() >= CHAIN_MAX {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let shown: Vec<_> =
            iter::once(own).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect();
        self.verify(&shown, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
