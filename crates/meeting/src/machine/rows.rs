//! The stored form of the document: a row for each entry of the lists that grow, and a head with the rest.
//!
//! A row has a kind (which list), a place (it orders the list, and is not given again while the document lives) and one
//! entry as JSON. Pure: which rows a change of the document touches follows from the document before and after.
//!
//! A document of version 1 has its lists in the head. It is read as it is; its next change makes the rows.

use crate::machine::document::{DocumentError, Meeting, VERSION};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signalling::{Muted, UserName};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// One entry of a list of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRow {
    pub kind: String,
    pub place: u64,
    /// JSON.
    pub entry: String,
}

/// Where a row is: its kind and its place.
pub type DocumentRowName = (&'static str, u64);

/// Changes of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentRowChanges {
    /// New rows, or new contents of rows.
    pub put: Vec<(DocumentRowName, String)>,
    pub gone: Vec<DocumentRowName>,
}

/// The places of a document's entries, by kind, in the order of the list. Entries that have no row are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<&'static str, Vec<u64>>);

const MEMBER: &str = "member";
const INVITATION: &str = "invitation";
const BLOCKED: &str = "blocked";
const BAN: &str = "ban";
const REMOVED: &str = "removed";
const SPENT: &str = "spent";
const FORMER: &str = "former";
const KICKED: &str = "kicked";

impl Meeting {
    /// The document of a head and its rows, which come in the order of their places.
    ///
    /// # Errors
    /// Something cannot be read, or is of a newer version.
    pub fn from_rows(head: &str, rows: impl IntoIterator<Item = DocumentRow>) -> Result<(Self, Places), DocumentError> {
        let (mut meeting, mut places) = (Self::parse(head)?, Places::default());
        for DocumentRow { kind, place, entry } in rows {
            let entry = entry.as_str();
            let kind = match kind.as_str() {
                MEMBER => read(MEMBER, &mut meeting.members, entry)?,
                INVITATION => read(INVITATION, &mut meeting.invitations, entry)?,
                BLOCKED => read(BLOCKED, &mut meeting.blocked, entry)?,
                BAN => read(BAN, &mut meeting.bans, entry)?,
                REMOVED => read(REMOVED, &mut meeting.removed, entry)?,
                SPENT => read(SPENT, &mut meeting.glare_creates, entry)?,
                FORMER => read(FORMER, &mut meeting.former, entry)?,
                KICKED => read(KICKED, &mut meeting.kicked, entry)?,
                _ => return Err(DocumentError::Row(kind)),
            };
            places.0.entry(kind).or_default().push(place);
        }
        Ok((meeting, places))
    }

    /// The document without the lists that have rows.
    pub fn head(&self) -> String {
        let head = Self {
            v: VERSION,
            id: self.id,
            rev: self.rev,
            host: self.host.clone(),
            creator: self.creator.clone(),
            media: self.media,
            title: self.title.clone(),
            ends_below: self.ends_below,
            members: Vec::new(),
            invitations: Vec::new(),
            blocked: BTreeMap::new(),
            bans: Vec::new(),
            removed: Vec::new(),
            glare_creates: Vec::new(),
            former: Vec::new(),
            kicked: Vec::new(),
            end: self.end.clone(),
            closed: self.closed,
        };
        to_json(&head)
    }

    /// The changes that make the rows of `before` the rows of this document, and the places of the rows after them.
    pub fn rows_since(&self, before: Option<(&Self, &Places)>) -> (DocumentRowChanges, Places) {
        let nowhere = Places::default();
        let (before, places) = before.unwrap_or((self, &nowhere));
        let mut work = Difference { places, now: Places::default(), changes: DocumentRowChanges::default() };
        work.list(MEMBER, &before.members, &self.members, |member| &member.user);
        work.list(INVITATION, &before.invitations, &self.invitations, |ring| &ring.id);
        work.list(BLOCKED, &pairs(&before.blocked), &pairs(&self.blocked), |(user, _)| user);
        work.list(BAN, &before.bans, &self.bans, |ban| ban);
        work.list(REMOVED, &before.removed, &self.removed, |removed| removed);
        work.list(SPENT, &before.glare_creates, &self.glare_creates, |create| create);
        work.list(FORMER, &before.former, &self.former, |former| &former.user);
        work.list(KICKED, &before.kicked, &self.kicked, |kicked| &kicked.user);
        (work.changes, work.now)
    }
}

fn pairs(blocked: &BTreeMap<UserName, Muted>) -> Vec<(UserName, Muted)> {
    blocked.iter().map(|(user, muted)| (user.clone(), *muted)).collect()
}

fn read<T: DeserializeOwned>(
    kind: &'static str,
    list: &mut impl Extend<T>,
    entry: &str,
) -> Result<&'static str, DocumentError> {
    list.extend([serde_json::from_str::<T>(entry)?]);
    Ok(kind)
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a document has string keys only")
}

struct Difference<'a> {
    places: &'a Places,
    now: Places,
    changes: DocumentRowChanges,
}

impl Difference<'_> {
    /// An entry keeps its place while the list keeps its order, and is written if it has changed. From where the order
    /// differs, entries get new places.
    fn list<T: PartialEq + Serialize, K: Hash + Eq + ?Sized>(
        &mut self,
        kind: &'static str,
        before: &[T],
        after: &[T],
        name: impl Fn(&T) -> &K,
    ) {
        let had = self.places.0.get(kind).map_or(&[][..], Vec::as_slice);
        let known: HashMap<&K, (u64, &T)> =
            before.iter().zip(had).map(|(entry, place)| (name(entry), (*place, entry))).collect();
        let mut next = had.last().map_or(1, |last| last + 1);
        let mut now: Vec<u64> = Vec::with_capacity(after.len());
        for entry in after {
            let last = now.last().copied().unwrap_or(0);
            let kept = known.get(name(entry)).filter(|(place, _)| *place > last);
            let place = kept.map_or(next, |(place, _)| *place);
            next = next.max(place + 1);
            if kept.is_none_or(|(_, was)| *was != entry) {
                self.changes.put.push(((kind, place), to_json(entry)));
            }
            now.push(place);
        }
        let kept: BTreeSet<u64> = now.iter().copied().collect();
        let gone = had.iter().filter(|place| !kept.contains(place));
        self.changes.gone.extend(gone.map(|place| (kind, *place)));
        if !now.is_empty() {
            self.now.0.insert(kind, now);
        }
    }
}
