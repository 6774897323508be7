//! Bounds of the memory of inboxes, counted by the allocator of the tests: what this thread allocated and has not freed.
#![expect(unsafe_code, reason = "an allocator that counts is a GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static CHUNKS: Cell<usize> = const { Cell::new(0) };
    static MOST_CHUNKS: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get().wrapping_add(layout.size()));
        ALLOCATIONS.set(ALLOCATIONS.get().wrapping_add(1));
        CHUNKS.set(CHUNKS.get().wrapping_add(chunk(layout)));
        MOST_CHUNKS.set(MOST_CHUNKS.get().max(CHUNKS.get()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.set(ALLOCATED.get().wrapping_sub(layout.size()));
        CHUNKS.set(CHUNKS.get().wrapping_sub(chunk(layout)));
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
    CHUNKS.get()
}

/// What `work` leaves on this thread, and the most that it held meanwhile.
pub(crate) fn left_and_most<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = held();
    MOST_CHUNKS.set(before);
    let done = work();
    (done, held().wrapping_sub(before), MOST_CHUNKS.get().wrapping_sub(before))
}

/// How often `work` allocates on this thread, and the most that it holds meanwhile.
pub(crate) fn allocations_and_most<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = ALLOCATIONS.get();
    let (done, _, most) = left_and_most(work);
    (done, ALLOCATIONS.get().wrapping_sub(before), most)
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
    let before = ALLOCATED.get();
    all.extend((0..inboxes).map(|_| fill(messages, key)));
    let bytes = ALLOCATED.get().wrapping_sub(before);
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
    let before = ALLOCATED.get();
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
    let held = ALLOCATED.get().wrapping_sub(before);
    assert!(held <= 128, "{held} bytes");
    inbox.sweep(Over::by(100));
    assert_eq!(ALLOCATED.get().wrapping_sub(before), 0);
}
