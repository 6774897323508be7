//! Which connections have something to do, in three lines, so that those who say little are not behind those who say much.

use std::collections::VecDeque;

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
#[derive(Default)]
pub(super) struct Lines {
    ready: VecDeque<ConnectionKey>,
    behind: VecDeque<ConnectionKey>,
    login: VecDeque<ConnectionKey>,
}

impl Lines {
    fn line(&self, line: Line) -> &VecDeque<ConnectionKey> {
        match line {
            Line::Ready => &self.ready,
            Line::Behind => &self.behind,
            Line::Login => &self.login,
        }
    }

    fn line_mut(&mut self, line: Line) -> &mut VecDeque<ConnectionKey> {
        match line {
            Line::Ready => &mut self.ready,
            Line::Behind => &mut self.behind,
            Line::Login => &mut self.login,
        }
    }
}

impl Connections {
    /// How many entries a line has; as often [`Self::next_of`] may be asked in one turn.
    pub(in crate::worker) fn len_of(&self, line: Line) -> usize {
        self.lines.line(line).len()
    }

    /// None stands in a line.
    pub(in crate::worker) fn are_served(&self) -> bool {
        [Line::Ready, Line::Behind, Line::Login].into_iter().all(|line| self.len_of(line) == 0)
    }

    pub(in crate::worker) fn next_of(&mut self, line: Line) -> Option<ConnectionKey> {
        loop {
            let key = self.lines.line_mut(line).pop_front()?;
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
            self.lines.line_mut(line).push_back(key);
        }
    }
}
