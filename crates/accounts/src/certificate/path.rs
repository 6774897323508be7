//! The certificates from a device's own up to the configured authority: what is shown in a handshake, and those of the bundle
//! above it.

use super::{AuthorityError, CertificateError, LAST_SECOND_MS, id_of, millis};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// One certificate of the bundle.
pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    pub(super) id: Uuid,
    /// For people.
    pub(super) name: String,
    subject: Box<[u8]>,
    /// A SubjectPublicKeyInfo. Two authorities may have one name, as when one has a new key; by this they are told apart.
    pub(super) key: Box<[u8]>,
    begins_at_ms: u64,
    ends_at_ms: u64,
    /// No other one of the bundle has signed it, so that it is trusted by itself.
    pub(super) is_anchor: bool,
    /// Those of the bundle that have signed it.
    above: Vec<usize>,
}

pub(super) struct Bundle(Vec<Authority>);

/// What is shown and what is above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The device's own first.
    pub ids: Box<[Uuid]>,
    pub begins_at_ms: u64,
    /// When the first of them ends.
    pub ends_at_ms: u64,
    /// Of those that sign certificates.
    signers: HashSet<Box<[u8]>>,
}

impl Bundle {
    pub(super) fn read(pem: &[u8]) -> Result<Self, AuthorityError> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| AuthorityError::Malformed)?;
        if certificates.is_empty() {
            return Err(AuthorityError::Malformed);
        }
        let mut bundle = Self(certificates.into_iter().map(Authority::read).collect::<Result<_, _>>()?);
        for at in 0..bundle.0.len() {
            let der = bundle.0[at].der.clone();
            let certificate = parse(&der).map_err(|_| AuthorityError::Malformed)?;
            let mut above = bundle.namesakes(&certificate);
            above.retain(|other| bundle.0[*other].has_signed(&certificate));
            let one = &mut bundle.0[at];
            one.is_anchor = above.is_empty() || above.contains(&at);
            one.above = above;
        }
        Ok(bundle)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Authority> {
        self.0.iter()
    }

    /// Those whose name is that of the certificate's issuer.
    fn namesakes(&self, certificate: &X509Certificate<'_>) -> Vec<usize> {
        let issuer = certificate.issuer().as_raw();
        (0..self.0.len()).filter(|at| *self.0[*at].subject == *issuer).collect()
    }

    /// Those that have signed it, as far as there is a choice.
    fn issuers_of(&self, certificate: &X509Certificate<'_>) -> Vec<usize> {
        let all = self.namesakes(certificate);
        if all.len() < 2 {
            return all;
        }
        let signers: Vec<_> = all.iter().copied().filter(|at| self.0[*at].has_signed(certificate)).collect();
        if signers.is_empty() { all } else { signers }
    }

    /// Every certificate that is shown counts, whether the way up needs it or not.
    pub(super) fn path(&self, shown: &[CertificateDer<'_>]) -> Result<Path, CertificateError> {
        let mut path = Path { ids: Box::default(), begins_at_ms: 0, ends_at_ms: u64::MAX, signers: HashSet::new() };
        let (mut ids, mut above) = (Vec::new(), BTreeSet::new());
        for (at, der) in shown.iter().enumerate() {
            let certificate = parse(der)?;
            ids.push(id_of(certificate.issuer().as_raw(), certificate.raw_serial()));
            let (begins_at_ms, ends_at_ms) = validity(&certificate);
            path.narrow(begins_at_ms, ends_at_ms);
            if at > 0 {
                path.signers.insert(certificate.public_key().raw.into());
            }
            above.extend(self.issuers_of(&certificate));
        }
        let mut to_follow: Vec<_> = above.iter().copied().collect();
        while let Some(at) = to_follow.pop() {
            to_follow.extend(self.0[at].above.iter().copied().filter(|next| above.insert(*next)));
        }
        for one in above.iter().map(|at| &self.0[*at]) {
            // Of two certificates of one key, as when an authority was renewed, either is enough.
            let same = above.iter().map(|at| &self.0[*at]).filter(|other| other.key == one.key);
            let (begins, ends): (Vec<_>, Vec<_>) = same.map(|other| (other.begins_at_ms, other.ends_at_ms)).unzip();
            path.narrow(begins.into_iter().min().unwrap_or(0), ends.into_iter().max().unwrap_or(0));
            path.signers.insert(one.key.clone());
            ids.push(one.id);
        }
        path.ids = ids.into();
        Ok(path)
    }
}

impl Authority {
    fn read(der: CertificateDer<'static>) -> Result<Self, AuthorityError> {
        let certificate = parse(&der).map_err(|_| AuthorityError::Malformed)?;
        let name = certificate.subject().to_string();
        if !certificate.basic_constraints().ok().flatten().is_some_and(|one| one.value.ca) {
            return Err(AuthorityError::NoAuthority(name));
        }
        let (begins_at_ms, ends_at_ms) = validity(&certificate);
        Ok(Self {
            id: id_of(certificate.issuer().as_raw(), certificate.raw_serial()),
            name,
            subject: certificate.subject().as_raw().into(),
            key: certificate.public_key().raw.into(),
            begins_at_ms,
            ends_at_ms,
            is_anchor: false,
            above: Vec::new(),
            der: der.clone(),
        })
    }

    fn has_signed(&self, certificate: &X509Certificate<'_>) -> bool {
        SubjectPublicKeyInfo::from_der(&self.key).is_ok_and(|(_, key)| certificate.verify_signature(Some(&key)).is_ok())
    }
}

impl Path {
    fn narrow(&mut self, begins_at_ms: u64, ends_at_ms: u64) {
        self.begins_at_ms = self.begins_at_ms.max(begins_at_ms);
        self.ends_at_ms = self.ends_at_ms.min(ends_at_ms);
    }

    /// Whether each that signs certificates is one of these.
    pub(super) fn is_signed_by(&self, keys: &HashSet<Box<[u8]>>) -> bool {
        self.signers.is_subset(keys)
    }

    /// `is_over`: whether what was to end then has ended.
    ///
    /// # Errors
    /// [`CertificateError::Expired`] or [`CertificateError::NotYet`].
    pub fn check_time(&self, is_over: impl Fn(u64) -> bool) -> Result<(), CertificateError> {
        if is_over(self.ends_at_ms) {
            return Err(CertificateError::Expired);
        }
        if is_over(self.begins_at_ms) { Ok(()) } else { Err(CertificateError::NotYet) }
    }
}

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Malformed),
    }
}

/// `notAfter` belongs to the time (RFC 5280 §4.1.2.5).
pub(super) fn validity(certificate: &X509Certificate<'_>) -> (u64, u64) {
    let validity = certificate.validity();
    (millis(validity.not_before), millis(validity.not_after).saturating_add(LAST_SECOND_MS))
}
