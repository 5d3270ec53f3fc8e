//! What commands say of themselves: an example each, manual pages, and completions for shells.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, Failed, Printer};

/// An example of every command that does something, by its words.
const EXAMPLES: &[(&str, &str)] = &[
    ("approve", "refreshd approve d1a2b3c4:12        # what `status` showed, and no more"),
    (
        "baseline",
        "refreshd baseline www --refresh     # after a restore whose changes nobody knows",
    ),
    (
        "check",
        "refreshd check --strict             # in a build: risky settings fail, too\n  \
               refreshd check --explain origin.www # what holds, and where each value comes from",
    ),
    ("completions", "refreshd completions bash > /etc/bash_completion.d/refreshd"),
    ("demo", "refreshd demo"),
    (
        "deploy begin",
        "refreshd deploy begin www           # then rsync, and: refreshd deploy end www",
    ),
    ("deploy end", "refreshd deploy end www && refreshd wait --origin www"),
    ("deploy list", "refreshd deploy list www"),
    ("deploy show", "refreshd deploy show                # the newest one"),
    ("doctor", "refreshd doctor                     # as root it sees as much as the daemon"),
    (
        "explain",
        "refreshd explain /srv/www/blog/index.html\n  \
                 refreshd explain https://www.example.com/blog/",
    ),
    ("gate", "refreshd gate"),
    ("gate open", "refreshd gate open www"),
    ("history", "refreshd history --since 30d | gzip > history.gz"),
    (
        "hook post-receive",
        "exec refreshd hook post-receive     # all of a repository's hooks/post-receive",
    ),
    ("hooks list", "refreshd hooks list --open"),
    ("hooks replay", "refreshd hooks replay 17"),
    ("hooks show", "refreshd hooks show 17 --body"),
    ("index", "refreshd index"),
    (
        "init",
        "refreshd init                       # asks\n  \
              refreshd init --yes --root /srv/www --domain www.example.com --credentials-from ecs",
    ),
    ("man", "refreshd man plan | man -l -\n  refreshd man --out /usr/share/man/man1"),
    ("pause", "refreshd pause www"),
    ("plan", "refreshd plan /srv/www/index.html\n  git diff --name-only | refreshd plan -"),
    ("prefetch", "refreshd prefetch https://www.example.com/video.mp4"),
    (
        "refresh",
        "refreshd refresh https://www.example.com/a.html\n  \
                 refreshd refresh --directory https://www.example.com/news/",
    ),
    ("reject", "refreshd reject d1a2b3c4            # all that is held of it"),
    ("resume", "refreshd resume www"),
    ("run", "refreshd run --config refreshd.toml"),
    ("sandbox", "refreshd sandbox --origin http://127.0.0.1:8080 --time-scale 60"),
    ("simulate", "refreshd simulate --history history.gz --policy cover,per-url"),
    ("status", "refreshd status --watch"),
    ("tasks", "refreshd tasks --since 2h --status failed"),
    ("wait", "rsync -a site/ /srv/www/ && refreshd wait --timeout 15m"),
    (
        "list",
        "refreshd list --outcome failed\n  refreshd list --wait quota --origin www\n  refreshd list --target /blog/ --limit 500 --json",
    ),
    (
        "retry",
        "refreshd retry 4711\n  refreshd retry --outcome failed --origin www\n  refreshd retry --wait quota",
    ),
    (
        "cancel",
        "refreshd cancel 4711 4712\n  refreshd cancel --deploy d0643f1c2a9d00-1a2b\n  refreshd cancel --origin www --yes",
    ),
    ("show", "refreshd show 4711\n  refreshd show d0643f1c2a9d00-1a2b --json"),
    (
        "why",
        "refreshd why https://www.example.com/blog/\n  refreshd why /srv/www/blog/index.html\n  refreshd why blog/index.html --origin www --json",
    ),
    ("quota", "refreshd quota\n  refreshd quota --json"),
    (
        "reload",
        "refreshd reload --dry-run           # what would be different\n  refreshd reload --wait",
    ),
];

/// How the process ends, and what each code means.
pub(super) const EXITS: [(Exit, &str); 9] = [
    (Exit::Ok, "all is as asked"),
    (Exit::No, "what was asked about isn't so: not ready yet, a step failed, a target was refused"),
    (Exit::Usage, "the command line is wrong"),
    (Exit::Unavailable, "no daemon answers"),
    (Exit::Software, "the daemon stopped by itself; what was recorded is kept"),
    (Exit::Io, "a file, socket or database could not be read or written"),
    (Exit::Busy, "another daemon uses the state directory"),
    (Exit::Credentials, "the credentials could not be read"),
    (Exit::Config, "the configuration is wrong"),
];

/// Returns the command line with an example for each command.
pub(super) fn command() -> Command {
    let codes = EXITS.map(|(exit, meaning)| format!("{:4}  {meaning}", exit as u8));
    let cli = Cli::command().after_help(format!("Exit codes:\n{}", codes.join("\n")));
    let names: Vec<String> = cli.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    names.iter().fold(cli, |cli, name| cli.mut_subcommand(name, |one| with_examples(one, name)))
}

fn with_examples(command: Command, words: &str) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = names.iter().fold(command, |command, name| {
        let words = format!("{words} {name}");
        command.mut_subcommand(name, |below| with_examples(below, &words))
    });
    let Some((_, example)) = EXAMPLES.iter().find(|(known, _)| *known == words) else {
        return command;
    };
    let more = command.get_after_help().map_or_else(String::new, |more| format!("\n\n{more}"));
    command.after_help(format!("Example:\n  {example}{more}"))
}

/// Arguments of `refreshd completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Of which shell.
    shell: Shell,
}

/// Writes what completes command lines of a shell.
pub(super) fn completions(args: &CompletionsArgs, printer: &mut Printer) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "refreshd", &mut text);
    printer.line(String::from_utf8_lossy(&text).trim_end());
    Exit::Ok
}

/// Arguments of `refreshd man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Of which command; of refreshd itself if none is named.
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
    /// Write all pages into this directory, which is made if it isn't there.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "words")]
    out: Option<PathBuf>,
}

/// Writes manual pages.
pub(super) fn man(args: &ManArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let mut all = Vec::new();
    gather(command(), "refreshd", &mut all);
    if let Some(directory) = &args.out {
        for (name, command) in all {
            write(directory, &name, command)?;
        }
        return Ok(Exit::Ok);
    }
    let wanted = std::iter::once("refreshd").chain(args.words.iter().map(String::as_str));
    let wanted = wanted.collect::<Vec<_>>().join("-");
    let Some((_, command)) = all.into_iter().find(|(name, _)| *name == wanted) else {
        let message = format!("there is no command `{}`", args.words.join(" "));
        return Err(Failed::new(Exit::Usage, message));
    };
    let page = page(command).map_err(|error| Failed::new(Exit::Io, error))?;
    printer.line(String::from_utf8_lossy(&page).trim_end());
    Ok(Exit::Ok)
}

/// Gathers a command and all below it, each under the name of its page.
fn gather(command: Command, name: &str, all: &mut Vec<(String, Command)>) {
    let below: Vec<Command> = command.get_subcommands().cloned().collect();
    let shown = name.to_owned();
    all.push((shown.clone(), command.name(shown)));
    for command in below {
        let name = format!("{name}-{}", command.get_name());
        gather(command, &name, all);
    }
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// Writes a page into a directory, which is made if it isn't there.
fn write(directory: &Path, name: &str, command: Command) -> Result<(), Failed> {
    let path = directory.join(format!("{name}.1"));
    let written = || {
        std::fs::create_dir_all(directory)?;
        std::fs::write(&path, page(command)?)
    };
    written().map_err(|error| Failed::new(Exit::Io, format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::wire::Operation;

    #[test]
    fn every_command_has_an_example_and_every_example_a_command() {
        let mut all = Vec::new();
        gather(command(), "refreshd", &mut all);
        let does = |command: &Command| {
            let is_group = command.has_subcommands() && command.is_subcommand_required_set();
            !is_group && command.get_name() != "refreshd"
        };
        let mut words: Vec<String> = all
            .iter()
            .filter(|(_, command)| does(command))
            .map(|(name, _)| name.trim_start_matches("refreshd-").to_owned())
            .collect();
        words.sort();
        let mut known: Vec<String> =
            EXAMPLES.iter().map(|(words, _)| words.replace(' ', "-")).collect();
        known.sort();
        assert_eq!(words, known);
        for (words, example) in EXAMPLES {
            assert!(example.contains(&format!("refreshd {words}")), "{example}");
        }
    }

    #[test]
    fn all_that_is_said_is_looked_at() {
        let mut all = Vec::new();
        gather(command(), "refreshd", &mut all);
        for (name, command) in all {
            let mut command = command.term_width(100).disable_help_subcommand(true);
            insta::assert_snapshot!(name, command.render_long_help());
        }
    }

    #[test]
    fn the_policy_allows_what_is_called_and_no_more() {
        let recipes = include_str!("../../docs/recipes.md");
        let mut named: Vec<&str> = recipes
            .split("cdn:")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default())
            .filter(|word| !word.is_empty())
            .collect();
        named.sort_unstable();
        named.dedup();
        let mut called: Vec<&str> = Operation::ALL.iter().map(|called| called.as_str()).collect();
        called.sort_unstable();
        assert_eq!(named, called);
    }

    #[test]
    fn the_readme_tells_every_exit_code() {
        let rows = EXITS.map(|(exit, meaning)| format!("| {} | {meaning} |\n", exit as u8));
        let table = format!("| exit code | meaning |\n|---|---|\n{}\n", rows.concat());
        assert!(include_str!("../../README.md").contains(&table), "{table}");
    }
}
