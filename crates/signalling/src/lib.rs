//! Signals between terminal and service, and the states of a meeting; pure.
