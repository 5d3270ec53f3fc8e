//! This room is what an operator types: it parses arguments, does one thing, prints, and exits.
//!
//! Enters: arguments, a configuration file, standard input. Leaves: text or JSON on standard output,
//! problems on standard error, and a documented exit code.
//! **Invariant:** only this room prints, and only through [`Printer`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::clock::{SharedClock, SystemClock};
use crate::database::DatabaseError;
use crate::journal::Decision;

mod api;
mod baseline;
mod branches;
mod check;
mod control;
mod decide;
mod demo;
mod deploy;
mod doctor;
mod explain;
mod gate;
mod help;
mod history;
mod hook;
mod hooks;
mod index;
mod init;
mod intents;
mod listen;
mod pause;
mod plan;
mod printer;
mod quota;
mod reasons;
mod reload;
mod renew;
mod run;
mod sandbox;
mod simulate;
mod status;
mod story;
mod table;
mod tasks;
mod terminal;
mod treasury;
mod wait;
mod wish;
mod words;

pub use printer::Printer;

/// How the process ends; numbers above 60 are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is as asked.
    Ok = 0,
    /// What was asked about isn't so: not ready, a demo step failed, a target was refused.
    No = 1,
    /// The command line is wrong.
    Usage = 64,
    /// No daemon answers.
    Unavailable = 69,
    /// The daemon stopped by itself: a task failed.
    Software = 70,
    /// A file, socket or database could not be read or written.
    Io = 74,
    /// Another daemon uses the state directory.
    Busy = 75,
    /// The credentials could not be read.
    Credentials = 77,
    /// The configuration is wrong.
    Config = 78,
}

/// A problem that ends a command: what it is, what to do, and the exit code.
#[derive(Debug)]
pub struct Failed {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong and what to do about it; may have several lines.
    pub message: String,
    /// The event that it is in the log, if it has a name there.
    event: Option<&'static str>,
}

impl Failed {
    /// Makes a failure.
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, message: message.to_string(), event: None }
    }

    /// Names its event in the log, if the database caused it.
    fn because(self, error: &DatabaseError) -> Self {
        let is_damage = matches!(error, DatabaseError::Corrupt(_));
        Self { event: is_damage.then_some("database-damaged"), ..self }
    }
}

/// Keeps Alibaba Cloud CDN fresh: watches an origin's files and refreshes exactly what changed.
#[derive(Debug, Parser)]
#[command(name = "refreshd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT.
    Run(run::Args),
    /// Write a configuration: asks what it needs, and tries key and mapping before.
    Init(init::Args),
    /// Check a configuration file: all problems at once, with their places and remedies.
    Check(check::Args),
    /// Show what would be asked of the CDN if these paths changed, and why. Asks nothing of it.
    Plan(plan::Args),
    /// Go through a recorded history in virtual time: what it would have cost, and how late changes
    /// would have been. Asks nothing of anybody.
    Simulate(simulate::Args),
    /// Show what a file or URL comes to, rule by rule: those that fire and those that don't.
    Explain(explain::Args),
    /// Show what the running daemon watches, waits for and has spent.
    Status(status::Args),
    /// List intents, the newest first: all, or those that wait, failed, belong to a deploy and so on.
    List(intents::ListArgs),
    /// Show all that is known of an intent or a deploy.
    Show(story::ShowArgs),
    /// Show what became of a URL or a path, step by step, or why nothing did.
    Why(story::WhyArgs),
    /// Ask once more for intents that failed or wait, now.
    Retry(intents::RetryArgs),
    /// Call pending intents off.
    Cancel(intents::CancelArgs),
    /// Show how the day of each account stands.
    Quota(quota::Args),
    /// Let go out what is held of a deploy.
    Approve(decide::Args),
    /// Drop what is held of a deploy.
    Reject(decide::Args),
    /// Ask nothing more of the CDN for an origin, an account or at all; changes are still collected.
    Pause(pause::Args),
    /// End a pause.
    Resume(pause::Args),
    /// Show what waits until the web servers serve it, and why; or let it go.
    Gate(gate::Args),
    /// Hold a deploy open while it pauses, let it close, or show what became of it.
    Deploy(deploy::Args),
    /// Wait until all that was written by now is refreshed: a step of a build.
    Wait(wait::Args),
    /// Write down what changed in which deploy, as `simulate` reads it.
    History(history::Args),
    /// What a git repository's own hooks run.
    Hook(hook::Args),
    /// List what hooks told of pushes and what became of it, show one, or do it once more.
    Hooks(hooks::Args),
    /// Show how far the index of each origin is: on a terminal until every file has a digest.
    Index(index::Args),
    /// Take an origin's tree as it is now, anew: earlier changes are not refreshed.
    Baseline(baseline::Args),
    /// Have the running daemon read its configuration again: what is the same runs on undisturbed.
    Reload(reload::Args),
    /// Look for what is wrong: what it costs, and the command that repairs it.
    Doctor(doctor::Args),
    /// Show what the CDN itself knows of the tasks of the last three days, whoever asked for them.
    Tasks(tasks::Args),
    /// Ask for a refresh by hand.
    Refresh(wish::RefreshArgs),
    /// Ask for a prefetch by hand.
    Prefetch(wish::PrefetchArgs),
    /// Run a local stand-in for the CDN: its API and a caching edge in front of your web server.
    Sandbox(sandbox::Args),
    /// Show the whole way from a saved file to a fresh edge, on this machine, in seconds.
    Demo(demo::Args),
    /// Write what completes command lines in a shell.
    Completions(help::CompletionsArgs),
    /// Write a manual page, or all of them into a directory.
    Man(help::ManArgs),
}

/// The configuration of a daemon that nobody told otherwise.
const DEFAULT_CONFIG: &str = "/etc/refreshd/refreshd.toml";

/// Which configuration a command is about.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArg {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

/// Parses the command line, does what it says, and returns how the process ends.
#[must_use]
pub fn main() -> ExitCode {
    let mut printer = Printer::standard();
    let parsed =
        help::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            return ExitCode::from(exit as u8);
        }
    };
    let clock: SharedClock = SystemClock::shared();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.problem(&format!("the runtime could not be started: {error}"));
            return ExitCode::from(Exit::Io as u8);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => Box::pin(run::run(args, clock, &mut printer)).await,
            Command::Init(args) => init::run(args, clock, &mut printer).await,
            Command::Check(args) => check::run(&args, &mut printer),
            Command::Plan(args) => plan::run(args, clock, &mut printer).await,
            Command::Simulate(args) => simulate::run(&args, &mut printer),
            Command::Explain(args) => explain::run(&args, &mut printer).await,
            Command::Status(args) => status::run(args, &mut printer).await,
            Command::List(args) => intents::list(args, &mut printer).await,
            Command::Show(args) => story::show(args, &mut printer).await,
            Command::Why(args) => story::why(args, &mut printer).await,
            Command::Retry(args) => intents::retry(args, &mut printer).await,
            Command::Cancel(args) => intents::cancel(args, &mut printer).await,
            Command::Quota(args) => quota::run(args, &mut printer).await,
            Command::Approve(args) => decide::run(args, Decision::Approve, &mut printer).await,
            Command::Reject(args) => decide::run(args, Decision::Reject, &mut printer).await,
            Command::Pause(args) => pause::run(args, true, &mut printer).await,
            Command::Resume(args) => pause::run(args, false, &mut printer).await,
            Command::Gate(args) => gate::run(args, &mut printer).await,
            Command::Deploy(args) => deploy::run(args, &mut printer).await,
            Command::Wait(args) => wait::run(args, clock, &mut printer).await,
            Command::History(args) => history::run(args, clock, &mut printer).await,
            Command::Hook(args) => hook::run(args, clock, &mut printer).await,
            Command::Hooks(args) => hooks::run(args, &mut printer).await,
            Command::Index(args) => index::run(args, &mut printer).await,
            Command::Baseline(args) => baseline::run(args, &mut printer).await,
            Command::Reload(args) => reload::run(args, &mut printer).await,
            Command::Doctor(args) => doctor::run(args, clock, &mut printer).await,
            Command::Tasks(args) => tasks::run(args, clock, &mut printer).await,
            Command::Refresh(args) => wish::refresh(args, &mut printer).await,
            Command::Prefetch(args) => wish::prefetch(args, &mut printer).await,
            Command::Sandbox(args) => sandbox::run(args, clock, &mut printer).await,
            Command::Demo(args) => demo::run(args, clock, &mut printer).await,
            Command::Completions(args) => Ok(help::completions(&args, &mut printer)),
            Command::Man(args) => help::man(&args, &mut printer),
        }
    });
    // Work on blocking threads is durable or repeatable: don't wait for it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failed) => {
            printer.problem(&failed.message);
            ExitCode::from(failed.exit as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::help::command().debug_assert();
    }
}
