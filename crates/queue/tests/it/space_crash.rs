//! Power cuts at every moment of a run whose log gives its space back: nothing that was answered is undone by what is
//! carried, and by what goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use commitlog::testing::{Everything, Fate, Nothing, Random, Trace};
use commitlog::{Fault, Options};
use queue::{Delivery, Engine, GroupOptions, Message, Queue, ReceiveRequest, TagFilter};

use crate::world::{World, by, group_name, owned, send_patiently, text, topic, topic_name, try_start};

const SEED: u64 = 20_261_129;
const MESSAGES: u64 = 400;
/// Sent after the start; both groups want it.
const NEW: u64 = 3 * MESSAGES;
/// Past so many hand-outs a message goes to the dead letters.
const ATTEMPTS_MAX: u32 = 3;
/// Group `picky` leaves out every message of another tag.
const GROUPS: [&str; 2] = ["all", "picky"];
const TAG: &str = "picked";

/// What was answered, as notes in the trace of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Noted {
    Sent { n: u64 },
    HandedOut { group: usize, n: u64, attempt: u64 },
    AckBegun { group: usize, n: u64 },
    Acked { group: usize, n: u64 },
}

impl Noted {
    fn encode(self) -> u64 {
        let (what, group, n, attempt) = match self {
            Self::Sent { n } => (0, 0, n, 0),
            Self::HandedOut { group, n, attempt } => (1, group, n, attempt),
            Self::AckBegun { group, n } => (2, group, n, 0),
            Self::Acked { group, n } => (3, group, n, 0),
        };
        ((n * 8 + attempt) * 2 + group as u64) * 4 + what
    }

    fn number(self) -> u64 {
        match self {
            Self::Sent { n } | Self::HandedOut { n, .. } | Self::AckBegun { n, .. } | Self::Acked { n, .. } => n,
        }
    }

    fn concerns(self, to: usize) -> bool {
        match self {
            Self::Sent { n } => to == 0 || is_picked(n),
            Self::HandedOut { group, .. } | Self::AckBegun { group, .. } | Self::Acked { group, .. } => group == to,
        }
    }

    fn decode(note: u64) -> Self {
        let (what, group, attempt, n) = (note % 4, (note / 4 % 2) as usize, note / 8 % 8, note / 64);
        match what {
            0 => Self::Sent { n },
            1 => Self::HandedOut { group, n, attempt },
            2 => Self::AckBegun { group, n },
            _ => Self::Acked { group, n },
        }
    }
}

fn tagged(n: u64) -> Message {
    let tag = if is_picked(n) { TAG } else { "other" };
    Message { tag: Some(tag.to_owned()), ..text(&format!("{n}/{}", "x".repeat(700))) }
}

fn is_picked(n: u64) -> bool {
    n.is_multiple_of(3)
}

fn number_of(delivery: &Delivery) -> u64 {
    String::from_utf8_lossy(&delivery.message.body).split('/').next().unwrap().parse().unwrap()
}

fn request(group: usize) -> ReceiveRequest {
    let filter = if group == 1 { TagFilter::Tags([TAG.to_owned()].into()) } else { TagFilter::All };
    ReceiveRequest { filter, ..by(GROUPS[group]) }
}

/// Sends, and acknowledges by chance, so that some messages come to the dead letters.
async fn run(options: Options) -> Trace {
    let is_sound = options.fault == Fault::None;
    let world = World::with(options).await;
    for (group, name) in GROUPS.iter().enumerate() {
        let options = GroupOptions { attempts_max: ATTEMPTS_MAX, ..GroupOptions::default() };
        world.engine.create_group(group_name(name), options).await.unwrap();
        world.engine.receive(request(group)).await.unwrap();
    }
    let mut random = Random::new(SEED);
    for n in 0..MESSAGES {
        send_patiently(&world.engine, &topic(), tagged(n)).await.unwrap();
        world.storage.note(Noted::Sent { n }.encode());
        if n.is_multiple_of(20) {
            // One may be under way.
            let _ = world.log.request_snapshot();
        }
        let group = random.below(GROUPS.len());
        for delivery in world.engine.receive(ReceiveRequest { invisible: SOON, ..request(group) }).await.unwrap() {
            take(&world, &mut random, group, delivery).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!is_sound || *world.log.segments().start() > 8, "no space came back");
    assert!(!is_sound || world.storage.content("snapshot").is_ok(), "no snapshot was written");
    world.storage.trace()
}

const SOON: Duration = Duration::from_millis(20);

async fn take(world: &World, random: &mut Random, group: usize, delivery: Delivery) {
    let n = number_of(&delivery);
    let note = |noted: Noted| world.storage.note(noted.encode());
    note(Noted::HandedOut { group, n, attempt: u64::from(delivery.attempt) });
    if random.below(3) > 0 {
        note(Noted::AckBegun { group, n });
        if world.engine.ack(delivery.receipt).await.is_ok() {
            note(Noted::Acked { group, n });
        }
    }
}

/// All that the engine still hands out, message and attempt.
async fn receive_all(engine: &Engine, request: &ReceiveRequest) -> Result<Vec<(u64, u32)>, String> {
    let mut all = Vec::new();
    loop {
        let deliveries = engine.receive(request.clone()).await.map_err(|error| error.to_string())?;
        if deliveries.is_empty() {
            return Ok(all);
        }
        all.extend(deliveries.iter().map(|delivery| (number_of(delivery), delivery.attempt)));
    }
}

async fn dead_letters(engine: &Engine, group: usize) -> Result<BTreeSet<u64>, String> {
    let topic = topic_name(&format!("%DLQ%{}", GROUPS[group]));
    if engine.describe(topic.clone()).await.is_err() {
        return Ok(BTreeSet::new());
    }
    // The log may be busy with its next segment.
    while engine.create_group(group_name("reader"), GroupOptions::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let letters = receive_all(engine, &ReceiveRequest { topic, ..by("reader") }).await?;
    Ok(letters.into_iter().map(|(n, _)| n).collect())
}

async fn check(trace: &Trace, at: usize, fate: &mut dyn Fate) -> Result<(), String> {
    let mut notes: Vec<Noted> = trace.notes_before(at).into_iter().map(Noted::decode).collect();
    // A hand-out is durable with what is answered after it.
    let last = notes.iter().rposition(|noted| matches!(noted, Noted::Sent { .. } | Noted::Acked { .. }));
    let mut index = 0;
    notes.retain(|noted| {
        index += 1;
        index <= last.unwrap_or(0) || !matches!(noted, Noted::HandedOut { .. })
    });
    if notes.is_empty() {
        // The topic and the groups need not be there yet.
        return Ok(());
    }
    let (_log, engine) = try_start(&trace.cut(at, fate), owned())?;
    // In the place of what is lost, if something is.
    send_patiently(&engine, &topic(), tagged(NEW)).await.map_err(|error| error.to_string())?;
    notes.push(Noted::Sent { n: NEW });
    for (group, name) in GROUPS.iter().enumerate() {
        let in_group = |what| format!("group {name}: {what}");
        let due = receive_all(&engine, &request(group)).await.map_err(in_group)?;
        let dead = dead_letters(&engine, group).await.map_err(in_group)?;
        check_group(group, &notes, &due, &dead).map_err(in_group)?;
    }
    Ok(())
}

fn check_group(group: usize, notes: &[Noted], due: &[(u64, u32)], dead: &BTreeSet<u64>) -> Result<(), String> {
    let attempts: BTreeMap<u64, u32> = due.iter().copied().collect();
    if attempts.len() < due.len() {
        return Err("a message is due twice".to_owned());
    }
    let is_over = |n| notes.contains(&Noted::AckBegun { group, n });
    for noted in notes.iter().filter(|noted| noted.concerns(group)) {
        let n = noted.number();
        let (now, is_dead) = (attempts.get(&n).copied(), dead.contains(&n));
        let is_there = now.is_some() || is_dead;
        let wrong = match *noted {
            Noted::Sent { .. } => !is_over(n) && !is_there,
            Noted::AckBegun { .. } => false,
            Noted::Acked { .. } => is_there,
            Noted::HandedOut { attempt, .. } => now.is_some_and(|now| u64::from(now) <= attempt),
        };
        if wrong {
            return Err(format!("{noted:?}, and now its attempt is {now:?}, and it is a dead letter: {is_dead}"));
        }
    }
    let new = due.iter().filter(|(_, attempt)| *attempt == 1).map(|(n, _)| n);
    if new.is_sorted() { Ok(()) } else { Err(format!("not in order: {due:?}")) }
}

/// The first moment at which something is wrong, and what.
async fn find_wrong(trace: &Trace) -> Option<String> {
    for at in (0..=trace.ops().len()).step_by(2) {
        let mut random = Random::new(SEED + at as u64);
        let fates: [&mut dyn Fate; 3] = [&mut Nothing, &mut Everything, &mut random];
        let fate = fates.into_iter().nth(at % 3).unwrap();
        if let Err(what) = check(trace, at, fate).await {
            return Some(format!("moment {at}: {what}"));
        }
    }
    None
}

#[tokio::test]
async fn at_no_moment_is_anything_lost_or_repeated_by_what_is_carried() {
    let trace = run(owned()).await;
    assert_eq!(find_wrong(&trace).await, None);
}

/// Seeded bugs of the log. What each does first depends on where the segments end: something is lost, or comes back, or the
/// log cannot be opened.
/// What the engine's own thread carries, and when, is another one in each run: one of some finds it.
const RUNS_MAX: usize = 5;
const BUGS: [Fault; 4] = [Fault::ForgetsCopies, Fault::CopiesLate, Fault::BeginsEarly, Fault::VacatesUnasked];

#[tokio::test]
async fn each_seeded_bug_of_carry_and_reclaim_is_found() {
    for fault in BUGS {
        let mut found = None;
        for _ in 0..RUNS_MAX {
            if found.is_none() {
                found = find_wrong(&run(Options { fault, ..owned() }).await).await;
            }
        }
        println!("{fault:?}: {found:?}");
        assert!(found.is_some(), "{fault:?}");
    }
}
