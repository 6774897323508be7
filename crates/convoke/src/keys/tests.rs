use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

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
