//! Bounds of the memory that messages take which wait, counted by the allocator of the tests: what this thread allocated and
//! has not freed.

#![expect(unsafe_code, reason = "an allocator that counts is a GlobalAlloc")]
#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;
use crate::limits::RECEIVE_BYTES_MAX;
use crate::message::TagFilter;
use crate::records::GroupKey;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// What it frees of another one's counts below zero, and wraps.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get().wrapping_add(chunk(layout)));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(chunk(layout)));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What an allocator like that of glibc takes for it: a word more, in steps of 16 bytes.
fn chunk(layout: Layout) -> usize {
    (layout.size() + size_of::<usize>()).next_multiple_of(16).max(32)
}

const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(2);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(3);
const MESSAGES: u64 = 200_000;
const DELAYED_BYTES_MAX: usize = 96;
const FIFO_BYTES_MAX: usize = 72;

fn core(topic_type: TopicType) -> Core {
    let mut core = Core::default();
    core.add_topic(TOPIC, TopicName::parse("topic").unwrap(), topic_type);
    core.set_group(GROUP, GroupName::parse("group").unwrap(), GroupOptions::default());
    core.subscribe(SUBSCRIPTION, GROUP, TOPIC);
    core
}

/// Returns what each of them takes.
fn add_all(core: &mut Core, message: impl Fn(u64) -> (IndexEntry, Place)) -> usize {
    let before = HELD.get();
    for n in 0..MESSAGES {
        core.add_message(TOPIC, Position(n * 1100), message(n));
    }
    HELD.get().wrapping_sub(before).div_ceil(usize::try_from(MESSAGES).unwrap())
}

#[test]
fn a_delayed_message_that_waits_takes_little() {
    let mut core = core(TopicType::Delay);
    // Their times are in no order.
    let due = |n: u64| WallMs(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
    let bytes = add_all(&mut core, |n| (IndexEntry::new(None, 1000, due(n), None), Place::Due(due(n))));
    println!("a delayed message takes {bytes} bytes");
    assert!(bytes <= DELAYED_BYTES_MAX, "{bytes}");
}

#[test]
fn a_message_of_a_group_that_waits_takes_little_parked_or_not() {
    let mut core = core(TopicType::Fifo);
    let before = HELD.get();
    let group = |n: u64| Some(GroupKey::of(&format!("group {}", n % 100)));
    let bytes = add_all(&mut core, |n| (IndexEntry::new(None, 1000, WallMs(1), group(n)), Place::Own));
    let request = PickRequest {
        filter: &TagFilter::All,
        max: 1000,
        bytes_max: RECEIVE_BYTES_MAX,
        invisible: Duration::from_secs(10),
        attempts_max: 3,
        is_fifo: true,
        now: Now::default(),
    };
    while core.pick(SUBSCRIPTION, &request).more {}
    let parked = HELD.get().wrapping_sub(before).div_ceil(usize::try_from(MESSAGES).unwrap());
    println!("a message of a group takes {bytes} bytes, one that is parked {parked}");
    assert!(parked > bytes + 8, "{parked} against {bytes}: they are not parked");
    assert!(bytes <= FIFO_BYTES_MAX && parked <= FIFO_BYTES_MAX, "{bytes}, parked {parked}");
}
