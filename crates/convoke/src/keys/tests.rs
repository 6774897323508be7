use super::*;
use accounts::certificate::ClientAuthority;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

#[test]
fn a_second_start_finds_the_same_keys_and_secrets_are_private() {
    let data = tempfile::tempdir().expect("temporary folder");
    let first =
        (ApiKey::load_or_create(data.path()).expect("made"), JoinKey::load_or_create(data.path()).expect("made"));
    let again =
        (ApiKey::load_or_create(data.path()).expect("read"), JoinKey::load_or_create(data.path()).expect("read"));
    assert_eq!(first.0.text(), again.0.text());
    let secret = || *TokenSecret::load_or_create(data.path()).expect("made or read").bytes();
    assert_eq!(secret(), secret());
    assert_eq!((&first.1.kid, &first.1.public_pem), (&again.1.kid, &again.1.public_pem));
    for secret in ["api-key", "keys/join.pem", "keys/token-secret"] {
        let mode = fs::metadata(data.path().join(secret)).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[test]
fn the_built_in_certificate_is_kept_until_its_names_change() {
    let data = tempfile::tempdir().expect("temporary folder");
    let read = || fs::read_to_string(data.path().join("tls/server.pem")).expect("exists");
    let certificate = Certificate::built_in(data.path(), &[]).expect("made");
    certificate.server_config(&["h2"]).expect("usable");
    let first = read();
    Certificate::built_in(data.path(), &[]).expect("kept");
    assert_eq!(first, read());
    Certificate::built_in(data.path(), &["calls.example.org".into()]).expect("made anew");
    assert_ne!(first, read());
}

#[test]
fn a_broken_join_key_names_the_file_and_the_remedy() {
    let data = tempfile::tempdir().expect("temporary folder");
    fs::create_dir(data.path().join("keys")).expect("made");
    fs::write(data.path().join("keys/join.pem"), "nonsense").expect("written");
    let words = format!("{:#}", JoinKey::load_or_create(data.path()).err().expect("refused"));
    assert!(words.contains("keys/join.pem") && words.contains("remedy"), "{words}");
}

#[test]
fn a_broken_token_secret_names_the_file_and_the_remedy() {
    let data = tempfile::tempdir().expect("temporary folder");
    fs::create_dir(data.path().join("keys")).expect("made");
    for text in ["", "nonsense", &"0".repeat(63), &"0".repeat(66), &"+1".repeat(32), &"ä".repeat(32)] {
        fs::write(data.path().join("keys/token-secret"), text).expect("written");
        let words = format!("{:#}", TokenSecret::load_or_create(data.path()).err().expect("refused"));
        assert!(words.contains("keys/token-secret") && words.contains("remedy"), "{words}");
    }
}

/// Handshakes in memory, until neither has anything to say.
fn shake_hands(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (ClientConnection, ServerConnection) {
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("usable");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("usable");
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("written");
        }
        server.read_tls(&mut &bytes[..]).expect("read");
        server.process_new_packets().expect("believed");
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("written");
        }
        client.read_tls(&mut &bytes[..]).expect("read");
        client.process_new_packets().expect("believed");
    }
    (client, server)
}

/// How the second of two connections with one client configuration begins.
fn second_handshake(server: &Arc<ServerConfig>, client: ClientConfig) -> HandshakeKind {
    let client = Arc::new(client);
    shake_hands(&client, server);
    let (_, server) = shake_hands(&client, server);
    server.handshake_kind().expect("it has ended")
}

#[test]
fn a_client_that_shows_a_certificate_is_verified_in_each_connection() {
    let data = tempfile::tempdir().expect("temporary folder");
    let certificate = Certificate::built_in(data.path(), &[]).expect("made");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("made")).expect("made");
    let key = KeyPair::generate().expect("made");
    let own = CertificateParams::default().signed_by(&key, &signer).expect("made").der().clone();
    let clients = ClientAuthority::new(signer.pem().as_bytes(), true).expect("usable");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.authority().expect("built in")).expect("usable");
    for version in [&TLS13, &TLS12] {
        let client = || ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots.clone());
        let with_certificate = || {
            let key = key.serialize_der().try_into().expect("a key");
            client().with_client_auth_cert(vec![own.clone()], key).expect("usable")
        };
        let server = certificate.mqtt_config(Some(&clients)).expect("usable");
        assert_eq!(second_handshake(&server, with_certificate()), HandshakeKind::Full);
        // Where no certificate is asked for there is nothing to verify again.
        let server = certificate.mqtt_config(None).expect("usable");
        assert_eq!(second_handshake(&server, client().with_no_client_auth()), HandshakeKind::Resumed);
    }
}
