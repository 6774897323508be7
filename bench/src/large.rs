//! A meeting that fills up: the host invites at a steady pace, each callee rings and answers at once.

use crate::crowd::{Crowd, Happened, Seen};
use crate::figures::Latencies;
use crate::rows::Rows;
use crate::usage::{self, Quiet, Usage};
use anyhow::{Context, Result, bail, ensure};
use demo::Stage;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

const ADMITTED_PER_SECOND: f64 = 20.0;
const HOST: usize = 0;
const TABLES_SHOWN: usize = 5;
const AT_ONCE: usize = 50;
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// After the last invitation.
const ADMITTED_WITHIN: Duration = Duration::from_secs(60);
/// A larger meeting is a matter of configuration.
const MEMBERS_MAX_DEFAULT: usize = 50;

/// How a meeting fills up.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The host among them.
    pub(crate) members: usize,
    /// Callees of one invite; more at once come more rarely, so that the pace is the same.
    pub(crate) at_once: usize,
}

/// Twice, each time with a server of its own: once for times and the disk, once with the rows counted.
pub(crate) fn measure(folder: &Path, program: &Path, plan: Plan) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let run = |name: &str, counted| {
        let folder = folder.join(format!("{name}-{}", plan.members));
        Run::play(&runtime, &folder, program, plan, counted)
    };
    let mut timed = run("timed", false)?;
    let counted = run("counted", true)?;
    println!(
        "{} members, {ADMITTED_PER_SECOND} a second, {} an invite: admitted after {:.2} s, invite → admitted {}",
        plan.members,
        plan.at_once,
        timed.took.as_secs_f64(),
        timed.latencies.describe()
    );
    println!("  {}", timed.usage.describe());
    println!("  {} messages to the members, {} of payload", timed.messages, usage::bytes(timed.message_bytes));
    let log = counted.usage.log.bytes();
    let rows: u64 = counted.rows.iter().map(|(_, bytes)| bytes).sum();
    let (payload, bar) = (log + rows, bar(plan.members as u64));
    println!(
        "  payload of log and SQL: {} (records {}, rows {})",
        usage::bytes(payload),
        usage::bytes(log),
        usage::bytes(rows)
    );
    let tables = counted.rows.iter().take(TABLES_SHOWN);
    let tables: Vec<String> = tables.map(|(table, count)| format!("{table} {}", usage::bytes(*count))).collect();
    println!("  {}; rows of {}", counted.usage.log.describe_kinds(), tables.join(", "));
    println!(
        "  bar: at most 30 kB × n + 800 B × n² = {}; here {:.2} × that: {}",
        usage::bytes(bar),
        payload as f64 / bar as f64,
        if payload <= bar { "met" } else { "missed" }
    );
    println!("  members whose roster is not whole at the end: {} and {}", timed.unaware, counted.unaware);
    Ok(())
}

const fn bar(members: u64) -> u64 {
    30_000 * members + 800 * members * members
}

struct Run {
    took: Duration,
    latencies: Latencies,
    usage: Usage,
    rows: Vec<(String, u64)>,
    messages: u64,
    message_bytes: u64,
    /// Members whose roster is not complete in the end.
    unaware: usize,
}

impl Run {
    fn play(
        runtime: &tokio::runtime::Runtime,
        folder: &Path,
        program: &Path,
        plan: Plan,
        counted: bool,
    ) -> Result<Self> {
        let limit = format!("meeting.members_max={}", plan.members);
        let settings = if plan.members > MEMBERS_MAX_DEFAULT { &[limit.as_str()][..] } else { &[] };
        let mut stage = Stage::new(folder, program, settings)?;
        runtime.block_on(stage.start_server())?;
        let users: Vec<String> = (0..plan.members).map(|n| format!("user-{n:03}")).collect();
        let mut meeting = Meeting::new(Crowd::register(runtime, &stage, &users)?, plan);
        meeting.crowd.connect_all(AT_ONCE)?;
        meeting.receive_until_quiet(&stage)?;
        let mut rows = if counted { Some(runtime.block_on(Rows::count(&stage))?) } else { None };
        let before = Usage::of(&stage)?;
        let took = meeting.fill_up()?;
        meeting.receive_until_quiet(&stage)?;
        let usage = Usage::of(&stage)?.since(&before);
        let rows = rows.as_mut().map_or(Ok(Vec::new()), |rows| runtime.block_on(rows.bytes()))?;
        runtime.block_on(stage.stop_server())?;
        let unaware = meeting.members.iter().filter(|member| member.roster.len() < plan.members).count();
        let Meeting { latencies, messages, message_bytes, .. } = meeting;
        Ok(Self { took, latencies, usage, rows, messages, message_bytes, unaware })
    }
}

struct Meeting {
    crowd: Crowd,
    plan: Plan,
    id: Uuid,
    members: Vec<Member>,
    admitted: usize,
    latencies: Latencies,
    messages: u64,
    message_bytes: u64,
}

#[derive(Clone, Default)]
struct Member {
    invited_at: Option<Instant>,
    /// Users that are said to be in.
    roster: BTreeSet<String>,
    rev: u64,
}

impl Meeting {
    fn new(crowd: Crowd, plan: Plan) -> Self {
        Self {
            crowd,
            plan,
            id: Uuid::now_v7(),
            members: vec![Member::default(); plan.members],
            admitted: 0,
            latencies: Latencies::default(),
            messages: 0,
            message_bytes: 0,
        }
    }

    /// Takes what comes until the server writes nothing more.
    fn receive_until_quiet(&mut self, stage: &Stage) -> Result<()> {
        let (mut quiet, began) = (Quiet::of(stage)?, Instant::now());
        while !quiet.is_quiet()? {
            ensure!(began.elapsed() < QUIET_WITHIN, "the server does not fall quiet");
            self.turn(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Returns the time from the first request to the last admission.
    fn fill_up(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.members[HOST].invited_at = Some(began);
        self.crowd.send(HOST, "create", Some(self.id), json!({ "callees": [], "media": "audio" }))?;
        while self.admitted == 0 {
            self.turn(Duration::from_millis(10))?;
            ensure!(began.elapsed() < ADMITTED_WITHIN, "the host was not admitted");
        }
        let (started, mut next) = (Instant::now(), 1);
        while next < self.plan.members {
            let due = started + Duration::from_secs_f64((next - 1) as f64 / ADMITTED_PER_SECOND);
            while Instant::now() < due {
                self.turn(due.saturating_duration_since(Instant::now()))?;
            }
            next = self.invite(next)?;
        }
        let invited = Instant::now();
        while self.admitted < self.plan.members {
            self.turn(Duration::from_millis(10))?;
            let (admitted, members) = (self.admitted, self.plan.members);
            ensure!(invited.elapsed() < ADMITTED_WITHIN, "{admitted} of {members} members were admitted");
        }
        Ok(began.elapsed())
    }

    /// Invites the next ones; returns who comes after them.
    fn invite(&mut self, first: usize) -> Result<usize> {
        let end = (first + self.plan.at_once).min(self.plan.members);
        let callees: Vec<&str> = (first..end).map(|who| self.crowd.user(who)).collect();
        let fields = json!({ "callees": callees });
        (first..end).for_each(|who| self.members[who].invited_at = Some(Instant::now()));
        self.crowd.send(HOST, "invite", Some(self.id), fields)?;
        Ok(end)
    }

    fn turn(&mut self, within: Duration) -> Result<()> {
        for Happened { who, at, what } in self.crowd.turn(within)? {
            match what {
                Seen::Connected => {}
                Seen::Lost(words) => bail!("member {who} lost its connection: {words}"),
                Seen::Signal { kind, payload } => self.take(who, at, &kind, &payload)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, who: usize, at: Instant, kind: &str, payload: &[u8]) -> Result<()> {
        self.messages += 1;
        self.message_bytes += payload.len() as u64;
        let signal: Value = serde_json::from_slice(payload).context("a signal is no JSON")?;
        match kind {
            "refused" => bail!("member {who} was refused: {signal}"),
            "invitation" => {
                let ring = json!({ "invitation": signal["invitation"] });
                self.crowd.send(who, "ringing", Some(self.id), ring.clone())?;
                self.crowd.send(who, "accept", Some(self.id), ring)?;
            }
            "admitted" => {
                self.admitted += 1;
                let invited_at = self.members[who].invited_at.unwrap_or(at);
                self.latencies.push(at - invited_at);
                self.members[who].know(&signal["roster"]);
            }
            "roster" => self.members[who].know(&signal),
            "roster_changed" => self.members[who].hear(&signal),
            _ => {}
        }
        Ok(())
    }
}

impl Member {
    /// A whole roster.
    fn know(&mut self, roster: &Value) {
        let rev = roster["rev"].as_u64().unwrap_or(0);
        if rev >= self.rev {
            self.rev = rev;
            self.roster = users_in(roster);
        }
    }

    /// A change of it; one that follows on a revision that is not known here is a gap, which this program does not
    /// close: the member counts as unaware.
    fn hear(&mut self, change: &Value) {
        let number = |key: &str| change[key].as_u64().unwrap_or(0);
        if number("rev") > self.rev && number("base") <= self.rev {
            self.rev = number("rev");
            self.roster.extend(users_in(change));
        }
    }
}

/// Who has been admitted, of a roster or a change of one.
fn users_in(roster: &Value) -> BTreeSet<String> {
    let members = roster["members"].as_array().into_iter().flatten();
    let admitted = members.filter(|member| !matches!(member["state"].as_str(), Some("invited" | "ringing") | None));
    admitted.filter_map(|member| member["user"].as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Member, bar};
    use serde_json::json;

    #[test]
    fn the_bar_is_30_kb_a_member_and_800_bytes_a_pair() {
        assert_eq!([10, 50, 200].map(bar), [380_000, 3_500_000, 38_000_000]);
    }

    #[test]
    fn a_change_that_follows_on_what_is_known_is_added() {
        let member = |user: &str, state: &str| json!({ "user": user, "state": state });
        let mut one = Member::default();
        one.know(&json!({ "rev": 3, "members": [member("a", "in"), member("b", "ringing")] }));
        one.hear(&json!({ "base": 4, "rev": 5, "members": [member("c", "in")], "gone": [] }));
        assert_eq!(one.roster.len(), 1, "a revision is missing between");
        one.hear(&json!({ "base": 3, "rev": 5, "members": [member("b", "joining"), member("c", "in")], "gone": [] }));
        assert_eq!(one.roster.len(), 3);
    }
}
