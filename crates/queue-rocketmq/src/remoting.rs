//! RocketMQ's older protocol, of its 4.x clients, which is not spoken here: its first request is told so.
//!
//! ```text
//! | 4: bytes that follow | 1: 0 = JSON, 1 = binary | 3: bytes of the header | header | body |
//! ```

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::HANDSHAKE_MAX;

/// The first byte of whatever is shorter than 16 MiB.
pub(crate) const FIRST: u8 = 0;

const HEADER_BYTES_MAX: usize = 64 << 10;
const JSON: u8 = 0;
const BINARY: u8 = 1;
/// Where the binary header has the number of the request.
const OPAQUE_AT: usize = 5;
/// RocketMQ's code for a request that a server does not know.
const NOT_SUPPORTED: u32 = 3;
const WORDS: &str = "this server speaks the RocketMQ 5 gRPC protocol only, and not the remoting protocol of 4.x clients: \
                     use a RocketMQ 5 client (org.apache.rocketmq:rocketmq-client-java, rocketmq-clients)";

/// Answers the first request, and closes.
pub(crate) async fn refuse(mut stream: TcpStream) {
    let answer = async {
        let header = read_header(&mut stream).await?;
        stream.write_all(&refusal(opaque(&header))).await.ok()?;
        stream.shutdown().await.ok()
    };
    // Who speaks too slowly is not answered.
    let _ = timeout(HANDSHAKE_MAX, answer).await;
}

/// Its kind, then the header.
async fn read_header(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let _length = stream.read_u32().await.ok()?;
    let [kind, length @ ..] = stream.read_u32().await.ok()?.to_be_bytes();
    let length = usize::try_from(u32::from_be_bytes([0, length[0], length[1], length[2]])).ok()?;
    if length > HEADER_BYTES_MAX {
        return None;
    }
    let mut header = vec![kind; 1 + length];
    stream.read_exact(&mut header[1..]).await.ok()?;
    Some(header)
}

/// The number of the request, by which a client knows its answer; 0 if it cannot be read.
fn opaque(header: &[u8]) -> i32 {
    let opaque = match header.split_first() {
        Some((&JSON, json)) => serde_json::from_slice::<Value>(json).ok().and_then(|json| json["opaque"].as_i64()),
        Some((&BINARY, header)) => {
            let bytes = header.get(OPAQUE_AT..OPAQUE_AT + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(|bytes| i64::from(i32::from_be_bytes(bytes)))
        }
        _ => None,
    };
    opaque.and_then(|opaque| i32::try_from(opaque).ok()).unwrap_or_default()
}

fn refusal(opaque: i32) -> Vec<u8> {
    const ANSWER: u32 = 1;
    let header = json!({
        "code": NOT_SUPPORTED, "flag": ANSWER, "language": "OTHER", "opaque": opaque, "remark": WORDS,
        "serializeTypeCurrentRPC": "JSON", "version": 0,
    });
    let header = header.to_string();
    // Far below 16 MiB, so that the byte of the kind is that of JSON.
    let length = u32::try_from(header.len()).unwrap_or_default();
    [&(length + 4).to_be_bytes(), length.to_be_bytes().as_slice(), header.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn the_answer_has_the_number_of_the_request_in_either_form() {
        assert_eq!(opaque(b"\x00{\"code\":105,\"opaque\":7}"), 7);
        assert_eq!(opaque(b"\x01\x00\x69\x00\x01\xd6\x00\x00\x00\x08rest"), 8);
        for garbage in [b"".as_slice(), b"\x00", b"\x00[", b"\x00{\"opaque\":\"x\"}", b"\x01\x00\x69", b"\x02abc"] {
            assert_eq!(opaque(garbage), 0, "{garbage:?}");
        }
    }

    #[test]
    fn the_answer_can_be_read_as_one() {
        let answer = refusal(7);
        let length = u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize;
        assert_eq!(length, answer.len() - 4);
        assert_eq!(u32::from_be_bytes(answer[4..8].try_into().unwrap()) as usize, length - 4);
        let header: Value = serde_json::from_slice(&answer[8..]).unwrap();
        assert_eq!((&header["code"], &header["flag"], &header["opaque"]), (&json!(3), &json!(1), &json!(7)));
        assert!(header["remark"].as_str().unwrap().contains("RocketMQ 5 gRPC"));
    }
}
