//! Against a real HTTP server on this machine, which answers what a test wishes.

use super::*;
use accounts::jwt::{IssuerRules, JwtError};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"k2","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn set(keys: &[&str]) -> String {
    ok("", &format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

/// Answers each request with what is set at the time; an empty answer never comes.
struct Server {
    url: Url,
    answer: Arc<Mutex<String>>,
    asked: watch::Receiver<usize>,
}

impl Server {
    async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/jwks", listener.local_addr().expect("bound"));
        let answer = Arc::new(Mutex::new(answer));
        let (count, asked) = watch::channel(0);
        let given = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let answer = given.lock().expect("not poisoned").clone();
                count.send_modify(|count| *count += 1);
                tokio::spawn(async move {
                    let mut request = [0; 2048];
                    let _ = socket.read(&mut request).await;
                    if answer.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    let _ = socket.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { url: url.parse().expect("a URL"), answer, asked }
    }

    fn source(&self) -> Source {
        crate::install_crypto();
        Source::within(self.url.clone(), None, Duration::from_secs(2)).expect("a client")
    }

    fn answer(&self, answer: String) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    async fn was_asked(&mut self, times: usize) {
        self.asked.wait_for(|asked| *asked >= times).await.expect("it runs");
    }
}

#[tokio::test]
async fn a_set_is_fetched_with_the_age_that_it_is_given_within_bounds() {
    let server = Server::start(set(&[ED25519, P256])).await;
    let (keys, age) = server.source().fetch().await.expect("fetched");
    assert_eq!((keys.len(), age), (2, AGE_UNSAID));
    let table = [
        ("Cache-Control: public, max-age=3600\r\n", Duration::from_secs(3600)),
        ("Cache-Control: max-age=3600\r\nAge: 3000\r\n", Duration::from_secs(600)),
        ("Cache-Control: max-age=\"120\"\r\n", Duration::from_secs(120)),
        ("Cache-Control: max-age=1\r\n", AGE_MIN),
        ("Cache-Control: max-age=99999999999\r\n", AGE_MAX),
        ("Cache-Control: max-age=-1\r\n", AGE_UNSAID),
        ("Cache-Control: max-age=3600, no-store\r\n", AGE_MIN),
        ("Cache-Control: no-cache\r\n", AGE_MIN),
    ];
    for (headers, expected) in table {
        server.answer(ok(headers, &format!(r#"{{"keys":[{ED25519}]}}"#)));
        assert_eq!(server.source().fetch().await.expect("fetched").1, expected, "{headers}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_set_is_an_error() {
    let server = Server::start(String::new()).await;
    let long = "x".repeat(SET_BYTES_MAX + 1);
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let elsewhere = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", server.url);
    let table = [
        (ok("", "<html>"), "no JWK set"),
        (ok("", ""), "no JWK set"),
        (ok("", r#"{"keys":[]}"#), "has no key"),
        (ok("", &long), "longer than 256 KiB"),
        (chunked, "longer than 256 KiB"),
        (elsewhere, "a redirect is not followed"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "204"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(), "no answer"),
        ("garbage".to_owned(), "no answer"),
        (String::new(), "no answer"),
    ];
    for (answer, words) in table {
        server.answer(answer.clone());
        let error = server.source().fetch().await.expect_err("it is no set").to_string();
        assert!(error.contains(words), "{}: {error}", answer.chars().take(80).collect::<String>());
        assert!(!error.contains("127.0.0.1"), "{error}");
    }
}

/// A JWT of nobody by a key of this name; how far it comes says whether that is known.
fn jwt(kid: &str) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let algorithm = if kid == "k1" { "EdDSA" } else { "ES256" };
    format!("{}.{}.{}", encode(&format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#)), encode("{}"), encode("none"))
}

#[tokio::test]
async fn keys_are_rotated_when_a_login_names_a_new_one_and_stay_while_the_url_is_down() {
    let mut server = Server::start(set(&[ED25519])).await;
    let rules = IssuerRules {
        name: "app".into(),
        issuer: "https://login.example.org".into(),
        audience: "convoke".into(),
        user_claim: "sub".into(),
        client_id_claim: "client_id".into(),
        leeway_ms: 0,
    };
    let issuer = Issuer::new(rules, Vec::new(), true);
    // A login that comes while the first set is on its way waits for it.
    let fetched = |issuer: &Issuer| {
        let (done, fetched) = tokio::sync::oneshot::channel();
        issuer.when_refreshed(Box::new(|| _ = done.send(())));
        fetched
    };
    issuer.fetch_begins();
    let first = fetched(&issuer);
    let following = tokio::spawn(follow(issuer.clone(), server.source()));
    first.await.expect("answered");
    let is_known = |kid: &str| issuer.verify(&jwt(kid)) == Err(JwtError::Signature);
    assert_eq!((is_known("k1"), is_known("k2")), (true, false));
    // Right behind a fetch nobody causes another one.
    fetched(&issuer).await.expect("answered");
    assert_eq!(*server.asked.borrow(), 1);
    // 5 s later the first login with the new key does.
    server.answer(set(&[ED25519, P256]));
    while !is_known("k2") {
        fetched(&issuer).await.expect("answered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.was_asked(2).await;
    following.abort();
    // What fails leaves the keys as they are.
    server.answer("HTTP/1.1 500 Down\r\ncontent-length: 0\r\n\r\n".to_owned());
    let following = tokio::spawn(follow(issuer.clone(), server.source()));
    server.was_asked(3).await;
    fetched(&issuer).await.expect("answered");
    assert!(is_known("k1") && is_known("k2"));
    following.abort();
}

#[test]
fn an_authority_that_is_none_names_the_file() {
    crate::install_crypto();
    let url: Url = "https://login.example.org/jwks".parse().expect("a URL");
    let words = format!("{:#}", Source::new(url, Some(Path::new("Cargo.toml"))).err().expect("refused"));
    assert!(words.contains("Cargo.toml") && words.contains("jwks_ca"), "{words}");
}
