//! The `refreshd` binary: everything is in the library's command room.

use std::process::ExitCode;

fn main() -> ExitCode {
    refreshd::command::main()
}
