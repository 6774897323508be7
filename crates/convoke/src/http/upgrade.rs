//! `/mqtt`: the WebSocket handshake (RFC 6455 §4.2). After it the connection is taken apart and handed to the broker.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use std::net::TcpStream;
use std::sync::Arc;
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// Takes over an upgraded connection: the socket, the TLS state if there is one, and what was read ahead.
pub type AdoptWebSocket = Arc<dyn Fn(TcpStream, Option<rustls::ServerConnection>, Bytes) + Send + Sync>;

const PROTOCOL: &str = "mqtt";
/// RFC 6455 §4.1.
const NONCE_BYTES: usize = 16;

pub fn mqtt_route(adopt: AdoptWebSocket) -> Router {
    Router::new().route("/mqtt", get(move |request| upgrade(request, adopt)))
}

async fn upgrade(mut request: Request, adopt: AdoptWebSocket) -> Response {
    if request.version() != Version::HTTP_11 {
        return refuse("send it over HTTP/1.1");
    }
    let accept = match accept_key(request.headers()) {
        Ok(accept) => accept,
        Err(cause) => return refuse(cause),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => hand_over(upgraded, &adopt),
            Err(error) => debug!(%error, "the upgrade to WebSocket failed"),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL)),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn refuse(cause: &'static str) -> Response {
    let headers = [(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
    (StatusCode::UPGRADE_REQUIRED, headers, format!("this is MQTT over WebSocket: {cause}\n")).into_response()
}

/// Checks the handshake and returns the value of `Sec-WebSocket-Accept`.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    if !lists(headers, header::UPGRADE, "websocket") || !lists(headers, header::CONNECTION, "upgrade") {
        return Err("send an upgrade to websocket");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err("send Sec-WebSocket-Version 13");
    }
    if !lists(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err("send Sec-WebSocket-Protocol mqtt");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("send Sec-WebSocket-Key")?;
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == NONCE_BYTES) {
        return Err("send 16 bytes in Base64 as Sec-WebSocket-Key");
    }
    HeaderValue::from_str(&derive_accept(key.as_bytes())).map_err(|_| "send a Base64 Sec-WebSocket-Key")
}

fn derive_accept(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish())
}

fn lists(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(wanted))
}

fn hand_over(upgraded: Upgraded, adopt: &AdoptWebSocket) {
    let upgraded = match downcast::<TokioIo<tokio::net::TcpStream>>(upgraded) {
        Ok(parts) => return adopt_plain(parts.io.into_inner(), None, parts.read_buf, adopt),
        Err(upgraded) => upgraded,
    };
    match downcast::<TokioIo<TlsStream<tokio::net::TcpStream>>>(upgraded) {
        Ok(parts) => {
            let (stream, tls) = parts.io.into_inner().into_inner();
            adopt_plain(stream, Some(tls), parts.read_buf, adopt);
        }
        Err(_) => debug!("an upgraded connection is neither plain nor TLS"),
    }
}

fn adopt_plain(
    stream: tokio::net::TcpStream,
    tls: Option<rustls::ServerConnection>,
    read_ahead: Bytes,
    adopt: &AdoptWebSocket,
) {
    match stream.into_std() {
        Ok(stream) => adopt(stream, tls, read_ahead),
        Err(error) => debug!(%error, "an upgraded socket could not be taken over"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(change: impl FnOnce(&mut HeaderMap)) -> Result<HeaderValue, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_PROTOCOL, "mqttv3.1, mqtt"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        change(&mut headers);
        accept_key(&headers)
    }

    #[test]
    fn the_sample_key_of_rfc_6455_gets_its_accept() {
        assert_eq!(handshake(|_| ()).expect("accepted"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_that_is_no_nonce_is_refused() {
        for key in ["x", "", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ==="] {
            let cause = handshake(|headers| {
                headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
            });
            assert!(cause.expect_err("refused").contains("16 bytes"), "{key}");
        }
    }

    #[test]
    fn each_missing_header_is_named() {
        for (name, words) in [
            (header::UPGRADE, "upgrade to websocket"),
            (header::SEC_WEBSOCKET_VERSION, "Version 13"),
            (header::SEC_WEBSOCKET_PROTOCOL, "Protocol mqtt"),
            (header::SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key"),
        ] {
            let cause = handshake(|headers| drop(headers.remove(&name))).expect_err("refused");
            assert!(cause.contains(words), "{cause}");
        }
    }
}
