//! MQTT 3.1.1 and 5.0 without I/O: codec, connection half, session half.
