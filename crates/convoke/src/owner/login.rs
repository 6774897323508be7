//! `convoke login` and `convoke logout`: profiles.

use super::client::Server;
use super::failure::Failure;
use super::profile::{Credential, KEY_BYTES_MAX, KeySource, Profile, Profiles, Target, folder, parse_url};
use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::Url;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  convoke login http://127.0.0.1:8080 --key-file data/api-key\n  \
    convoke login https://calls.example.org:8443 --key-file - --profile prod < key\n\n\
    Profiles are kept in profiles.toml in $CONVOKE_HOME, else ~/.config/convoke.")]
pub(crate) struct Login {
    /// The server, for example https://calls.example.org:8443.
    #[arg(value_parser = parse_url)]
    url: Url,
    /// The key: an API key as text, or the JSON of `convoke keys create`; the profile names this file. - reads the key from
    /// standard input and keeps a copy.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Trust this authority (PEM) and no other.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name of the profile; the commands use the one of the last login.
    #[arg(long, value_name = "NAME", default_value = "default")]
    profile: String,
}

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The name of the profile.
    #[arg(long, value_name = "NAME", default_value = "default")]
    profile: String,
}

/// Asks the server before it keeps anything.
pub(crate) async fn log_in(login: Login) -> Result<()> {
    let Login { url, key_file, ca, profile: name, .. } = login;
    check_name(&name)?;
    let ca = ca.map(std::path::absolute).transpose().context("cannot find this folder")?;
    let key = if key_file == Path::new("-") {
        KeySource::Given(from_standard_input()?)
    } else {
        KeySource::File(std::path::absolute(key_file).context("cannot find this folder")?)
    };
    let target = Target { url, key, ca };
    Server::open(&target)?.check().await.with_context(|| format!("cannot log in to {}", target.url))?;
    target.warnings().iter().for_each(|words| eprintln!("{words}"));
    let Target { url, key, ca } = target;
    let key_file = match key {
        KeySource::File(file) => file,
        KeySource::Given(text) => keep(&name, &text)?,
        KeySource::None => bail!("there is no key"),
    };
    let mut profiles = Profiles::read()?;
    profiles.profiles.insert(name.clone(), Profile { url: url.to_string(), key_file, ca });
    profiles.current = Some(name.clone());
    let path = profiles.write()?;
    eprintln!("The commands are for {url} now (profile {name} in {}).\nNext: convoke groups list", path.display());
    Ok(())
}

pub(crate) fn log_out(logout: &Logout) -> Result<()> {
    let name = &logout.profile;
    let mut profiles = Profiles::read()?;
    if profiles.profiles.remove(name).is_none() {
        bail!("there is no profile {name}\n  remedy: convoke profiles list names those that there are");
    }
    profiles.current = profiles.current.filter(|current| current != name);
    profiles.write()?;
    // Only a key that came by standard input lies there.
    match std::fs::remove_file(kept(name)?) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot remove the key of the profile")
        }
        _ => {
            eprintln!("Removed the profile {name}.");
            Ok(())
        }
    }
}

fn from_standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut text)
        .context("cannot read the key from standard input")?;
    if Credential::parse(&text).is_none() {
        bail!(Failure::Configuration("standard input holds no key\n  remedy: give an API key as text".to_owned()));
    }
    Ok(text)
}

fn keep(name: &str, text: &str) -> Result<PathBuf> {
    let path = kept(name)?;
    convoke::keys::write_secret(&path, text)?;
    Ok(path)
}

fn kept(name: &str) -> Result<PathBuf> {
    check_name(name)?;
    Ok(std::path::absolute(folder()?)?.join("keys").join(name))
}

/// It becomes the name of a file.
fn check_name(name: &str) -> Result<()> {
    let is_good = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let words = "the name of a profile has 1 to 64 of A-Z a-z 0-9 - _\n  remedy: choose another one with --profile";
    if is_good { Ok(()) } else { bail!(Failure::Usage(words.to_owned())) }
}
