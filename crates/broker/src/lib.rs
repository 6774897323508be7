//! The MQTT broker: workers, transports, sessions, P2P, permissions.
