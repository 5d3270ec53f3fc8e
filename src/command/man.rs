//! `refreshd man`: the manual's pages.

use std::path::PathBuf;

use super::{Exit, Failed, Printer};

/// Arguments of `refreshd man`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory that the pages are written to: refreshd.1 and one for each command.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the pages of a command line.
pub(super) fn run(
    args: &Args,
    commands: clap::Command,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let failed = |error| Failed::new(Exit::Io, format!("{}: {error}", args.out.display()));
    std::fs::create_dir_all(&args.out).map_err(failed)?;
    clap_mangen::generate_to(commands, &args.out).map_err(failed)?;
    printer.line(&format!("the manual is in {}", args.out.display()));
    Ok(Exit::Ok)
}
