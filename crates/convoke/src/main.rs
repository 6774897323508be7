//! The command line of Convoke.

mod cli;
mod demo;
mod owner;
mod reference;
mod terminal;

use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory, Parser};
use cli::{Cli, Command, Document, Serve};
use convoke::config::{Config, ConfigError, Layers, Origin};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Exit codes of sysexits(3).
const BAD_CONFIGURATION: u8 = 78;
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    convoke::install_crypto();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("convoke: {}", convoke::explain(&error));
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<owner::Failure>() {
        return failure.exit_code();
    }
    let is_configuration = error.chain().any(|cause| cause.is::<ConfigError>());
    if is_configuration { BAD_CONFIGURATION } else { FAILED }
}

/// Returns no success only where a no is the answer, and has been printed.
fn dispatch(command: Command) -> Result<ExitCode> {
    let done = match command {
        Command::Owner(command) => {
            // Keys and profiles.
            convoke::make_files_private();
            return runtime()?.block_on(owner::run(command));
        }
        Command::Serve(serve) => {
            let config = configure(&serve)?;
            start_logs(serve.log_json)?;
            convoke::make_files_private();
            runtime()?.block_on(convoke::serve::run(config))
        }
        Command::Demo(demo) => runtime()?.block_on(demo::run(demo)),
        Command::Terminal(terminal) => {
            start_logs(true)?;
            let runtime = runtime()?;
            let end = runtime.block_on(terminal::run(terminal));
            // Standard input is read by a thread that ends only with a line, which may never come.
            runtime.shutdown_background();
            end
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "convoke", &mut script);
            convoke::print_line(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        Command::Man { folder } => write_man_pages(&folder),
        Command::Print { document } => {
            convoke::print_line(text_of(document)?.trim_end());
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn write_man_pages(folder: &Path) -> Result<()> {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    let remedy = "remedy: name a folder that this user may write to";
    written.with_context(|| format!("cannot write man pages to {}\n  {remedy}", folder.display()))
}

fn text_of(document: Document) -> Result<String> {
    match document {
        Document::Openapi => Ok(serde_json::to_string_pretty(&convoke::openapi())?),
        Document::Api => Ok(convoke::api_reference()),
        Document::Configuration => Ok(convoke::config::markdown()),
        Document::Cli => Ok(reference::markdown(Cli::command())),
        Document::Signalling => Ok(meeting::reference::page()),
        Document::SignallingSchema => Ok(signalling::schema::document()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the run time")
}

/// Flag over environment over file over default.
fn configure(serve: &Serve) -> Result<Config> {
    let mut layers = Layers::default();
    if let Some(file) = &serve.config {
        layers.add_file(file)?;
    }
    layers.add_environment(std::env::vars())?;
    if let Some(data) = &serve.data {
        layers.set_text("server.data_dir", data, Origin::Flag("--data".into()))?;
    }
    for setting in &serve.set {
        let (key, value) = setting.split_once('=').ok_or_else(|| ConfigError::Setting(setting.clone()))?;
        layers.set_text(key, value, Origin::Flag(format!("--set {key}")))?;
    }
    Ok(Config { remove_dev: serve.remove_dev, ..Config::check(&layers, serve.dev)? })
}

/// To standard error; what is logged is chosen by `CONVOKE_LOG` (default `info`).
fn start_logs(json: bool) -> Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var("CONVOKE_LOG")
        .from_env()
        .context("CONVOKE_LOG cannot be used\n  remedy: give a level or `target=level`, for example info,broker=debug")?
        // On `debug` the ICE agent writes passwords of peers.
        .add_directive("is=info".parse()?);
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = if json { logs.json().try_init() } else { logs.try_init() };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))
}
