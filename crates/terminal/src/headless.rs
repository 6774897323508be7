//! A terminal without a person: one JSON command a line in, one JSON event a line out.
//!
//! ```text
//!   {"do":"call","user":"bob","media":"video"}     ──►     {"event":"ringing","user":"bob",…,"at_ms":…}
//!   {"do":"accept"}                                ──►     {"event":"admitted",…,"at_ms":…}
//! ```
//! Every event carries what the part that acted has reported, and `at_ms`, the local clock in milliseconds since 1970.
//! A command that cannot be read or done is answered by `command_failed`. The end of the input, or `quit`, ends the
//! terminal.
//! All commands and events are in `docs/headless.md`.

use crate::client::{Call, Client, Closed, Events, StartError, now_ms};
use crate::event::Event;
use crate::options::Options;
use serde::Deserialize;
use serde_json::{Value, json};
use signalling::{InvitationId, Media, MeetingId, RejectReason, SignalId, Track, UpBody, UserName};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A longer line is no command.
const LINE_MAX: u64 = 64 << 10;

/// What the terminal does by itself.
#[derive(Clone, Copy, Debug, Default)]
pub enum Answer {
    /// Waits for `accept` or `reject`.
    #[default]
    ByCommand,
    AcceptAfter(Duration),
}

#[derive(Debug, thiserror::Error)]
pub enum HeadlessError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the terminal cannot go on: {0}")]
    Failed(String),
    #[error("events cannot be written: {0}")]
    Output(io::Error),
    #[error("commands cannot be read: {0}")]
    Input(io::Error),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Call {
        #[serde(default)]
        user: Option<UserName>,
        #[serde(default)]
        users: Vec<UserName>,
        #[serde(default)]
        media: Option<Media>,
        #[serde(default)]
        title: Option<String>,
    },
    Accept {
        #[serde(default)]
        invitation: Option<InvitationId>,
    },
    Reject {
        #[serde(default)]
        invitation: Option<InvitationId>,
        #[serde(default)]
        reason: Option<RejectReason>,
    },
    Cancel {
        #[serde(default)]
        user: Option<UserName>,
    },
    Invite {
        user: UserName,
    },
    Mute {
        #[serde(default)]
        user: Option<UserName>,
        track: Track,
    },
    Unmute {
        track: Track,
    },
    Block {
        user: UserName,
        track: Track,
    },
    Unblock {
        user: UserName,
        track: Track,
    },
    AskUnmute {
        user: UserName,
        track: Track,
    },
    Kick {
        user: UserName,
        #[serde(default)]
        ban_s: u32,
    },
    Join {
        meeting: MeetingId,
    },
    Leave {},
    Destroy {},
    Roster {},
    State {},
    Contacts {
        #[serde(default)]
        watch_s: Option<u32>,
    },
    History {
        #[serde(default)]
        before: Option<String>,
        #[serde(default)]
        limit: Option<u32>,
    },
    Seen {
        invitation: InvitationId,
    },
    Stats {},
    Quit {},
}

/// Runs until the input ends, `quit`, or the terminal cannot go on.
///
/// # Errors
/// A terminal that cannot start or go on, or broken pipes.
pub async fn run(
    options: Options,
    answer: Answer,
    input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> Result<(), HeadlessError> {
    let (client, events) = Client::connect(options)?;
    let mut headless = Headless { client: client.clone(), answer, output };
    let result = headless.run(input, events).await;
    client.close().await;
    result
}

struct Headless<W> {
    client: Client,
    answer: Answer,
    output: W,
}

/// The outcome of one command.
enum CommandOutcome {
    Sent(&'static str, SignalId),
    Stats(Value),
    Quit,
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("no command: {0}")]
    Unreadable(String),
    #[error("not in a call")]
    NoCall,
    #[error("nothing rings")]
    NoRing,
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl<W: AsyncWrite + Unpin> Headless<W> {
    async fn run(&mut self, mut input: impl AsyncBufRead + Unpin, mut events: Events) -> Result<(), HeadlessError> {
        let mut line = Vec::new();
        loop {
            let mut limited = (&mut input).take(LINE_MAX - line.len() as u64);
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Failed { reason }) => {
                        self.print(json!({ "event": "failed", "reason": reason })).await?;
                        return Err(HeadlessError::Failed(reason));
                    }
                    Some(event) => self.handle_event(event).await?,
                    None => return Ok(()),
                },
                read = limited.read_until(b'\n', &mut line) => {
                    if read.map_err(HeadlessError::Input)? == 0 && line.is_empty() {
                        return Ok(());
                    }
                    let quits = self.handle_line(&line).await?;
                    line.clear();
                    if quits {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn handle_event(&mut self, event: Event) -> Result<(), HeadlessError> {
        if let Event::Ring(ring) = &event {
            self.answer_later(ring.invitation);
        }
        self.print(serde_json::to_value(&event).unwrap_or_default()).await
    }

    fn answer_later(&self, invitation: InvitationId) {
        let Answer::AcceptAfter(wait) = self.answer else { return };
        let client = self.client.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // Closed by now: there is nothing to answer.
            let _ = client.accept(invitation).await;
        });
    }

    /// Returns true if the terminal is to end.
    async fn handle_line(&mut self, line: &[u8]) -> Result<bool, HeadlessError> {
        if line.trim_ascii().is_empty() {
            return Ok(false);
        }
        let parsed = serde_json::from_slice(line).map_err(|error| CommandError::Unreadable(error.to_string()));
        let done = match parsed {
            Ok(command) => self.carry_out(command).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(CommandOutcome::Quit) => return Ok(true),
            Ok(CommandOutcome::Sent(kind, signal)) => {
                self.print(json!({ "event": "requested", "type": kind, "signal": signal })).await?;
            }
            Ok(CommandOutcome::Stats(stats)) => self.print(json!({ "event": "stats", "calls": stats })).await?,
            Err(error) => {
                let command = String::from_utf8_lossy(line.trim_ascii());
                self.print(json!({ "event": "command_failed", "reason": error.to_string(), "command": command }))
                    .await?;
            }
        }
        Ok(false)
    }

    async fn carry_out(&mut self, command: Command) -> Result<CommandOutcome, CommandError> {
        let client = &self.client;
        let (kind, sent) = match command {
            Command::Quit {} => return Ok(CommandOutcome::Quit),
            Command::Stats {} => return self.stats().await,
            Command::Call { user, users, media, title } => {
                let callees = user.into_iter().chain(users).collect();
                let call = client.create(callees, media.unwrap_or(Media::Video), title).await?;
                ("create", call)
            }
            Command::Accept { invitation } => ("accept", client.accept(self.ring(invitation).await?).await?),
            Command::Reject { invitation, reason } => {
                let reason = reason.unwrap_or(RejectReason::Declined);
                ("reject", client.reject(self.ring(invitation).await?, reason).await?)
            }
            Command::State {} => ("state", client.state().await?),
            Command::Join { meeting } => ("join", client.request(Some(meeting), UpBody::Join {}).await?),
            Command::Contacts { watch_s } => ("contacts", client.contacts(watch_s).await?),
            Command::History { before, limit } => ("history", client.history(before, limit).await?),
            Command::Seen { invitation } => ("seen", client.seen(invitation).await?),
            command => in_call(&self.call().await?, command).await?,
        };
        Ok(CommandOutcome::Sent(kind, sent))
    }

    async fn call(&self) -> Result<Call, CommandError> {
        self.client.current().await?.0.ok_or(CommandError::NoCall)
    }

    async fn ring(&self, named: Option<InvitationId>) -> Result<InvitationId, CommandError> {
        match named {
            Some(invitation) => Ok(invitation),
            None => self.client.current().await?.1.ok_or(CommandError::NoRing),
        }
    }

    async fn stats(&self) -> Result<CommandOutcome, CommandError> {
        let reports = self.client.reports().await?.into_iter();
        let calls = reports.map(|(meeting, report)| json!({ "meeting": meeting, "media": report })).collect();
        Ok(CommandOutcome::Stats(Value::Array(calls)))
    }

    async fn print(&mut self, mut event: Value) -> Result<(), HeadlessError> {
        event["at_ms"] = now_ms().into();
        let line = format!("{event}\n");
        self.output.write_all(line.as_bytes()).await.map_err(HeadlessError::Output)?;
        self.output.flush().await.map_err(HeadlessError::Output)
    }
}

/// Requests about the present call.
async fn in_call(call: &Call, command: Command) -> Result<(&'static str, SignalId), CommandError> {
    Ok(match command {
        Command::Cancel { user } => ("cancel", call.cancel(user).await?),
        Command::Invite { user } => ("invite", call.invite(user).await?),
        Command::Mute { user: None, track } => ("mute", call.mute(track).await?),
        Command::Mute { user: Some(user), track } => ("mute", call.mute_other(user, track).await?),
        Command::Unmute { track } => ("unmute", call.unmute(track).await?),
        Command::Block { user, track } => ("block", call.block(user, track).await?),
        Command::Unblock { user, track } => ("unblock", call.unblock(user, track).await?),
        Command::AskUnmute { user, track } => ("ask_unmute", call.ask_unmute(user, track).await?),
        Command::Kick { user, ban_s } => ("kick", call.kick(user, ban_s).await?),
        Command::Leave {} => ("leave", call.leave().await?),
        Command::Destroy {} => ("destroy", call.destroy().await?),
        _ => ("roster", call.roster().await?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../../docs/headless.md");

    /// The names of all events; a new one does not compile until it is here.
    macro_rules! events {
        ($($name:ident)*) => {{
            fn _all(event: &Event) {
                match event {
                    $(Event::$name { .. } => {})*
                }
            }
            [$(snake_case(stringify!($name))),*]
        }};
    }

    fn snake_case(name: &str) -> String {
        let words =
            name.chars().flat_map(|c| c.is_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()]));
        words.collect::<String>().trim_start_matches('_').to_owned()
    }

    /// The names in the first column of the tables under a heading.
    fn rows(heading: &str) -> BTreeSet<&'static str> {
        let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
        let section = section.split("\n## ").next().unwrap_or_default().split("\n### ").next().unwrap_or_default();
        let columns = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        columns.flat_map(|column| column.trim_end_matches('`').split("`, `")).collect()
    }

    #[test]
    fn the_page_names_every_command() {
        let refusal = serde_json::from_value::<Command>(json!({ "do": "?" })).expect_err("there is no such command");
        let refusal = refusal.to_string();
        let known: BTreeSet<&str> = refusal.split('`').skip(1).step_by(2).filter(|name| *name != "?").collect();
        let answers = BTreeSet::from(["do", "event", "requested", "command_failed"]);
        let named: BTreeSet<&str> = rows("Commands").difference(&answers).copied().collect();
        assert_eq!(named, known);
    }

    #[test]
    fn the_page_names_every_event() {
        let known = events!(
            Connected Disconnected Synchronised PublishAcknowledged PublishRefused Ring RingEnded Missed Seen Waiting
            Ringing Accepted Rejected Busy Refused Repeated Admitted MediaJoined MediaLost FirstFrame Media Roster Muted Blocked
            UnmuteAsked Ended InCallElsewhere State Contacts Presence History Failed
        );
        let mut named = rows("Events");
        named.remove("event");
        assert_eq!(named, known.iter().map(String::as_str).collect());
    }
}
