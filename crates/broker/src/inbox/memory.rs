//! Bounds of the memory of inboxes, counted by the allocator of the tests: what this thread allocated and has not freed.
#![expect(unsafe_code, reason = "an allocator that counts is a GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { allocations: 0, allocated: 0, chunks: 0, most_chunks: 0 }) };
}

/// Of a thread: what it frees of another one's counts below zero, and wraps.
#[derive(Clone, Copy)]
struct Counts {
    allocations: usize,
    allocated: usize,
    chunks: usize,
    most_chunks: usize,
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut counts = COUNTS.get();
        counts.allocations = counts.allocations.wrapping_add(1);
        counts.allocated = counts.allocated.wrapping_add(layout.size());
        counts.chunks = counts.chunks.wrapping_add(chunk(layout));
        if counts.chunks > counts.most_chunks {
            counts.most_chunks = counts.chunks;
        }
        COUNTS.set(counts);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let mut counts = COUNTS.get();
        counts.allocated = counts.allocated.wrapping_sub(layout.size());
        counts.chunks = counts.chunks.wrapping_sub(chunk(layout));
        COUNTS.set(counts);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What an allocator like that of glibc takes for it: a word more, in steps of 16 bytes.
fn chunk(layout: Layout) -> usize {
    (layout.size() + size_of::<usize>()).next_multiple_of(16).max(32)
}

/// What this thread holds, with what the allocator adds.
pub(crate) fn held() -> usize {
    COUNTS.get().chunks
}

/// What `work` leaves on this thread, and the most that it held meanwhile.
pub(crate) fn left_and_most<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = held();
    COUNTS.set(Counts { most_chunks: before, ..COUNTS.get() });
    let done = work();
    (done, held().wrapping_sub(before), COUNTS.get().most_chunks.wrapping_sub(before))
}

/// How often `work` allocates on this thread, and the most that it holds meanwhile.
pub(crate) fn allocations_and_most<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = COUNTS.get().allocations;
    let (done, _, most) = left_and_most(work);
    (done, COUNTS.get().allocations.wrapping_sub(before), most)
}

const LIMITS: InboxLimits = InboxLimits {
    messages_max: 20_000,
    bytes_max: u64::MAX,
    session: SessionLimits { send_window: 32, kept_for_normal: 0, waiting_max: u32::MAX, subscriptions_max: 1 },
};

fn fill(messages: u64, key: Option<&dyn Fn(u64) -> String>) -> Inbox {
    let mut inbox = Inbox::new(&LIMITS);
    for at in 0..messages {
        let collapse = key.map(|key| Box::new(Collapse { key: key(at).into(), version: 1 }));
        let subscription_ids = Box::default();
        let entry = Entry { message: None, size: 1, expires_at_ms: 10, collapse, subscription_ids, urgent: false };
        inbox.insert(EntryId::logged(Position(at)), entry, None);
    }
    inbox
}

/// The inboxes, and the bytes of each of their messages.
fn bytes_each(inboxes: u64, messages: u64, key: Option<&dyn Fn(u64) -> String>) -> (Vec<Inbox>, usize) {
    let mut all = Vec::with_capacity(usize::try_from(inboxes).unwrap_or(0));
    let before = COUNTS.get().allocated;
    all.extend((0..inboxes).map(|_| fill(messages, key)));
    let bytes = COUNTS.get().allocated.wrapping_sub(before);
    (all, bytes.div_ceil(usize::try_from(inboxes * messages).unwrap_or(1)))
}

#[test]
fn a_message_that_waits_costs_at_most_48_bytes() {
    for (inboxes, messages) in [(10_000, 100), (1, 10_000), (100, 33), (100, 65), (10, 1_025)] {
        let (_inboxes, bytes) = bytes_each(inboxes, messages, None);
        assert!(bytes <= 48, "{bytes} bytes for each of {messages} messages");
        println!("{inboxes} inboxes of {messages}: {bytes} bytes for each message");
    }
}

#[test]
fn a_message_that_waits_with_a_short_collapse_key_costs_at_most_96_bytes() {
    for (inboxes, messages) in [(10_000, 100), (1, 4_000), (1, 10_000), (100, 33), (100, 65), (10, 1_025)] {
        let (_inboxes, bytes) = bytes_each(inboxes, messages, Some(&|at| format!("{at:04}")));
        assert!(bytes <= 96, "{bytes} bytes for each of {messages} messages");
        println!("{inboxes} inboxes of {messages}: {bytes} bytes for each message with a key");
    }
}

#[test]
fn an_inbox_that_is_empty_again_holds_only_its_live_collapse_keys() {
    let before = COUNTS.get().allocated;
    let mut inbox = fill(1_000, None);
    let collapse = Some(Box::new(Collapse { key: "ring".into(), version: 1 }));
    let subscription_ids = Box::default();
    let entry = Entry { message: None, size: 1, expires_at_ms: 100, collapse, subscription_ids, urgent: false };
    inbox.insert(EntryId::logged(Position(5_000)), entry, None);
    inbox.session.connected(32);
    let mut out = Vec::new();
    while let Some(next) = inbox.hand_out(Over::by(0), &mut Vec::new()) {
        out.push(next.packet_id);
        if out.len() == 32 {
            out.drain(..).for_each(|packet_id| assert!(inbox.ack(packet_id).is_some()));
        }
    }
    out.drain(..).for_each(|packet_id| assert!(inbox.ack(packet_id).is_some()));
    drop(out);
    assert!(inbox.is_empty());
    inbox.session.disconnected();
    let held = COUNTS.get().allocated.wrapping_sub(before);
    assert!(held <= 128, "{held} bytes");
    inbox.sweep(Over::by(100));
    assert_eq!(COUNTS.get().allocated.wrapping_sub(before), 0);
}
