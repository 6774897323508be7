//! Grants: who may do what at which parent topic.

use std::fmt;

/// One of the things that a grant allows at a parent topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// To publish there, not to one client.
    Publish,
    /// To subscribe to filters inside it, not to what is for one client.
    Subscribe,
    /// To publish to one client: `<parent>/p2p/<client id>`.
    P2p,
}

impl Right {
    pub const ALL: [Self; 3] = [Self::Publish, Self::Subscribe, Self::P2p];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::P2p => "p2p",
        }
    }

    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of [`Right`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    #[must_use]
    pub const fn allow(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.allow(*right))
    }

    /// Names with spaces between, as [`Display`](fmt::Display) writes them.
    ///
    /// # Errors
    /// The first word that is none of the names.
    pub fn parse(text: &str) -> Result<Self, &str> {
        text.split_ascii_whitespace().map(|word| Right::of_name(word).ok_or(word)).collect()
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | right.bit()))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, right) in self.iter().enumerate() {
            let space = if n > 0 { " " } else { "" };
            write!(f, "{space}{}", right.name())?;
        }
        Ok(())
    }
}

/// Who has a grant. A group and a user have it for their devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grantee {
    Group(String),
    User(String),
    /// An access key, which is narrowed from its first grant on.
    Key(String),
}

const USER: &str = "user:";
const KEY: &str = "key:";

impl Grantee {
    /// What [`Display`](fmt::Display) writes. Group IDs begin with `GID`, so none is taken for another.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        if let Some(user) = name.strip_prefix(USER) {
            return Self::User(user.to_owned());
        }
        match name.strip_prefix(KEY) {
            Some(key_id) => Self::Key(key_id.to_owned()),
            None => Self::Group(name.to_owned()),
        }
    }

    pub(crate) fn group(&self) -> Option<&str> {
        if let Self::Group(group) = self { Some(group) } else { None }
    }

    pub(crate) fn user(&self) -> Option<&str> {
        if let Self::User(user) = self { Some(user) } else { None }
    }

    pub(crate) fn key(&self) -> Option<&str> {
        if let Self::Key(key_id) = self { Some(key_id) } else { None }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => f.write_str(group),
            Self::User(user) => write!(f, "{USER}{user}"),
            Self::Key(key_id) => write!(f, "{KEY}{key_id}"),
        }
    }
}

/// What somebody may do at a parent topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub grantee: Grantee,
    pub parent: String,
    pub rights: Rights,
}

impl Grant {
    /// That the devices of a group may publish.
    pub fn to_publish(group: impl Into<String>, parent: impl Into<String>) -> Self {
        let rights = [Right::Publish].into_iter().collect();
        Self { grantee: Grantee::Group(group.into()), parent: parent.into(), rights }
    }

    /// `<grantee>/<parent>`, as lists and the log of changes name it.
    #[must_use]
    pub fn name(&self) -> String {
        grant_name(&self.grantee, &self.parent)
    }
}

pub(crate) fn grant_name(grantee: &Grantee, parent: &str) -> String {
    format!("{grantee}/{parent}")
}

/// Which grants are listed; `None`: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    pub grantee: Option<Grantee>,
    pub parent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_they_are_written() {
        let some: Rights = [Right::P2p, Right::Publish].into_iter().collect();
        assert_eq!(some.to_string(), "publish p2p");
        assert_eq!(Rights::parse("p2p publish p2p"), Ok(some));
        assert_eq!(Rights::parse("publish all"), Err("all"));
        assert!(some.allow(Right::P2p) && !some.allow(Right::Subscribe) && Rights::default().is_empty());
    }

    #[test]
    fn grantees_are_read_as_they_are_written() {
        let names = ["GID_phone", "user:ann/b", "key:billing", "user:key:x"];
        let read = names.map(Grantee::of_name);
        let expected = [
            Grantee::Group("GID_phone".to_owned()),
            Grantee::User("ann/b".to_owned()),
            Grantee::Key("billing".to_owned()),
            Grantee::User("key:x".to_owned()),
        ];
        assert_eq!(read, expected);
        assert_eq!(read.map(|grantee| grantee.to_string()), names);
    }
}
