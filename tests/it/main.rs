//! Scenarios of the whole system. Each starts real processes on free loopback ports.

mod dependency_rule;
mod gaps;
mod kill_under_load;
mod support;
