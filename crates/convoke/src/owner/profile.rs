//! Which server the commands are for, and with which key: flags over environment over profile over the server of this
//! machine.
//!
//! Profiles are kept in `profiles.toml` (mode 0600) in `$CONVOKE_HOME`, else `$XDG_CONFIG_HOME/convoke`, else
//! `~/.config/convoke`. A profile names the file of its key; a key that came by standard input lies in `keys/` beside it.
//!
//! Contract. A key goes to the server that it was named with: a profile's key is never sent to the address of a flag or
//! of the environment, the key of CONVOKE_KEY_FILE not to a flag's beside CONVOKE_URL, and the key of `./data` to addresses
//! of this machine only.

use super::failure::Failure;
use anyhow::{Context, Result, bail};
use clap::Args;
use convoke::config::Raw;
use reqwest::{Certificate, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Of the server that runs on this machine with nothing configured.
const LOCAL: &str = "http://127.0.0.1:8080";
pub(super) const KEY_BYTES_MAX: u64 = 16 * 1024;
const FILE_BYTES_MAX: u64 = 1 << 20;
const HEADING: &str = "Options of all commands";

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Flags {
    /// The server; else that of CONVOKE_URL, of the profile, or http://127.0.0.1:8080.
    #[arg(long, global = true, value_name = "URL", value_parser = parse_url, help_heading = HEADING)]
    url: Option<Url>,
    /// The key: an API key as text, or the JSON of `convoke keys create`; else CONVOKE_KEY_FILE.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    key_file: Option<PathBuf>,
    /// Trust this authority (PEM) and no other; else CONVOKE_CA.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    ca: Option<PathBuf>,
    /// A profile of `convoke login`; else CONVOKE_PROFILE, or that of the last login.
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    profile: Option<String>,
}

/// A server, and what it is asked with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) key: KeySource,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeySource {
    None,
    File(PathBuf),
    Given(String),
}

/// What opens the API.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    Api(String),
    Access { key: String, secret: String },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profiles {
    /// Of the last login.
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, Profile>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) url: String,
    pub(super) key_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,
}

impl Target {
    pub(super) fn find(flags: &Flags) -> Result<Self> {
        Self::choose(flags, |name| std::env::var(name).ok().filter(|text| !text.is_empty()), Profiles::read)
    }

    fn choose(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
        profiles: impl FnOnce() -> Result<Profiles>,
    ) -> Result<Self> {
        let ca = flags.ca.clone().or_else(|| environment("CONVOKE_CA").map(PathBuf::from));
        let is_named = flags.url.is_some() || flags.key_file.is_some();
        if flags.profile.is_some() && is_named {
            bail!(Failure::Usage(
                "--profile has an address and a key\n  remedy: leave --url and --key-file out".to_owned()
            ));
        }
        let url = environment("CONVOKE_URL").filter(|_| flags.url.is_none() && flags.profile.is_none());
        let url = match url.map(|text| parse_url(&text)).transpose() {
            Err(words) => bail!(Failure::Configuration(format!("CONVOKE_URL is no address of a server: {words}"))),
            Ok(url) => flags.url.clone().or(url),
        };
        let key_file = match (&flags.key_file, &flags.profile) {
            (None, None) => key_of_environment(flags, &environment),
            (flag, _) => flag.clone(),
        };
        if url.is_some() || key_file.is_some() {
            return Self::named(url, key_file, ca);
        }
        let name = flags.profile.clone().or_else(|| environment("CONVOKE_PROFILE"));
        match profiles()?.find(name)? {
            None => Self::named(None, None, ca),
            Some(profile) => Self::of(profile, ca),
        }
    }

    fn named(url: Option<Url>, key_file: Option<PathBuf>, ca: Option<PathBuf>) -> Result<Self> {
        let url = url.map_or_else(|| LOCAL.parse().context("the address of this machine"), Ok)?;
        let own = || Path::new(&Raw::default().server.data_dir).join("api-key");
        let key = match key_file {
            Some(file) => KeySource::File(file),
            None if is_loopback(&url) && own().exists() => KeySource::File(own()),
            None => KeySource::None,
        };
        Ok(Self { url, key, ca })
    }

    fn of(profile: Profile, ca: Option<PathBuf>) -> Result<Self> {
        let url = parse_url(&profile.url).map_err(|words| {
            Failure::Configuration(format!("{} names no server: {words}\n  remedy: convoke login anew", profile.url))
        })?;
        Ok(Self { url, key: KeySource::File(profile.key_file), ca: ca.or(profile.ca) })
    }

    /// What its user should know before a key goes there.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.url.scheme() == "http" && !is_loopback(&self.url) {
            warnings.push(format!("Warning: the key goes to {} unencrypted; use https there.", self.url));
        }
        if let KeySource::File(file) = &self.key
            && std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        {
            warnings.push(format!("Warning: others can read {0}; chmod 600 {0}", file.display()));
        }
        warnings
    }

    /// The key, and where it is from.
    ///
    /// # Errors
    /// There is none that can be read.
    pub(super) fn key(&self) -> Result<(Credential, String)> {
        let (text, from) = match &self.key {
            KeySource::Given(text) => (text.clone(), "standard input".to_owned()),
            KeySource::File(file) => (read(file, KEY_BYTES_MAX)?, file.display().to_string()),
            KeySource::None => {
                let words = format!(
                    "there is no key for {}\n  remedy: convoke login {} --key-file FILE, or name the file with --key-file \
                     or CONVOKE_KEY_FILE; the first key is in the server's data directory, in the file api-key",
                    self.url, self.url
                );
                bail!(Failure::Configuration(words));
            }
        };
        let key = Credential::parse(&text).ok_or_else(|| {
            let remedy = "remedy: give an API key as text, or the JSON of `convoke keys create --json`";
            Failure::Configuration(format!("{from} holds no key\n  {remedy}"))
        })?;
        Ok((key, from))
    }

    /// The certificates to trust; `None`: those that the system trusts.
    pub(super) fn authority(&self) -> Result<Option<Vec<Certificate>>> {
        let Some(file) = &self.ca else { return Ok(None) };
        let pem = read(file, FILE_BYTES_MAX)?;
        let found = Certificate::from_pem_bundle(pem.as_bytes()).ok().filter(|found| !found.is_empty());
        let words = || format!("{} holds no certificate\n  remedy: give an authority in PEM", file.display());
        Ok(Some(found.ok_or_else(|| Failure::Configuration(words()))?))
    }
}

/// The key of CONVOKE_KEY_FILE is for the server of CONVOKE_URL; without that, for any that a flag names.
fn key_of_environment(flags: &Flags, environment: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let key_file = environment("CONVOKE_KEY_FILE").map(PathBuf::from)?;
    let (Some(flag), Some(its)) = (&flags.url, environment("CONVOKE_URL")) else { return Some(key_file) };
    (parse_url(&its).as_ref() == Ok(flag)).then_some(key_file)
}

impl Credential {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.starts_with('{') {
            let is_one_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            return is_one_word.then(|| Self::Api(text.to_owned()));
        }
        let object: Value = serde_json::from_str(text).ok()?;
        let key = object["key"].as_str().or(object["key_id"].as_str())?.to_owned();
        Some(Self::Access { key, secret: object["secret"].as_str()?.to_owned() })
    }
}

impl Profiles {
    pub(super) fn read() -> Result<Self> {
        let path = folder()?.join("profiles.toml");
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            _ => {}
        }
        let profiles = toml::from_str(&read(&path, FILE_BYTES_MAX)?);
        Ok(profiles.map_err(|error| {
            let remedy = "remedy: mend it, or remove it and convoke login anew";
            Failure::Configuration(format!("{} cannot be read: {}\n  {remedy}", path.display(), error.message()))
        })?)
    }

    /// Returns where it was written to.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let path = folder()?.join("profiles.toml");
        convoke::keys::write_secret(&path, &toml::to_string(self)?)?;
        Ok(path)
    }

    /// `None`: that of the last login, if there was one.
    pub(super) fn find(mut self, name: Option<String>) -> Result<Option<Profile>> {
        let Some(name) = name.or(self.current) else { return Ok(None) };
        if let Some(profile) = self.profiles.remove(&name) {
            return Ok(Some(profile));
        }
        let known = self.profiles.into_keys().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are: {known}") };
        let words = format!(
            "there is no profile {name}; {known}\n  remedy: convoke login URL --key-file FILE --profile {name}"
        );
        bail!(Failure::Configuration(words));
    }
}

/// Where profiles are kept.
pub(super) fn folder() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("CONVOKE_HOME")
        .or_else(|| variable("XDG_CONFIG_HOME").map(|folder| folder.join("convoke")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".config/convoke")));
    let words = "there is no folder for profiles\n  remedy: set CONVOKE_HOME";
    Ok(folder.ok_or_else(|| Failure::Configuration(words.to_owned()))?)
}

fn read(file: &Path, bytes_max: u64) -> Result<String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|opened| opened.take(bytes_max + 1).read_to_string(&mut text));
    let path = file.display();
    match read {
        Err(error) => {
            let words = format!("cannot read {path}: {error}\n  remedy: name another file, or let this user read it");
            bail!(Failure::Configuration(words))
        }
        Ok(bytes) if bytes as u64 > bytes_max => {
            bail!(Failure::Configuration(format!("{path} is too long to be what is wanted here")))
        }
        Ok(_) => Ok(text),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A server's address: nothing but scheme, host, port and perhaps a path.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let remedy = "give it as https://calls.example.org:8443";
    let url = Url::parse(text).map_err(|error| format!("{error}; {remedy}"))?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let is_http = matches!(url.scheme(), "http" | "https");
    if is_plain && is_http { Ok(url) } else { Err(remedy.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles() -> Result<Profiles> {
        let profile = Profile { url: "https://prod".into(), key_file: "/keys/prod".into(), ca: Some("/ca".into()) };
        Ok(Profiles { current: Some("prod".into()), profiles: BTreeMap::from([("prod".into(), profile)]) })
    }

    fn url(text: &str) -> Url {
        parse_url(text).expect("an address")
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_profile() -> Result<()> {
        let environment = |name: &str| match name {
            "CONVOKE_URL" => Some("http://env".to_owned()),
            "CONVOKE_KEY_FILE" => Some("/keys/env".to_owned()),
            _ => None,
        };
        let flags = Flags { url: Some(url("http://flag")), key_file: Some("/keys/flag".into()), ..Flags::default() };
        let of = |url_text: &str, file: &str, ca: Option<&str>| Target {
            url: url(url_text),
            key: KeySource::File(file.into()),
            ca: ca.map(PathBuf::from),
        };
        assert_eq!(Target::choose(&flags, environment, profiles)?, of("http://flag", "/keys/flag", None));
        assert_eq!(Target::choose(&Flags::default(), environment, profiles)?, of("http://env", "/keys/env", None));
        let prod = of("https://prod", "/keys/prod", Some("/ca"));
        assert_eq!(Target::choose(&Flags::default(), |_| None, profiles)?, prod);
        let named = Flags { profile: Some("prod".into()), ..Flags::default() };
        assert_eq!(Target::choose(&named, environment, profiles)?, prod);
        Ok(())
    }

    #[test]
    fn a_key_goes_to_no_other_server_than_its_own() -> Result<()> {
        let elsewhere = Flags { url: Some(url("https://elsewhere")), ..Flags::default() };
        let target = Target::choose(&elsewhere, |_| None, profiles)?;
        assert_eq!(target, Target { url: url("https://elsewhere"), key: KeySource::None, ca: None });
        let environment = |name: &str| match name {
            "CONVOKE_URL" => Some("https://env".to_owned()),
            "CONVOKE_KEY_FILE" => Some("/keys/env".to_owned()),
            _ => None,
        };
        assert_eq!(Target::choose(&elsewhere, environment, profiles)?.key, KeySource::None);
        let same = Flags { url: Some(url("https://env/")), ..Flags::default() };
        let its = KeySource::File("/keys/env".into());
        assert_eq!(Target::choose(&same, environment, profiles)?.key, its);
        let alone = |name: &str| environment(name).filter(|_| name == "CONVOKE_KEY_FILE");
        assert_eq!(Target::choose(&elsewhere, alone, profiles)?.key, its);
        let both = Flags { profile: Some("prod".into()), ..elsewhere };
        assert!(Target::choose(&both, |_| None, profiles).is_err());
        Ok(())
    }

    #[test]
    fn a_key_that_others_may_read_is_warned_of() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("key");
        std::fs::write(&file, "secret")?;
        let warnings = |address: &str, mode: u32| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))?;
            let target = Target { url: url(address), key: KeySource::File(file.clone()), ca: None };
            Ok::<_, anyhow::Error>(target.warnings().join("\n"))
        };
        assert_eq!(warnings("http://127.0.0.1:8080", 0o600)?, "");
        assert_eq!(warnings("https://calls.example.org", 0o600)?, "");
        assert!(warnings("http://calls.example.org", 0o600)?.contains("unencrypted"), "on the way");
        assert!(warnings("https://calls.example.org", 0o644)?.contains("chmod 600"), "on the disk");
        Ok(())
    }

    #[test]
    fn addresses_of_this_machine_are_known() {
        let local =
            ["http://localhost:1", "http://127.0.0.1", "https://[::1]:8443"].map(|text| is_loopback(&url(text)));
        assert_eq!(local, [true; 3]);
        assert!(!is_loopback(&url("http://127.0.0.1.example.org")));
        assert!(
            ["ftp://x", "x", "https://a:b@x", "https://x?y", "https://x#y"].iter().all(|text| parse_url(text).is_err())
        );
    }

    #[test]
    fn a_key_is_text_or_the_json_of_an_access_key() {
        let access = Credential::Access { key: "k".into(), secret: "s".into() };
        let texts = [
            "{\"key\":\"k\",\"secret\":\"s\",\"generation\":1}",
            "{\"key_id\":\"k\",\"secret\":\"s\",\"instance\":\"i\"}",
        ];
        assert!(texts.iter().all(|text| Credential::parse(text).as_ref() == Some(&access)));
        assert!(Credential::parse(" abc\n") == Some(Credential::Api("abc".into())));
        assert!(["", "\n", "a b", "{}", "{\"key\":1}", "ä"].iter().all(|text| Credential::parse(text).is_none()));
    }
}
