//! The command line.

use crate::owner;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Audio and video calls that always ring, in one program.
#[derive(Debug, Parser)]
#[command(
    name = "convoke",
    version,
    after_help = "Examples:\n  convoke serve --dev        a server for trying out, with a link for each of three people\n  convoke demo               watch one whole call, with kills\n  convoke serve --config convoke.toml\n  convoke keys list          the keys of the server on this machine, or of that of `convoke login`"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Serve),
    /// Watch one whole call between separate processes: a killed callee, a killed server, one ring, encrypted media.
    Demo(Demo),
    /// A headless terminal: JSON commands on standard input, JSON events on standard output.
    Terminal(Terminal),
    #[command(flatten)]
    Owner(owner::Command),
    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  source <(convoke completions bash)")]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a man page for each command into a folder.
    #[command(after_help = "Example:\n  convoke man ~/.local/share/man/man1 && man convoke-keys-create")]
    Man {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print a generated document.
    #[command(hide = true)]
    Print {
        #[arg(value_enum)]
        document: Document,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Document {
    /// The OpenAPI document of the HTTP API.
    Openapi,
    /// The same for reading, in Markdown.
    Api,
    /// The reference of the configuration, in Markdown.
    Configuration,
    /// The reference of the command line, in Markdown.
    Cli,
    /// The signals between terminals and the meeting service, in Markdown.
    Signalling,
    /// Their JSON schema.
    SignallingSchema,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Every key: docs/configuration.md. As environment variable: CONVOKE_SECTION__KEY, for example\nCONVOKE_MQTT__LISTEN=0.0.0.0:1883. CONVOKE_LOG=debug logs more. End with Ctrl-C or SIGTERM."
)]
pub(crate) struct Serve {
    /// For trying out: loopback only, the next free port for each that is not set, three users with a link each.
    #[arg(long)]
    pub dev: bool,
    /// Before it serves, removes what `--dev` has made in this data directory: its access key, and its users with their
    /// links and devices.
    #[arg(long, conflicts_with = "dev")]
    pub remove_dev: bool,
    /// TOML file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory (`server.data_dir`).
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Any key of the configuration, for example --set mqtt.listen=0.0.0.0:1883.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Logs as JSON, one object a line.
    #[arg(long)]
    pub log_json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// One JSON object a step instead of a timeline.
    #[arg(long)]
    pub json: bool,
    /// Keep data and logs in this folder.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Terminal {
    /// The answer of the devices API, as a JSON file; it holds the secret, so it is not a flag.
    #[arg(long, value_name = "FILE")]
    pub credentials: PathBuf,
    /// Authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Where rings are remembered.
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// Picture to play: VP8 in IVF. Without it the built-in clip of the user's name, if there is one.
    #[arg(long, value_name = "FILE")]
    pub play_video: Option<PathBuf>,
    /// Speech to play: Opus in Ogg.
    #[arg(long, value_name = "FILE")]
    pub play_audio: Option<PathBuf>,
    /// Records what is received, one file per source.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Signalling only: joins no channel.
    #[arg(long)]
    pub no_media: bool,
    /// A seeded bug: `doubt_unacknowledged` or `repeats_believed`.
    #[cfg(feature = "faults")]
    #[arg(long, hide = true)]
    pub fault: Option<String>,
    /// Accepts every call after so many milliseconds.
    #[arg(long, value_name = "MS")]
    pub accept_after_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
