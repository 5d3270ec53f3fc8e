//! `refreshd completions`: what a shell completes.

use clap_complete::{Shell, generate};

use super::{Exit, Printer};

/// Arguments of `refreshd completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// For which shell.
    shell: Shell,
}

/// Writes the completions of a command line.
pub(super) fn run(args: &Args, mut commands: clap::Command, printer: &mut Printer) -> Exit {
    let mut script = Vec::new();
    generate(args.shell, &mut commands, "refreshd", &mut script);
    printer.line(String::from_utf8_lossy(&script).trim_end());
    Exit::Ok
}
