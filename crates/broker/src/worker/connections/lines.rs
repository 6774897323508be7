//! Which connections have something to do, in three lines, so that those who say little are not behind those who say much.

use std::collections::VecDeque;

use accounts::Network;
use limiter::{FairQueue, QueueLimits};

use super::Connections;
use super::connection::ClientConnection;
use crate::worker::post::ConnectionKey;

/// Where a connection waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Line {
    /// Something has just come, and what came before is done.
    Ready,
    /// It had more than its share of a turn, it was not read for a while, or it is closing.
    Behind,
    /// It is not through its login.
    Login,
}

/// Each connection stands in one of them at most: in that which it names itself. Other entries are of no account.
pub(super) struct Lines {
    ready: VecDeque<ConnectionKey>,
    behind: VecDeque<ConnectionKey>,
    /// Each network in its turn: a login needs several reads, and a handshake is dear, so one that many come from would keep
    /// all others waiting.
    login: FairQueue<Network, ConnectionKey>,
}

impl Default for Lines {
    fn default() -> Self {
        // Bounded by the connections that there may be.
        let limits = QueueLimits { waiting_max: usize::MAX, share: usize::MAX };
        Self { ready: VecDeque::new(), behind: VecDeque::new(), login: FairQueue::new(limits) }
    }
}

impl Lines {
    fn len(&self, line: Line) -> usize {
        match line {
            Line::Ready => self.ready.len(),
            Line::Behind => self.behind.len(),
            Line::Login => self.login.len(),
        }
    }

    fn push(&mut self, line: Line, key: ConnectionKey, network: Network) {
        match line {
            Line::Ready => self.ready.push_back(key),
            Line::Behind => self.behind.push_back(key),
            Line::Login => _ = self.login.push(network, key),
        }
    }

    fn pop(&mut self, line: Line) -> Option<ConnectionKey> {
        match line {
            Line::Ready => self.ready.pop_front(),
            Line::Behind => self.behind.pop_front(),
            Line::Login => {
                let (network, key) = self.login.pop()?;
                self.login.done(network);
                Some(key)
            }
        }
    }
}

impl Connections {
    /// How many entries a line has; as often [`Self::next_of`] may be asked in one turn.
    pub(in crate::worker) fn len_of(&self, line: Line) -> usize {
        self.lines.len(line)
    }

    /// None stands in a line.
    pub(in crate::worker) fn are_served(&self) -> bool {
        [Line::Ready, Line::Behind, Line::Login].into_iter().all(|line| self.len_of(line) == 0)
    }

    pub(in crate::worker) fn next_of(&mut self, line: Line) -> Option<ConnectionKey> {
        loop {
            let key = self.lines.pop(line)?;
            // It may have gone, or to another line.
            if let Some(connection) = self.get_mut(key).filter(|connection| connection.line == Some(line)) {
                connection.line = None;
                return Some(key);
            }
        }
    }

    /// It may go on with what it holds or with what its socket has.
    pub(super) fn mark_ready(&mut self, key: ConnectionKey) {
        self.stand_in_line(key, |connection| connection.has_unprocessed);
    }

    /// There may be more than its share of a turn: the connection is looked at again in the next one.
    pub(in crate::worker) fn read_later(&mut self, key: ConnectionKey) {
        self.stand_in_line(key, |_| true);
    }

    /// Who stands in a line stays there, but who is let in no longer stands among those that log in.
    fn stand_in_line(&mut self, key: ConnectionKey, has_more: impl FnOnce(&ClientConnection) -> bool) {
        let Some(connection) = self.get_mut(key) else { return };
        let line = match connection.connected() {
            Some(_) if !has_more(connection) => Line::Ready,
            None if !connection.is_closing() => Line::Login,
            _ => Line::Behind,
        };
        let is_new = match connection.line {
            None => true,
            Some(Line::Login) => line != Line::Login,
            Some(_) => false,
        };
        if is_new {
            connection.line = Some(line);
            let network = Network::of(connection.peer.ip());
            self.lines.push(line, key, network);
        }
    }
}
