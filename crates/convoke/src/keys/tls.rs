//! The server's certificate: configured files, or one that the built-in authority signs.

use super::files::{read_or_create, write_secret};
use accounts::certificate::ClientAuthority;
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names that the built-in certificate always has.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate chain with its key, ready for rustls.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// The authority that terminals must trust, if it is ours.
    pub ca: Option<PathBuf>,
    /// What to do if chain and key turn out to be of no use.
    remedy: String,
}

impl Certificate {
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self> {
        let remedy = "check tls.certificate and tls.key";
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}\n  remedy: {remedy}", path.display()));
        Self::parse(&read(chain)?, &read(key)?, None, remedy.to_owned())
    }

    /// The built-in authority lives in `tls/ca.pem` and `tls/ca-key.pem`; the server's certificate is made anew when
    /// its names change.
    pub fn built_in(data: &Path, names: &[String]) -> Result<Self> {
        let folder = data.join("tls");
        let (ca_path, ca_key_path) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
        let ca_key_pem = read_or_create(&ca_key_path, || Ok(KeyPair::generate()?.serialize_pem()))?;
        let ca_key = KeyPair::from_pem(&ca_key_pem).with_context(|| {
            format!(
                "{} holds no key in PKCS#8 PEM\n  remedy: restore it from a copy, or remove the folder {}: a new \
                 authority is made at the next start, and terminals must be told to trust it",
                ca_key_path.display(),
                folder.display()
            )
        })?;
        let ca_pem = read_or_create(&ca_path, || Ok(authority()?.self_signed(&ca_key)?.pem()))?;
        CertificateDer::from_pem_slice(ca_pem.as_bytes()).with_context(|| {
            let path = ca_path.display();
            format!(
                "{path} holds no certificate in PEM\n  remedy: restore it from a copy, or remove it: it is made anew"
            )
        })?;
        let server = server_certificate(&folder, names, ca_key)?;
        let remedy = format!("remove {}: a new certificate is made at the next start", folder.join("names").display());
        Self::parse(server.0.as_bytes(), server.1.as_bytes(), Some(ca_path), remedy)
    }

    fn parse(chain: &[u8], key: &[u8], ca: Option<PathBuf>, remedy: String) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("the server's certificate chain is no PEM\n  remedy: {remedy}"))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .with_context(|| format!("the key of the server's certificate is no PEM\n  remedy: {remedy}"))?;
        Ok(Self { chain, key, ca, remedy })
    }

    /// The server's, and what is sent with it.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Of its own, if it can be read.
    pub(crate) fn authority(&self) -> Option<CertificateDer<'static>> {
        let pem = fs::read(self.ca.as_ref()?).ok()?;
        CertificateDer::from_pem_slice(&pem).ok()
    }

    /// `protocols`: what ALPN offers; none for MQTT.
    pub fn server_config(&self, protocols: &[&str]) -> Result<Arc<rustls::ServerConfig>> {
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .with_context(|| format!("the server's certificate cannot be used\n  remedy: {}", self.remedy))?;
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Of the MQTT listener; `clients`: whose certificates it asks for.
    pub fn mqtt_config(&self, clients: Option<&ClientAuthority>) -> Result<Arc<rustls::ServerConfig>> {
        let Some(clients) = clients else { return self.server_config(&[]) };
        let mut config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(clients.verifier())
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .with_context(|| format!("the server's certificate cannot be used\n  remedy: {}", self.remedy))?;
        // A session that is resumed is not verified again: a chain that is void by now would stay good.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Convoke built-in authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Chain and key as PEM; kept as long as the wanted names stay the same.
fn server_certificate(folder: &Path, names: &[String], ca_key: KeyPair) -> Result<(String, String)> {
    let names: Vec<String> = LOCAL_NAMES.iter().map(|n| (*n).to_owned()).chain(names.iter().cloned()).collect();
    let wanted = names.join("\n");
    let (names_path, cert_path, key_path) =
        (folder.join("names"), folder.join("server.pem"), folder.join("server-key.pem"));
    let kept = (fs::read_to_string(&names_path), fs::read_to_string(&cert_path), fs::read_to_string(&key_path));
    if let (Ok(made_for), Ok(cert), Ok(key)) = kept
        && made_for == wanted
    {
        return Ok((cert, key));
    }
    let key = KeyPair::generate()?;
    let issuer = Issuer::new(authority()?, ca_key);
    let mut params = CertificateParams::new(names).context("tls.names holds a name that no certificate can have")?;
    params.distinguished_name.push(DnType::CommonName, "Convoke");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let cert = params.signed_by(&key, &issuer)?.pem();
    write_secret(&key_path, &key.serialize_pem())?;
    write_secret(&cert_path, &cert)?;
    write_secret(&names_path, &wanted)?;
    Ok((cert, key.serialize_pem()))
}
