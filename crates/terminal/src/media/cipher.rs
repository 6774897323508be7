//! The crypto provider of the media stack, with what the stack does not offer: which SRTP profile DTLS negotiated, and
//! closing before SCTP is up (until then the stack refuses to close).
//!
//! Contract: both belong to the calling thread. The code that polls a peer asks right before or after, on
//! the same thread.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

thread_local! {
    static PROFILE: Cell<Option<SrtpProfile>> = const { Cell::new(None) };
    static CLOSE_REQUESTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the peer that is polled next on this thread closes its DTLS connection.
pub(crate) fn request_close(requested: bool) {
    CLOSE_REQUESTED.set(requested);
}

/// IANA name of the SRTP profile that was negotiated on this thread since the last call.
pub(crate) fn take_cipher() -> Option<&'static str> {
    PROFILE.take().map(|profile| match profile {
        SrtpProfile::AEAD_AES_256_GCM => "AEAD_AES_256_GCM",
        SrtpProfile::AEAD_AES_128_GCM => "AEAD_AES_128_GCM",
        _ => "AES_CM_128_HMAC_SHA1_80",
    })
}

/// The provider with its observed DTLS; created once a process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        let plain = from_feature_flags();
        let dtls: &'static ObservedDtls = Box::leak(Box::new(ObservedDtls(plain.dtls_provider)));
        Arc::new(CryptoProvider { dtls_provider: dtls, ..plain })
    };
    PROVIDER.get_or_init(make).clone()
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
        if CLOSE_REQUESTED.take()
            && let Err(error) = self.0.close()
        {
            tracing::debug!(%error, "DTLS could not be closed");
        }
        let output = self.0.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(_, profile) = &output {
            PROFILE.set(Some(*profile));
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
