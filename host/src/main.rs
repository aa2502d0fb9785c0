//! The `gatewright` program.

use std::process::ExitCode;

use clap::Parser;
use gatewright::cli::{CommandLine, main as run};

/// Gives memory back after a burst, and is quicker than the system's under many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    ExitCode::from(run(CommandLine::parse(), environment))
}
