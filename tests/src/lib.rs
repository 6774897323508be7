//! Scenarios of the whole system over real sockets and processes.
