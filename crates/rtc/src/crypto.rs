//! The crypto provider of the media stack, with two observations that the stack itself does not report: which SRTP
//! profile DTLS negotiated, and whether a datagram was authenticated (SRTP or SRTCP opened, DTLS application data
//! accepted).
//!
//! Contract: observations belong to the calling thread. The caller that gives a datagram to a peer takes them right
//! after it, on the same thread.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider, SrtpProvider,
    SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80, from_feature_flags,
};

/// Reported as the cipher of a peer without media, which needs none.
pub(crate) const NO_CIPHER: &str = "none";

thread_local! {
    static AUTHENTICATED: Cell<bool> = const { Cell::new(false) };
    static PROFILE: Cell<Option<SrtpProfile>> = const { Cell::new(None) };
}

/// Whether anything was authenticated on this thread since the last call.
pub(crate) fn take_authenticated() -> bool {
    AUTHENTICATED.replace(false)
}

/// The same, without resetting it.
pub(crate) fn is_authenticated() -> bool {
    AUTHENTICATED.get()
}

/// The IANA name of the SRTP profile that was negotiated on this thread since the last call.
pub(crate) fn take_cipher() -> Option<&'static str> {
    let [aes_256_gcm, aes_128_gcm, aes_cm] = crate::metrics::CIPHERS;
    PROFILE.take().map(|profile| match profile {
        SrtpProfile::AEAD_AES_256_GCM => aes_256_gcm,
        SrtpProfile::AEAD_AES_128_GCM => aes_128_gcm,
        _ => aes_cm,
    })
}

/// The observed provider; created once per process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(observed(from_feature_flags()))).clone()
}

fn observed(plain: CryptoProvider) -> CryptoProvider {
    let dtls: &'static ObservedDtls = Box::leak(Box::new(ObservedDtls(plain.dtls_provider)));
    let srtp: &'static ObservedSrtp = Box::leak(Box::new(ObservedSrtp {
        plain: plain.srtp_provider,
        cm: ObservedCm(plain.srtp_provider.aes_128_cm_sha1_80()),
        gcm_128: ObservedGcm128(plain.srtp_provider.aead_aes_128_gcm()),
        gcm_256: ObservedGcm256(plain.srtp_provider.aead_aes_256_gcm()),
    }));
    CryptoProvider { dtls_provider: dtls, srtp_provider: Box::leak(Box::new(srtp)), ..plain }
}

fn observe_opened<T, E>(opened: Result<T, E>) -> Result<T, E> {
    if opened.is_ok() {
        AUTHENTICATED.set(true);
    }
    opened
}

#[derive(Debug)]
struct ObservedDtls(&'static dyn DtlsProvider);

impl DtlsProvider for ObservedDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        dtls_version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(ObservedDtlsInstance(self.0.new_dtls(cert, now, dtls_version, mtu)?)))
    }

    fn is_test(&self) -> bool {
        self.0.is_test()
    }
}

#[derive(Debug)]
struct ObservedDtlsInstance(Box<dyn DtlsInstance>);

impl DtlsInstance for ObservedDtlsInstance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buf);
        match &output {
            DtlsOutput::KeyingMaterial(_, profile) => PROFILE.set(Some(*profile)),
            DtlsOutput::ApplicationData(_) => AUTHENTICATED.set(true),
            _ => {}
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[derive(Debug)]
struct ObservedSrtp {
    plain: &'static dyn SrtpProvider,
    cm: ObservedCm,
    gcm_128: ObservedGcm128,
    gcm_256: ObservedGcm256,
}

// The factories are handed out by reference for ever, so the provider exists for ever too (leaked once a process).
impl SrtpProvider for &'static ObservedSrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &self.cm
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &self.gcm_128
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &self.gcm_256
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        self.plain.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        self.plain.srtp_aes_256_ecb_round(key, input, output);
    }
}

#[derive(Debug)]
struct ObservedCm(&'static dyn SupportedAes128CmSha1_80);

impl SupportedAes128CmSha1_80 for ObservedCm {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(ObservedCmCipher(self.0.create_cipher(key, encrypt)))
    }
}

#[derive(Debug)]
struct ObservedCmCipher(Box<dyn Aes128CmSha1_80Cipher>);

impl Aes128CmSha1_80Cipher for ObservedCmCipher {
    fn encrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.0.encrypt(iv, input, output)
    }

    /// Called only after the HMAC of the packet was right.
    fn decrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        observe_opened(self.0.decrypt(iv, input, output))
    }
}

macro_rules! gcm {
    ($factory:ident, $supported:ident, $cipher:ident, $instance:ident, $key:literal) => {
        #[derive(Debug)]
        struct $factory(&'static dyn $supported);

        impl $supported for $factory {
            fn create_cipher(&self, key: [u8; $key], encrypt: bool) -> Box<dyn $instance> {
                Box::new($cipher(self.0.create_cipher(key, encrypt)))
            }
        }

        #[derive(Debug)]
        struct $cipher(Box<dyn $instance>);

        impl $instance for $cipher {
            fn encrypt(
                &mut self,
                iv: &[u8; 12],
                aad: &[u8],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<(), CryptoError> {
                self.0.encrypt(iv, aad, input, output)
            }

            fn decrypt(
                &mut self,
                iv: &[u8; 12],
                aads: &[&[u8]],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                observe_opened(self.0.decrypt(iv, aads, input, output))
            }
        }
    };
}

gcm!(ObservedGcm128, SupportedAeadAes128Gcm, ObservedGcm128Cipher, AeadAes128GcmCipher, 16);
gcm!(ObservedGcm256, SupportedAeadAes256Gcm, ObservedGcm256Cipher, AeadAes256GcmCipher, 32);
