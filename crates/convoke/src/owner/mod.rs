//! The owner's commands: groups, topics, grants, keys, users, devices, links, meetings, tokens, messages, the server and the
//! log of changes, over the HTTP API.
//!
//! Each noun is a clap enum of verbs in a file of its own; a verb becomes a [`Call`], which is plain data: a request and
//! how its answer is shown. One runner sends all of them. Data goes to standard output, words for people to standard
//! error.
//!
//! What it is not: it decides nothing about names or rights, the server does; it holds no secret but the key it is given.

mod audit;
mod call;
mod client;
mod command;
mod confirm;
mod devices;
mod failure;
mod grants;
mod groups;
mod keys;
mod links;
mod login;
mod meetings;
mod messages;
mod profile;
mod profiles;
mod queue;
mod secret_file;
mod server;
mod show;
mod table;
mod time;
mod tokens;
mod topics;
mod users;

pub(crate) use command::Command;
pub(crate) use failure::Failure;

use anyhow::Result;
use call::{Call, Show};
use clap::Args;
use client::Server;
use command::Noun;
use profile::{Flags, Target};
use secret_file::SecretFile;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    flags: Flags,
    /// Print the JSON of the API; lists whole, all pages in one.
    #[arg(long, global = true, help_heading = "Options of all commands")]
    json: bool,
    /// Print data only, no words.
    #[arg(long, short, global = true, help_heading = "Options of all commands")]
    quiet: bool,
}

/// A verb with its arguments.
trait Verb: clap::Subcommand {
    /// # Errors
    /// An argument that cannot be meant.
    fn call(self) -> Result<Call>;
}

/// Returns no success only where a no is the answer, and has been printed.
pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Login(login) => login::log_in(login).await.map(|()| ExitCode::SUCCESS),
        Command::Logout(logout) => login::log_out(&logout).map(|()| ExitCode::SUCCESS),
        Command::Profiles { verb } => profiles::run(verb).map(|()| ExitCode::SUCCESS),
        Command::Groups(noun) => run_verb(noun).await,
        Command::Topics(noun) => run_verb(noun).await,
        Command::Grants(noun) => run_verb(noun).await,
        Command::Keys(noun) => run_verb(noun).await,
        Command::Users(noun) => run_verb(noun).await,
        Command::Devices(noun) => run_verb(noun).await,
        Command::Links(noun) => run_verb(noun).await,
        Command::Meetings(noun) => run_verb(noun).await,
        Command::Tokens(noun) => run_verb(noun).await,
        Command::Messages(noun) => run_verb(noun).await,
        Command::Queue { noun } => {
            let (call, options) = noun.into_call()?;
            run_call(call, options).await
        }
        Command::Server(noun) => run_verb(noun).await,
        Command::Audit(noun) => run_verb(noun).await,
    }
}

async fn run_verb<V: Verb>(noun: Noun<V>) -> Result<ExitCode> {
    let Noun { verb, options } = noun;
    run_call(verb.call()?, options).await
}

async fn run_call(call: Call, options: Options) -> Result<ExitCode> {
    let target = Target::find(&options.flags)?;
    let server = Server::open(&target)?;
    if !options.quiet {
        target.warnings().iter().for_each(|words| eprintln!("{words}"));
    }
    if let Some(question) = &call.confirm {
        confirm::ask(question)?;
    }
    let secret_file = call.secret_file.as_deref().map(SecretFile::create).transpose()?;
    let answer = match &call.show {
        Show::Table { limit, .. } if call.body.is_none() => server.list(&call, *limit).await,
        _ => server.send(&call).await,
    };
    let answer = answer?;
    let kept = secret_file.map(|file| file.keep(&answer)).transpose()?;
    // Before the words: a secret must not be lost because nobody reads these.
    if kept.is_none() {
        show::data(&call, &answer, &target, options.json);
    }
    if !options.quiet {
        kept.into_iter().chain(show::words(&call, &answer)).for_each(|words| eprintln!("{words}"));
    }
    Ok(show::verdict(&call, &answer))
}
