//! The names and the end dates of certificates.

use crate::keys::Certificate;
use accounts::certificate::ClientAuthority;
use accounts::server::CertificateState;
use rustls::pki_types::CertificateDer;
use std::net::{Ipv4Addr, Ipv6Addr};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

/// The end of the year 9999 (RFC 5280 §4.1.2.5): a list that does not say when the next is due.
const NEVER_MS: u64 = 253_402_300_799_000;

/// The server's, those that it sends with it, and the authority of its own. What cannot be parsed is left out: the TLS
/// library has its own opinion of it.
pub(in crate::serve) fn describe(certificate: &Certificate) -> Vec<CertificateState> {
    let of = |at: usize| if at == 0 { "server" } else { "chain" };
    let chain = certificate.chain().iter().enumerate().filter_map(|(at, der)| state(of(at), der));
    chain.chain(certificate.authority().and_then(|der| state("authority", &der))).collect()
}

/// The authorities of client certificates; and their revocation lists, from when they are until when the next is due.
pub(super) fn describe_clients(clients: &ClientAuthority) -> Vec<CertificateState> {
    let authorities = clients.certificates().iter().filter_map(|der| state("client authority", der));
    let lists = clients.lists().into_iter().map(|list| CertificateState {
        of: "revocation list",
        subject: list.issuer,
        names: Vec::new(),
        valid_from_ms: list.issued_at_ms,
        valid_until_ms: list.due_at_ms.unwrap_or(NEVER_MS),
    });
    authorities.chain(lists).collect()
}

fn state(of: &'static str, der: &CertificateDer<'_>) -> Option<CertificateState> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
    let validity = certificate.validity();
    Some(CertificateState {
        of,
        subject: certificate.subject().to_string(),
        names: names.unwrap_or_default(),
        valid_from_ms: millis(validity.not_before),
        valid_until_ms: millis(validity.not_after),
    })
}

fn millis(at: ASN1Time) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or(0).saturating_mul(1000)
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn the_built_in_certificate_and_its_authority_are_described() {
        let data = tempfile::tempdir().unwrap();
        let certificate = Certificate::built_in(data.path(), &["calls.example.org".to_owned()]).unwrap();
        let found = describe(&certificate);
        let of: Vec<_> = found.iter().map(|certificate| certificate.of).collect();
        assert_eq!((of.first(), of.last()), (Some(&"server"), Some(&"authority")));
        assert_eq!(found[0].names, ["localhost", "127.0.0.1", "::1", "calls.example.org"]);
        assert!(found.iter().all(|certificate| certificate.valid_from_ms < certificate.valid_until_ms), "{found:?}");
    }
}
