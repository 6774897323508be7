//! `convoke profiles`: the servers that `convoke login` has kept. It asks no server.

use super::profile::Profiles;
use super::table::{self, Column, text, yes_or_no};
use anyhow::Result;
use clap::Subcommand;
use convoke::print_line;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List profiles, and which one is current: the commands use it, unless a flag or the environment names another.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make this profile the current one.
    Use { name: String },
}

const LIST: &[Column] = &[
    Column::new("PROFILE", "profile", text),
    Column::new("URL", "url", text),
    Column::new("KEY FILE", "key_file", text),
    Column::new("CURRENT", "current", yes_or_no),
];

pub(super) fn run(verb: Verb) -> Result<()> {
    let mut profiles = Profiles::read()?;
    match verb {
        Verb::List { json } => print_list(&profiles, json),
        Verb::Use { name } => {
            // Names those that there are.
            profiles.clone().find(Some(name.clone()))?;
            profiles.current = Some(name.clone());
            profiles.write()?;
            eprintln!("The commands use the profile {name} now.");
        }
    }
    Ok(())
}

fn print_list(profiles: &Profiles, as_json: bool) {
    let rows: Vec<Value> = rows(profiles).collect();
    if as_json {
        return print_line(format_args!("{:#}", json!({ "items": rows })));
    }
    table::print(&table::table(LIST, &rows));
    if rows.is_empty() {
        eprintln!("There are no profiles. Next: convoke login URL --key-file FILE");
    }
}

fn rows(profiles: &Profiles) -> impl Iterator<Item = Value> {
    profiles.profiles.iter().map(|(name, profile)| {
        let is_current = profiles.current.as_ref() == Some(name);
        json!({
            "profile": name,
            "url": profile.url,
            "key_file": profile.key_file,
            "ca": profile.ca,
            "current": is_current,
        })
    })
}
