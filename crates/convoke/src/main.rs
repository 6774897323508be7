//! The command line of Convoke.

mod cli;
mod demo;
mod terminal;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use cli::{Cli, Command, Document, Serve};
use convoke::config::{Config, ConfigError, Layers, Origin};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Exit codes of sysexits(3).
const BAD_CONFIGURATION: u8 = 78;
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    convoke::install_crypto();
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("convoke: {}", convoke::explain(&error));
            let configuration = error.chain().any(|cause| cause.is::<ConfigError>());
            ExitCode::from(if configuration { BAD_CONFIGURATION } else { FAILED })
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
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
        Command::Print { document } => {
            convoke::print_line(text_of(document)?.trim_end());
            Ok(())
        }
    }
}

fn text_of(document: Document) -> Result<String> {
    match document {
        Document::Openapi => Ok(serde_json::to_string_pretty(&convoke::openapi())?),
        Document::Configuration => Ok(convoke::config::markdown()),
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
    Ok(Config::check(&layers, serve.dev)?)
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
