//! Logins under way, a little in each turn: who is there already notices little of thousands that come.
//!
//! ```text
//! arrival ──► CONNECT read ──► adopted by its client's worker ──► device found ──► session ──► accepted
//! ```
//!
//! A login is the dearest that a worker does: a TLS handshake, an HMAC, records of the log, an event. So its steps are
//! not done when they come, but stand in one order, and a turn takes of them what fits into its time for logins; then it reads
//! from those that are not through theirs, one at least, each network in its turn. So those that are nearest to their CONNACK
//! come first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use accounts::login::LookupError;

use super::Worker;
use super::connections::{Line, Moving};
use super::post::{Arrival, ConnectionKey};
use super::turn_budget::LOGIN_SHARE;

/// In one turn no step of a login begins after this time.
const LOGINS_TAKE: Duration = Duration::from_micros(500);

/// What is to be done for a connection that is not let in.
pub(super) enum LoginStep {
    Arrival(Box<Arrival>),
    Adopt(Box<Moving>),
    Device {
        connection: ConnectionKey,
        found: Result<Option<catalog::Device>, LookupError>,
    },
    /// Its session is durable.
    Accept(ConnectionKey),
}

/// Steps of logins, in the order in which they became due. Each connection has one at most.
#[derive(Default)]
pub(super) struct Logins(VecDeque<LoginStep>);

impl Logins {
    pub(super) fn add(&mut self, step: LoginStep) {
        self.0.push_back(step);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Worker {
    /// Some steps of logins.
    pub(super) fn take_logins(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < LOGINS_TAKE
            && let Some(step) = self.logins.0.pop_front()
        {
            self.take_login(step);
            self.dispatch();
        }
        for _ in 0..self.connections.len_of(Line::Login) {
            let Some(key) = self.connections.next_of(Line::Login) else { return };
            let Some(mut scratch) = self.scratch.take() else { return };
            self.serve(key, &mut scratch, LOGIN_SHARE);
            self.scratch = Some(scratch);
            if begun.elapsed() >= LOGINS_TAKE {
                return;
            }
        }
    }

    fn take_login(&mut self, step: LoginStep) {
        match step {
            LoginStep::Arrival(arrival) if self.stopping.is_none() => {
                self.connections.arrive(*arrival, self.now.instant);
            }
            LoginStep::Arrival(_) => {}
            LoginStep::Adopt(moving) => self.adopt(*moving),
            LoginStep::Device { connection, found } => {
                let logged_in = self.connections.finish_login(connection, found, self.now);
                self.logged_in(connection, logged_in);
            }
            LoginStep::Accept(connection) => self.accept(connection),
        }
    }
}
