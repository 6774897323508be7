//! Consumer groups by name: their ids and their options. Pure.

use std::collections::HashMap;

use commitlog::Position;

use super::definitions::{Defined, Said};
use crate::ids::GroupId;
use crate::message::GroupOptions;
use crate::names::GroupName;
use crate::records::encode_group;

#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_id: HashMap<GroupId, ConsumerGroup>,
    id_by_name: HashMap<GroupName, GroupId>,
}

#[derive(Clone, Debug)]
pub(super) struct ConsumerGroup {
    pub(super) name: GroupName,
    pub(super) options: GroupOptions,
    options_set_by: GroupId,
}

impl Groups {
    pub(crate) fn id(&self, name: &GroupName) -> Option<GroupId> {
        self.id_by_name.get(name).copied()
    }

    pub(crate) fn options(&self, id: GroupId) -> Option<GroupOptions> {
        self.by_id.get(&id).map(|group| group.options)
    }

    /// In no order.
    pub(crate) fn all(&self) -> Vec<(GroupName, GroupOptions)> {
        self.by_id.values().map(|group| (group.name.clone(), group.options)).collect()
    }

    pub(super) fn group(&self, id: GroupId) -> Option<&ConsumerGroup> {
        self.by_id.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Creates the group, or changes the options of the one with that name; `id` is of the record that says so. The first
    /// record of the name gives the group its id and the last one its options, in whatever order they are applied.
    pub(crate) fn set(&mut self, id: GroupId, name: GroupName, options: GroupOptions) {
        let known = self.id_by_name.get(&name).copied();
        let group = match known.and_then(|known| self.by_id.remove(&known)) {
            Some(newer) if newer.options_set_by > id => newer,
            _ => ConsumerGroup { name: name.clone(), options, options_set_by: id },
        };
        let id = known.map_or(id, |known| known.min(id));
        self.id_by_name.insert(name, id);
        self.by_id.insert(id, group);
    }

    /// Has what the other ones know of this group from now on, too.
    pub(super) fn copy(&mut self, id: GroupId, others: &Self) {
        if let Some(group) = others.by_id.get(&id) {
            self.id_by_name.insert(group.name.clone(), id);
            self.by_id.insert(id, group.clone());
        }
    }

    /// The records that define them, by name. A group has its id from its first record and its options from its last one.
    pub(crate) fn definitions(&self) -> Vec<(Position, Defined)> {
        let groups = self.by_id.iter().flat_map(|(id, group)| {
            let options = Some(group.options_set_by).filter(|by| by != id);
            [Some(*id), options].into_iter().flatten().map(|name| (Position(name.0), Defined::Group(*id)))
        });
        groups.collect()
    }

    /// The record of this name, as it would be written now. `None` too: it is not of a group.
    pub(crate) fn define(&self, name: Position, defined: Defined) -> Option<Said> {
        let Defined::Group(id) = defined else { return None };
        let group = self.by_id.get(&id)?;
        let (kind, payload) = encode_group(group.options, group.name.as_str());
        Some(Said { kind, owner: 0, name: Some(name), payload })
    }
}
