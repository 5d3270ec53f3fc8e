//! The binary.

use clap::Parser;
use refreshd::command::sandbox::{SandboxArguments, run};

#[derive(Parser)]
enum Command {
    Sandbox(SandboxArguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Sandbox(arguments) = Command::parse();
    run(arguments, &mut std::io::stdout()).await
}
