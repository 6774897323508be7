//! RocketMQ 5 on the wire: the messages of gRPC v2 and its service, generated from a description in `proto/`.
//!
//! Not here: what any of it means. Names and numbers are those of Apache RocketMQ, so that its official clients are
//! understood. `proto/rocketmq.proto` says what is left out.

#[expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
mod generated {
    tonic::include_proto!("apache.rocketmq.v2");
}

pub use generated::*;
pub use prost_types::{Duration, Timestamp};

/// The service's name in the paths of its methods, `/<service>/<method>`.
pub const SERVICE: &str = "apache.rocketmq.v2.MessagingService";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use prost::Message as _;

    /// `entries[0]` of an answer to a send, as bytes that were written by hand from RocketMQ's numbers.
    #[test]
    fn an_answer_has_the_bytes_of_rocketmq() {
        let ok = Status { code: Code::Ok.into(), message: "OK".to_owned() };
        let entry = SendResultEntry { status: Some(ok.clone()), message_id: "01AB".to_owned(), ..Default::default() };
        let answer = SendMessageResponse { status: Some(ok), entries: vec![entry] };
        let status = b"\x0a\x08\x08\xa0\x9c\x01\x12\x02OK";
        let expected = [status.as_slice(), b"\x12\x10", status, b"\x12\x0401AB"].concat();
        assert_eq!(answer.encode_to_vec(), expected);
        assert_eq!(SendMessageResponse::decode(expected.as_slice()).unwrap(), answer);
    }

    #[test]
    fn a_field_that_is_not_known_is_skipped() {
        // Field 4, then the field 20 (a dead-letter queue) of the system properties, then a tag.
        let properties = b"\xa2\x01\x05\x0a\x03DLQ\x0a\x01t";
        let bytes = [b"\x22\x02hi\x1a".as_slice(), &[properties.len() as u8], properties].concat();
        let message = Message::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.body.as_ref(), b"hi");
        assert_eq!(message.system_properties.unwrap().tag.as_deref(), Some("t"));
    }
}
