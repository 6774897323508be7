//! Watchers: terminals that show who of their contacts is there. How late is a change at them, and what does it cost?
//!
//! All users of an instance are each other's contacts, so every watcher has the same 200: a change of one of them is
//! news for all. A few of these change, the *subjects*; the others only watch.

use crate::crowd::{Crowd, Happened, Seen};
use crate::figures::Latencies;
use crate::usage::{Quiet, Usage};
use anyhow::{Context, Result, ensure};
use demo::Stage;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const WATCH_S: u64 = 120;
/// A watch is asked for again so often.
const RENEW_EVERY: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 200;
const QUIET_WITHIN: Duration = Duration::from_secs(240);
/// Connections that are cut for good when all the others come back.
const STAY_AWAY: usize = 2;
/// So long what comes is counted when all come back.
const STORM: Duration = Duration::from_secs(30);
/// After that a change that did not come counts as not seen.
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// Without changes, to see what watching itself costs.
const IDLE: Duration = Duration::from_secs(15);
const TURN: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) watchers: usize,
    /// Users who go and come back, one after the other.
    pub(crate) changes: usize,
    /// Each watcher asks for its contacts so often, instead of being told.
    pub(crate) poll: Option<Duration>,
}

pub(crate) fn measure(folder: &Path, program: &Path, plan: Plan) -> Result<()> {
    ensure!(plan.changes + STAY_AWAY <= 100 && plan.changes + STAY_AWAY < plan.watchers, "too few watchers");
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let users: Vec<String> = (0..plan.watchers).map(|n| format!("user-{n:05}")).collect();
    // Sorted by name the subjects are among the first 200 of every watcher.
    let mut watching = Watching::new(Crowd::register(&runtime, &stage, &users)?, plan);
    watching.crowd.connect_all(AT_ONCE)?;
    watching.receive_until_quiet(&stage)?;
    watching.everybody_asks(&stage)?;
    match plan.poll {
        Some(every) => println!("presence, {} watchers that ask every {} s", plan.watchers, every.as_secs()),
        None => println!("presence, {} watchers that are told", plan.watchers),
    }
    watching.idle(&stage)?;
    watching.changes(&stage)?;
    watching.storm(&stage)?;
    runtime.block_on(stage.stop_server())?;
    Ok(())
}

struct Watching {
    crowd: Crowd,
    plan: Plan,
    began: Instant,
    /// How many questions for contacts have been sent by all in turn.
    asked: u64,
    watchers: Vec<Watcher>,
    counts: Counts,
    change: Option<Change>,
}

/// What one watcher was told last of each subject.
#[derive(Clone, Default)]
struct Watcher {
    subjects: Vec<Option<bool>>,
    last_news: Option<Instant>,
    /// News that came within this second.
    in_a_second: u32,
}

#[derive(Clone, Default)]
struct Counts {
    answers: u64,
    news: u64,
    news_users: u64,
    news_in_a_second_max: u32,
    refused: u64,
    lost: u64,
    lost_because: String,
    /// Messages about presence and their bytes.
    bytes: u64,
}

/// What all watchers are to learn.
struct Change {
    subject: usize,
    online: bool,
    at: Instant,
    seen: Vec<bool>,
    latencies: Latencies,
}

impl Watching {
    fn new(crowd: Crowd, plan: Plan) -> Self {
        let watcher = Watcher { subjects: vec![None; plan.changes + STAY_AWAY], ..Watcher::default() };
        Self {
            watchers: vec![watcher; crowd.len()],
            crowd,
            plan,
            began: Instant::now(),
            asked: 0,
            counts: Counts::default(),
            change: None,
        }
    }

    /// Takes what comes until the server writes nothing more.
    fn receive_until_quiet(&mut self, stage: &Stage) -> Result<()> {
        let (mut quiet, began) = (Quiet::of(stage)?, Instant::now());
        while !quiet.is_quiet()? && began.elapsed() < QUIET_WITHIN {
            self.take_all()?;
        }
        Ok(())
    }

    fn ask(&mut self, who: usize) -> Result<()> {
        let watch_s = if self.plan.poll.is_some() { 0 } else { WATCH_S };
        self.crowd.send(who, "contacts", None, json!({ "watch_s": watch_s }))
    }

    /// Each has its contacts once before anything is measured.
    fn everybody_asks(&mut self, stage: &Stage) -> Result<()> {
        let mut next = 0;
        while next < self.crowd.len() {
            for _ in 0..AT_ONCE.min(self.crowd.len() - next) {
                self.ask(next)?;
                next += 1;
            }
            let (wanted, began) = (next as u64, Instant::now());
            while self.counts.answers < wanted {
                self.take_all()?;
                ensure!(began.elapsed() < QUIET_WITHIN, "{} of {wanted} got their contacts", self.counts.answers);
            }
        }
        self.receive_until_quiet(stage)?;
        self.began = Instant::now();
        Ok(())
    }

    /// Asks for whom it is time: all in turn, evenly.
    fn keep_asking(&mut self) -> Result<()> {
        let every = self.plan.poll.unwrap_or(RENEW_EVERY);
        let due = self.began.elapsed().as_secs_f64() / every.as_secs_f64() * self.crowd.len() as f64;
        while self.asked < due as u64 {
            let who = (self.asked % self.crowd.len() as u64) as usize;
            self.asked += 1;
            if self.crowd.is_connected(who) {
                self.ask(who)?;
            }
        }
        Ok(())
    }

    /// Goes on until `end` says so, at most `within`.
    fn go_on(&mut self, within: Duration, end: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        while !end(self) && began.elapsed() < within {
            self.keep_asking()?;
            self.take_all()?;
        }
        Ok(())
    }

    fn idle(&mut self, stage: &Stage) -> Result<()> {
        let (before, counts, began) = (Usage::of(stage)?, self.counts.clone(), Instant::now());
        self.go_on(IDLE, |_| false)?;
        self.describe("nothing changes", stage, &before, &counts, began)
    }

    /// Each subject goes and comes back.
    fn changes(&mut self, stage: &Stage) -> Result<()> {
        let (before, counts, began) = (Usage::of(stage)?, self.counts.clone(), Instant::now());
        let (mut gone, mut back, mut unseen) = (Latencies::default(), Latencies::default(), 0);
        for subject in 0..self.plan.changes {
            self.crowd.cut(subject);
            unseen += self.follow(subject, false, Instant::now(), &mut gone)?;
            let at = Instant::now();
            self.crowd.connect(subject)?;
            unseen += self.follow(subject, true, at, &mut back)?;
        }
        self.describe(&format!("{} users go and come back", self.plan.changes), stage, &before, &counts, began)?;
        println!("    gone: {}", gone.describe());
        println!("    back: {}", back.describe());
        println!("    not seen in time: {unseen}");
        let (gone, back) = (gone.percentile_ms(0.99), back.percentile_ms(0.99));
        let met = unseen == 0 && back <= 2_000.0 && gone <= 5_000.0;
        println!("    bar: back within 2 s, gone within 3 + 2 s; here {}", if met { "met" } else { "missed" });
        Ok(())
    }

    /// Returns how many watchers did not see it.
    fn follow(&mut self, subject: usize, online: bool, at: Instant, latencies: &mut Latencies) -> Result<usize> {
        self.expect(subject, online, at);
        let within = SEEN_WITHIN + self.plan.poll.unwrap_or_default() * 2;
        self.go_on(within, |all| all.change.as_ref().is_none_or(|change| change.latencies.count() == change.wanted()))?;
        let Some(change) = self.change.take() else { return Ok(0) };
        let unseen = change.wanted() - change.latencies.count();
        latencies.extend(change.latencies);
        Ok(unseen)
    }

    fn expect(&mut self, subject: usize, online: bool, at: Instant) {
        let seen = vec![false; self.crowd.len()];
        self.change = Some(Change { subject, online, at, seen, latencies: Latencies::default() });
    }

    /// All lose their connections at once, all but two come back at once.
    fn storm(&mut self, stage: &Stage) -> Result<()> {
        let (before, counts, began) = (Usage::of(stage)?, self.counts.clone(), Instant::now());
        (0..self.crowd.len()).for_each(|who| self.crowd.cut(who));
        let away = self.plan.changes..self.plan.changes + STAY_AWAY;
        for who in (0..self.crowd.len()).filter(|who| !away.contains(who)) {
            self.crowd.connect(who)?;
        }
        self.began = Instant::now();
        self.asked = 0;
        self.expect(away.start, false, began);
        self.go_on(STORM, |_| false)?;
        self.describe("all reconnect, two stay away", stage, &before, &counts, began)?;
        let change = self.change.take().context("a change is followed")?;
        let (wanted, mut latencies) = (change.wanted() - STAY_AWAY + 1, change.latencies);
        println!(
            "    gone: {}, not seen within {} s: {}",
            latencies.describe(),
            STORM.as_secs(),
            wanted - latencies.count()
        );
        self.receive_last_answers(stage)?;
        println!("    watchers with a wrong last word: {}", self.last_words());
        Ok(())
    }

    fn receive_last_answers(&mut self, stage: &Stage) -> Result<()> {
        let within = self.plan.poll.map_or(Duration::from_secs(5), |every| every * 2);
        self.go_on(within, |_| false)?;
        if self.plan.poll.is_some() { self.receive_until_quiet(stage) } else { Ok(()) }
    }

    /// For each subject: whether it is connected, how many watchers were told otherwise or nothing.
    fn last_words(&self) -> String {
        let subject = |subject: usize| {
            let is_there = self.crowd.is_connected(subject);
            let others =
                self.watchers.iter().enumerate().filter(|(who, _)| *who != subject && self.crowd.is_connected(*who));
            let wrong = others.filter(|(_, watcher)| watcher.subjects[subject] != Some(is_there)).count();
            format!("{wrong} of one that is {}", if is_there { "there" } else { "gone" })
        };
        (0..self.plan.changes + STAY_AWAY).map(subject).collect::<Vec<_>>().join(", ")
    }

    fn describe(&self, what: &str, stage: &Stage, before: &Usage, counts: &Counts, began: Instant) -> Result<()> {
        let (seconds, now) = (began.elapsed().as_secs_f64(), &self.counts);
        let (answers, news) = (now.answers - counts.answers, now.news - counts.news);
        println!("  {what}, for {seconds:.0} s");
        println!("    {}", Usage::of(stage)?.since(before).describe());
        println!(
            "    {:.1} MB to the watchers: {answers} answers, {news} messages of news about {} users, \
             {:.3} a watcher and second, at most {} within a second; {} refused, {} connections lost",
            (now.bytes - counts.bytes) as f64 / 1e6,
            now.news_users - counts.news_users,
            news as f64 / seconds / self.watchers.len() as f64,
            now.news_in_a_second_max,
            now.refused - counts.refused,
            now.lost - counts.lost
        );
        if now.lost > counts.lost {
            println!("    the last connection was lost because: {}", now.lost_because);
        }
        Ok(())
    }

    fn take_all(&mut self) -> Result<()> {
        for Happened { who, at, what } in self.crowd.turn(TURN)? {
            match what {
                Seen::Connected => self.ask(who)?,
                Seen::Lost(words) => {
                    self.counts.lost += 1;
                    self.counts.lost_because = words;
                    self.crowd.connect(who)?;
                }
                Seen::Signal { kind, payload } => self.take(who, at, &kind, &payload)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, who: usize, at: Instant, kind: &str, payload: &[u8]) -> Result<()> {
        match kind {
            "contacts" => self.counts.answers += 1,
            "presence" => self.count_news(who, at, payload)?,
            "refused" => {
                self.counts.refused += 1;
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.counts.bytes += payload.len() as u64;
        let text = std::str::from_utf8(payload)?;
        for subject in 0..self.plan.changes + STAY_AWAY {
            if let Some(online) = is_online(text, self.crowd.user(subject))? {
                self.watchers[who].subjects[subject] = Some(online);
                self.note(who, at, subject, online);
            }
        }
        Ok(())
    }

    fn count_news(&mut self, who: usize, at: Instant, payload: &[u8]) -> Result<()> {
        let news: Value = serde_json::from_slice(payload)?;
        self.counts.news += 1;
        self.counts.news_users += news["users"].as_array().map_or(0, Vec::len) as u64;
        let watcher = &mut self.watchers[who];
        let is_soon = watcher.last_news.is_some_and(|last| at - last < Duration::from_secs(1));
        if is_soon {
            watcher.in_a_second += 1;
        } else {
            (watcher.last_news, watcher.in_a_second) = (Some(at), 1);
        }
        self.counts.news_in_a_second_max = self.counts.news_in_a_second_max.max(watcher.in_a_second);
        Ok(())
    }

    fn note(&mut self, who: usize, at: Instant, subject: usize, online: bool) {
        let Some(change) = &mut self.change else { return };
        let is_it = change.subject == subject && change.online == online && who != subject;
        if is_it && at > change.at && !change.seen[who] {
            change.seen[who] = true;
            change.latencies.push(at - change.at);
        }
    }
}

impl Change {
    fn wanted(&self) -> usize {
        self.seen.len() - 1
    }
}

/// What a list of contacts says of a user; only that entry is parsed, since the lists are long.
fn is_online(contacts: &str, user: &str) -> Result<Option<bool>> {
    let Some(found) = contacts.find(&format!("\"user\":\"{user}\"")) else { return Ok(None) };
    let (Some(begin), Some(end)) = (contacts[..found].rfind('{'), contacts[found..].find('}')) else { return Ok(None) };
    let contact: Value = serde_json::from_str(&contacts[begin..=found + end]).context("a contact is no JSON")?;
    Ok(contact["presence"].as_str().map(|presence| presence != "offline"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::is_online;

    #[test]
    fn one_entry_is_found_in_a_long_list() {
        let list = r#"{"users":[{"user":"a","name":"A","presence":"online"},
            {"name":"B","presence":"offline","since_ms":5,"user":"b"},{"user":"c","name":"C","presence":"in_call"}]}"#;
        assert_eq!(is_online(list, "a").unwrap(), Some(true));
        assert_eq!(is_online(list, "b").unwrap(), Some(false));
        assert_eq!(is_online(list, "c").unwrap(), Some(true));
        assert_eq!(is_online(list, "d").unwrap(), None);
    }
}
