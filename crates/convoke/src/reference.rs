//! The reference of the command line, in Markdown, from its own definition.

use clap::{Arg, Command};
use std::fmt::Write;

const HEAD: &str = "# Command line

Data goes to standard output, words for people to standard error. Lists are tables for people and, with `--json`, what
the API answers. What destroys asks first; without a terminal it needs `--yes`. `NO_COLOR` is kept to. How all of it is
used: [administer.md](how-to/administer.md). This page is generated.

| exit code | |
|---|---|
| 0 | done |
| 1 | failed, or the answer is no |
| 2 | the command cannot be meant like that |
| 69 | the server cannot be reached |
| 78 | the configuration, a profile, or a file that one names is wrong |
| 130 | interrupted |
";

pub(crate) fn markdown(mut program: Command) -> String {
    // Names of values and the like are settled only then.
    program.build();
    let mut text = String::from(HEAD);
    for command in shown(&program) {
        let _ = writeln!(text, "\n## `convoke {}`\n\n{}.", command.get_name(), about(command));
        let verbs: Vec<_> = shown(command).collect();
        if verbs.is_empty() {
            arguments(&mut text, own(command));
        }
        for (noun, verb) in verbs.into_iter().flat_map(|verb| leaves(command.get_name().to_owned(), verb)) {
            let _ = writeln!(text, "\n### `{}`\n\n{}.", usage(&noun, verb), about(verb));
            arguments(&mut text, own(verb));
        }
        examples(&mut text, command);
    }
    let nouns: Vec<_> = shown(&program).filter(|command| shown(command).next().is_some()).collect();
    if let Some(first) = nouns.first() {
        let names: Vec<_> = nouns.iter().map(|noun| format!("`{}`", noun.get_name())).collect();
        let _ = writeln!(text, "\n## Options of {}", names.join(", "));
        arguments(&mut text, first.get_arguments().filter(|argument| argument.is_global_set()));
    }
    text
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// The command, or the verbs of it if it is a noun itself; each with what stands before it.
fn leaves(before: String, command: &Command) -> Vec<(String, &Command)> {
    let noun = format!("{before} {}", command.get_name());
    let verbs: Vec<_> = shown(command).map(|verb| (noun.clone(), verb)).collect();
    if verbs.is_empty() { vec![(before, command)] } else { verbs }
}

fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| !argument.is_global_set() && argument.get_id() != "help")
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// With what cannot be left out.
fn usage(noun: &str, verb: &Command) -> String {
    let needed = verb.get_arguments().filter(|argument| argument.is_required_set());
    let needed = needed.map(|argument| format!(" {argument}"));
    format!("convoke {noun} {}{}", verb.get_name(), needed.collect::<String>())
}

fn arguments<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<_> = arguments.filter(|argument| !argument.is_hide_set()).filter_map(row).collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n| | |\n|---|---|\n{}", rows.concat());
    }
}

/// `None` of one whose name says all.
fn row(argument: &Arg) -> Option<String> {
    let mut help: Vec<_> = argument.get_help().map(ToString::to_string).into_iter().collect();
    // A flag has the values true and false, which nobody gives.
    if argument.get_action().takes_values() {
        let values = argument.get_possible_values().into_iter().map(|value| match value.get_help() {
            Some(words) => format!("`{}`: {words}", value.get_name()),
            None => format!("`{}`", value.get_name()),
        });
        help.extend(Some(values.collect::<Vec<_>>().join("; ")).filter(|values| !values.is_empty()));
        let defaults = argument.get_default_values().iter();
        help.extend(defaults.map(|default| format!("`{}` without it", default.to_string_lossy())));
    }
    let help = help.join(". ").replace('|', "\\|").replace('\n', " ");
    (!help.is_empty()).then(|| format!("| `{argument}` | {help} |\n"))
}

fn examples(text: &mut String, command: &Command) {
    let words = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines: Vec<_> = words.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    if !lines.is_empty() {
        let _ = writeln!(text, "\n```\n{}\n```", lines.join("\n"));
    }
}
