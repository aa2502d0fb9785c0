//! The `gatewright` program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gatewright::cli::{CommandLine, Invocation, main as run};

/// Gives memory back after a burst, and is quicker than the system's under many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A page of 2 MiB is held whole for one block of it, and what a burst left free is not given back: without them an
    // idle process holds a third less. A kernel without them says so, and nothing is lost.
    let _without = rustix::thread::disable_transparent_huge_pages(true);
    #[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut arguments = std::env::args_os();
    // A name without a folder was found in PATH, which may have another one tomorrow.
    let named = arguments.next().map(PathBuf::from).filter(|program| program.components().count() > 1);
    let program = named.or_else(|| std::env::current_exe().ok()).unwrap_or_default();
    let invocation = Invocation { program, arguments: arguments.collect() };
    ExitCode::from(run(CommandLine::parse(), environment, invocation))
}
