//! Revocation lists (CRLs, RFC 5280 §5): read whole, and believed only if a configured authority has signed them.

use super::{id_of, millis};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use uuid::Uuid;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_X509_EXT_DELTA_CRL_INDICATOR;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, ParsedExtension, X509Certificate};

/// Bytes of one list; a longer one is not read.
pub const LIST_BYTES_MAX: usize = 16 << 20;
/// sha1WithRSAEncryption, which can be forged.
const SHA1_WITH_RSA: [&str; 2] = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29"];

/// Why a list is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("it is longer than 16 MiB")]
    TooLong,
    #[error("it is not one revocation list in PEM or DER")]
    Malformed,
    #[error("its issuer is none of the authorities, or may not sign lists")]
    Issuer,
    #[error("its signature is wrong, or made by SHA-1")]
    Signature,
    #[error("it is older than the one that is in force")]
    Older,
    #[error("it is a part of a list, or one for others (delta, indirect); name a whole list of the authority's own")]
    Partial,
}

/// One list that its authority has signed.
#[derive(Clone, Debug)]
pub struct RevocationList {
    /// For people.
    pub issuer: String,
    /// The public key of the authority that has signed it.
    pub(super) signer: Box<[u8]>,
    number: Option<BigUint>,
    pub issued_at_ms: u64,
    /// When the next one is due; `None`: it does not say.
    pub due_at_ms: Option<u64>,
    pub(super) revoked: Vec<Uuid>,
}

impl RevocationList {
    /// # Errors
    /// It is none of these authorities'.
    pub(super) fn read(bytes: &[u8], authorities: &[CertificateDer<'_>]) -> Result<Self, ListError> {
        if bytes.len() > LIST_BYTES_MAX {
            return Err(ListError::TooLong);
        }
        let der = der_of(bytes)?;
        let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|_| ListError::Malformed)?;
        if !rest.is_empty() {
            return Err(ListError::Malformed);
        }
        let issuer_name = list.issuer().as_raw();
        // Two authorities may have one name, as when one has a new key.
        let mut error = ListError::Issuer;
        for authority in authorities {
            let Ok((_, authority)) = X509Certificate::from_der(authority) else { continue };
            let signs_lists = authority.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()));
            if authority.subject().as_raw() != issuer_name || !signs_lists {
                continue;
            }
            let is_weak = SHA1_WITH_RSA.contains(&list.signature_algorithm.algorithm.to_id_string().as_str());
            if is_weak || list.verify_signature(authority.public_key()).is_err() {
                error = ListError::Signature;
                continue;
            }
            if !is_whole(&list) {
                return Err(ListError::Partial);
            }
            let revoked = list.iter_revoked_certificates().map(|one| id_of(issuer_name, one.raw_serial())).collect();
            return Ok(Self {
                issuer: list.issuer().to_string(),
                signer: authority.public_key().raw.into(),
                number: list.crl_number().cloned(),
                issued_at_ms: millis(list.last_update()),
                due_at_ms: list.next_update().map(millis),
                revoked,
            });
        }
        Err(error)
    }

    /// Certificates that it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// By the number, or by its time where one of both has none.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.signer == other.signer
            && match (&self.number, &other.number) {
                (Some(number), Some(others)) => number < others,
                _ => self.issued_at_ms < other.issued_at_ms,
            }
    }
}

/// Whether it says all of its authority's certificates, and of no other's (RFC 5280 §5.2).
fn is_whole(list: &CertificateRevocationList<'_>) -> bool {
    let of_all = list.extensions().iter().all(|extension| match extension.parsed_extension() {
        // Where it is to be found says nothing about what is in it.
        ParsedExtension::IssuingDistributionPoint(point) => {
            let is_of_some = point.only_contains_user_certs || point.only_contains_ca_certs;
            let is_of_others = point.indirect_crl || point.only_contains_attribute_certs;
            !is_of_some && !is_of_others && point.only_some_reasons.is_none()
        }
        _ => !extension.critical && extension.oid != OID_X509_EXT_DELTA_CRL_INDICATOR,
    });
    // Of its lines only one that names another authority has to be understood.
    of_all && list.iter_revoked_certificates().all(|line| line.extensions().iter().all(|extension| !extension.critical))
}

fn der_of(bytes: &[u8]) -> Result<CertificateRevocationListDer<'static>, ListError> {
    // A SEQUENCE.
    if bytes.first() == Some(&0x30) {
        return Ok(CertificateRevocationListDer::from(bytes.to_vec()));
    }
    let mut lists = CertificateRevocationListDer::pem_slice_iter(bytes);
    match (lists.next(), lists.next()) {
        (Some(Ok(list)), None) => Ok(list),
        _ => Err(ListError::Malformed),
    }
}
