//! `convoke terminal`: the headless terminal of the SDK on standard input and output.

use crate::cli::Terminal;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use terminal::headless::Answer;
use terminal::{Clip, Credentials, Options};
use tokio::io::{BufReader, stdin, stdout};

pub(crate) async fn run(flags: Terminal) -> Result<()> {
    let answer = flags.accept_after_ms.map_or(Answer::ByCommand, |ms| Answer::AcceptAfter(Duration::from_millis(ms)));
    let options = options(flags)?;
    Ok(terminal::headless::run(options, answer, BufReader::new(stdin()), stdout()).await?)
}

fn options(flags: Terminal) -> Result<Options> {
    let text = read(&flags.credentials)?;
    let credentials: Credentials = serde_json::from_slice(&text).with_context(|| {
        format!(
            "{} is no answer of the devices API\n  remedy: write its JSON to the file, whole",
            flags.credentials.display()
        )
    })?;
    let mut options = Options::new(credentials, flags.store);
    options.ca = flags.ca.as_deref().map(read).transpose()?;
    options.media = !flags.no_media;
    #[cfg(feature = "faults")]
    {
        options.fault = fault(flags.fault.as_deref())?;
    }
    options.record = flags.record.map(folder).transpose()?;
    let (picture, speech) = (flags.play_video.as_deref(), flags.play_audio.as_deref());
    if picture.is_some() || speech.is_some() {
        let clip = Clip::open(picture, speech);
        options.clip = Arc::new(clip.with_context(|| {
            let names: Vec<_> = picture.into_iter().chain(speech).map(|file| file.display().to_string()).collect();
            format!("cannot play {}", names.join(" and "))
        })?);
    }
    Ok(options)
}

#[cfg(feature = "faults")]
fn fault(name: Option<&str>) -> Result<terminal::Fault> {
    Ok(match name {
        None => terminal::Fault::None,
        Some("doubt_unacknowledged") => terminal::Fault::DoubtUnacknowledged,
        Some("repeats_believed") => terminal::Fault::RepeatsBelieved,
        Some(other) => anyhow::bail!("there is no fault {other}"),
    })
}

/// Creates the folder before the first call, which could not be recorded otherwise.
fn folder(path: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&path)
        .with_context(|| format!("cannot record to {}\n  remedy: name a folder that can be made", path.display()))?;
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
