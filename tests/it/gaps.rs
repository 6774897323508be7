//! The demo's call with a SIGKILL in every gap between two of its lines: the outcome is always the same.

use crate::support::program;
use anyhow::{Context, Result};
use demo::{Gap, Kill, Run, Script, Stage, Timeline, Victim};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Scripts at a time; each is mostly waiting.
const PARALLEL: usize = 3;

fn play(folder: &Path, kill: Option<Kill>, media: bool) -> Result<Run> {
    let runtime = tokio::runtime::Runtime::new()?;
    let stage = Stage::new(folder, &program()?, &["meeting.reach_s=120", "meeting.ring_s=120"])?;
    let mut timeline = Timeline::silent();
    let script = Script::new(stage, &mut timeline);
    let script = if media { script } else { script.without_media() };
    let script = if let Some(kill) = kill { script.with_kill(kill) } else { script };
    runtime.block_on(script.play())
}

/// Plays with a kill in each of the gaps, some at a time, and answers the runs in the order of the gaps.
fn play_all(victim: Victim, gaps: &[usize]) -> Vec<(usize, Result<Run>)> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut runs = Vec::new();
        while let Some(gap) = gaps.get(next.fetch_add(1, Ordering::Relaxed)) {
            let folder = tempfile::tempdir().expect("temporary folder");
            let run = play(folder.path(), Some(Kill { victim, gap: Gap::Lines(*gap) }), false);
            let run = run.with_context(|| format!("{victim:?} killed in gap {gap}"));
            if run.is_err() {
                println!("logs of gap {gap} are kept in {}", folder.keep().display());
            }
            runs.push((*gap, run));
        }
        runs
    };
    let mut runs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a script does not panic")).collect()
    });
    runs.sort_by_key(|(gap, _)| *gap);
    runs
}

fn assert_same_outcome(victim: Victim) {
    let whole = whole();
    // After the last line there is nothing left to go wrong.
    let gaps: Vec<usize> = (1..whole.victims.len()).filter(|gap| whole.victims[gap - 1].contains(&victim)).collect();
    assert!(gaps.len() >= 10, "{victim:?} can be killed in {} gaps only", gaps.len());
    let failures: Vec<String> =
        play_all(victim, &gaps).into_iter().filter_map(|(gap, run)| difference(victim, gap, run, &whole)).collect();
    assert!(failures.is_empty(), "{} of {} gaps:\n{}", failures.len(), gaps.len(), failures.join("\n"));
}

fn difference(victim: Victim, gap: usize, run: Result<Run>, whole: &Run) -> Option<String> {
    match run {
        Err(error) => Some(format!("{error:#}")),
        Ok(run) if !run.killed => Some(format!("the kill in gap {gap} did not happen")),
        Ok(run) => {
            let mut outcome = run.outcome;
            if victim == Victim::Callee {
                // Or it learnt it from its state, after a kill behind the acknowledgement.
                outcome.ended.entry("bob".into()).or_insert_with(|| whole.outcome.ended["bob"].clone());
            }
            (outcome != whole.outcome).then(|| format!("gap {gap}: {outcome:?}, not {:?}", whole.outcome))
        }
    }
}

fn whole() -> Run {
    let folder = tempfile::tempdir().expect("temporary folder");
    let run = play(folder.path(), None, false).unwrap_or_else(|error| panic!("without any kill: {error:#}"));
    assert_eq!(run.outcome.rings["bob"], [1], "Bob's terminal rings once, for the first call only");
    assert_eq!(run.outcome.rings["carol"], [1]);
    assert_eq!(run.outcome.missed["bob"], 1);
    let ended: Vec<_> = run.outcome.ended.iter().map(|(who, how)| (who.as_str(), how.as_str())).collect();
    let by_alice = r#"{"by":"alice","reason":"destroyed"}"#;
    assert_eq!(ended, [("alice", by_alice), ("bob", by_alice), ("carol", by_alice)]);
    run
}

#[test]
fn a_server_killed_in_any_gap_changes_nothing() {
    assert_same_outcome(Victim::Server);
}

#[test]
fn a_callee_killed_in_any_gap_changes_nothing() {
    assert_same_outcome(Victim::Callee);
}

#[test]
fn with_media_a_server_killed_in_mid_call_is_survived() {
    with_media(Victim::Server);
}

#[test]
fn with_media_a_callee_killed_in_mid_call_is_survived() {
    with_media(Victim::Callee);
}

fn with_media(victim: Victim) {
    let gap = Gap::After("is told that he accepted");
    let folder = tempfile::tempdir().expect("temporary folder");
    let run = play(folder.path(), Some(Kill { victim, gap }), true).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(run.killed, "the script has no such line");
    assert_eq!((run.outcome.rings["bob"].as_slice(), run.outcome.missed["bob"]), ([1].as_slice(), 1));
}
