//! The RTC server: ICE, DTLS-SRTP, forwarding.
