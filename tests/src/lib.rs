//! What scenarios and benchmarks share: a small blocking MQTT client, a service's login, data directories.

pub mod data_directory;
pub mod history;
pub mod link;
pub mod lives;
pub mod log_work;
pub mod relay;
pub mod wire;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The password of a Signature or DeviceCredential login: Base64(HMAC-SHA1(secret, client id)).
pub fn sign(secret: &str, client_id: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, client_id.as_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_sample_of_a_signature_is_met() {
        let password = super::sign("SecretForTestsOnly123456789012", "GID_Test@@@0001");
        assert_eq!(password, "BQGRyVPvlFj/eWFwsSONB2yyMDg=");
    }
}
