//! The client id of one client and its session, in one piece of memory: most clients are away, and have little else.

/// A session, but for what waits in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionInfo<'a> {
    /// Whose client id it is.
    pub(super) account: &'a str,
    /// 0: ends with its connection.
    pub(super) expiry_s: u32,
}

pub(super) struct Identity {
    /// The client id, and behind it the account of its session.
    texts: Box<str>,
    client_id_bytes: u16,
    has_session: bool,
    expiry_s: u32,
}

impl Identity {
    /// Of a registered device that has not connected, or whose session ended.
    pub(super) fn new(client_id: &str) -> Self {
        let client_id_bytes = u16::try_from(client_id.len()).expect("no text of MQTT or of the log is longer");
        Self { texts: client_id.into(), client_id_bytes, has_session: false, expiry_s: 0 }
    }

    fn split(&self) -> (&str, &str) {
        self.texts.split_at(usize::from(self.client_id_bytes))
    }

    pub(super) fn client_id(&self) -> &str {
        self.split().0
    }

    pub(super) fn session(&self) -> Option<SessionInfo<'_>> {
        let (account, expiry_s) = (self.split().1, self.expiry_s);
        self.has_session.then_some(SessionInfo { account, expiry_s })
    }

    pub(super) fn set_session(&mut self, SessionInfo { account, expiry_s }: SessionInfo<'_>) {
        let (client_id, known) = self.split();
        if account != known {
            self.texts = [client_id, account].concat().into();
        }
        (self.has_session, self.expiry_s) = (true, expiry_s);
    }

    /// `false`: there is no session, or it lasts as long already.
    pub(super) fn change_expiry(&mut self, expiry_s: u32) -> bool {
        let changes = self.has_session && self.expiry_s != expiry_s;
        if changes {
            self.expiry_s = expiry_s;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_changes_its_account_and_its_expiry_and_never_the_client_id() {
        let mut identity = Identity::new("GID_dev@@@böb");
        assert!(!identity.change_expiry(7), "it has none");
        assert_eq!((identity.client_id(), identity.session()), ("GID_dev@@@böb", None));
        let sessions = [("user:ä", 60), ("user:ä", 0), ("", 5), ("service:long-name", u32::MAX)];
        for info in sessions.map(|(account, expiry_s)| SessionInfo { account, expiry_s }) {
            identity.set_session(info);
            assert_eq!((identity.client_id(), identity.session()), ("GID_dev@@@böb", Some(info)));
            assert!(!identity.change_expiry(info.expiry_s) && identity.change_expiry(7));
            assert_eq!(identity.session(), Some(SessionInfo { expiry_s: 7, ..info }));
        }
    }
}
