//! Records that are left out of a replay, or shown with less in them. Kinds and payloads: docs/disk.md.

use crate::config::ReplayFault;
use tracing::warn;

const REFERENCE: u8 = 0x41;
const REMOVED: u8 = 0x42;
const HANDED_OUT: u8 = 0x43;
const SESSION: u8 = 0x44;
const CLOSED: u8 = 0x49;
/// What a carry or a snapshot says again.
const COLLAPSED: u8 = 0x4e;
const IN_FLIGHT: u8 = 0x4f;
const SESSION_STATE: u8 = 0x50;
/// Of the references one in so many is forgotten.
const FORGOTTEN_ONE_IN: u64 = 20;
const COLLAPSES: u8 = 4;
const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;

pub(super) enum Change {
    None,
    /// The record is not shown.
    Left,
    Payload(Vec<u8>),
}

pub(super) struct Forgetting {
    fault: ReplayFault,
    references: u64,
    has_struck: bool,
}

impl Forgetting {
    pub(super) fn new(fault: ReplayFault) -> Self {
        Self { fault, references: 0, has_struck: false }
    }

    pub(super) fn change(&mut self, kind: u8, payload: &[u8]) -> Change {
        let change = self.find(kind, payload);
        if !matches!(change, Change::None) && !self.has_struck {
            self.has_struck = true;
            warn!(fault = ?self.fault, "a seeded bug has struck");
        }
        change
    }

    fn find(&mut self, kind: u8, payload: &[u8]) -> Change {
        let change = |changed: Option<Vec<u8>>| changed.map_or(Change::None, Change::Payload);
        match (self.fault, kind) {
            (ReplayFault::ForgetsAcks, REMOVED)
            | (ReplayFault::ForgetsCollapseKeys, COLLAPSED)
            | (ReplayFault::ForgetsDisconnects, CLOSED)
            | (ReplayFault::ForgetsPacketIds, HANDED_OUT | IN_FLIGHT)
            | (ReplayFault::ForgetsSessions, SESSION | SESSION_STATE) => Change::Left,
            (ReplayFault::ForgetsDisconnects, SESSION_STATE) => change(without_disconnect(payload)),
            (ReplayFault::ForgetsMessages, REFERENCE) => self.forget_some(),
            (ReplayFault::ForgetsPacketIds, REFERENCE) => change(without_packet_id(payload)),
            (ReplayFault::ForgetsCollapseKeys, REFERENCE) => change(without_collapse_key(payload)),
            (ReplayFault::ForgetsExpiries, REFERENCE) => change(expiring_later(payload)),
            _ => Change::None,
        }
    }

    fn forget_some(&mut self) -> Change {
        self.references += 1;
        if self.references.is_multiple_of(FORGOTTEN_ONE_IN) { Change::Left } else { Change::None }
    }
}

/// A reference behind its client id: position u64, packet id u16, flags u8, size u32, expires_at_ms u64, collapse.
const PACKET_ID: usize = 8;
const FLAGS: usize = 10;
const EXPIRES_AT: usize = 15;
const COLLAPSE: usize = 23;

fn without_packet_id(payload: &[u8]) -> Option<Vec<u8>> {
    let at = behind_text(payload, 0)? + PACKET_ID;
    let id = payload.get(at..at + 2)?;
    let mut changed = payload.to_vec();
    changed[at..at + 2].fill(0);
    (id != [0, 0]).then_some(changed)
}

fn without_collapse_key(payload: &[u8]) -> Option<Vec<u8>> {
    let start = behind_text(payload, 0)?;
    let collapses = payload.get(start + FLAGS)? & COLLAPSES != 0;
    let version = behind_text(payload, start + COLLAPSE).filter(|_| collapses)?;
    let mut changed = payload.get(..start + COLLAPSE)?.to_vec();
    changed[start + FLAGS] &= !COLLAPSES;
    changed.extend(payload.get(version + 8..)?);
    Some(changed)
}

fn expiring_later(payload: &[u8]) -> Option<Vec<u8>> {
    let at = behind_text(payload, 0)? + EXPIRES_AT;
    let expires_at_ms = u64::from_le_bytes(payload.get(at..at + 8)?.try_into().ok()?);
    let mut changed = payload.to_vec();
    changed[at..at + 8].copy_from_slice(&expires_at_ms.saturating_add(MONTH_MS).to_le_bytes());
    Some(changed)
}

/// A state of a session ends with disconnected_ms u64, 0: it is connected.
fn without_disconnect(payload: &[u8]) -> Option<Vec<u8>> {
    let (before, disconnected_ms) = payload.split_last_chunk::<8>()?;
    (*disconnected_ms != [0; 8]).then(|| [before, &[0; 8]].concat())
}

/// Where the text ends that begins there.
fn behind_text(payload: &[u8], at: usize) -> Option<usize> {
    let length = payload.get(at..at + 2)?;
    Some(at + 2 + usize::from(u16::from_le_bytes([length[0], length[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(flags: u8, collapse: &[u8]) -> Vec<u8> {
        let fixed = [&[1, 0, b'c'][..], &[9; 8], &[5, 0], &[flags], &[1, 0, 0, 0], &7_u64.to_le_bytes()].concat();
        [&fixed, collapse, &[8, 8, 8, 8]].concat()
    }

    fn changed(fault: ReplayFault, payload: &[u8]) -> Option<Vec<u8>> {
        match Forgetting::new(fault).change(REFERENCE, payload) {
            Change::Payload(payload) => Some(payload),
            Change::None | Change::Left => None,
        }
    }

    #[test]
    fn a_state_of_a_session_loses_when_it_was_disconnected() {
        assert_eq!(without_disconnect(&[&[7; 20][..], &[1; 8]].concat()), Some([&[7; 20][..], &[0; 8]].concat()));
        assert_eq!(without_disconnect(&[&[7; 20][..], &[0; 8]].concat()), None);
    }

    #[test]
    fn a_reference_loses_what_is_to_be_forgotten_and_nothing_else() {
        let collapse = [&[1, 0, b'k'][..], &3_u64.to_le_bytes()].concat();
        let whole = reference(1 | COLLAPSES, &collapse);
        assert_eq!(changed(ReplayFault::ForgetsCollapseKeys, &whole), Some(reference(1, &[])));
        assert_eq!(changed(ReplayFault::ForgetsCollapseKeys, &reference(1, &[])), None);

        let later = changed(ReplayFault::ForgetsExpiries, &whole).expect("every reference expires");
        assert_eq!(later[18..26], (7 + MONTH_MS).to_le_bytes());
        let unsent = changed(ReplayFault::ForgetsPacketIds, &whole).expect("it was handed out");
        assert_eq!((&unsent[..11], &unsent[11..13], &unsent[13..]), (&whole[..11], &[0, 0][..], &whole[13..]));
    }
}
