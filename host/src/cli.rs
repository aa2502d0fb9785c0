//! The command line.

mod ask;
mod check;
mod inspect;
mod providers;
mod run;
mod sign;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Environment;
use crate::mock::MockArgs;
use crate::reload::Source;
use crate::telemetry::{LogFormat, start_logging};

pub use run::RunArgs;
pub use sign::{KeygenArgs, SignArgs};

/// A programmable API and LLM gateway whose every policy is a sandboxed WebAssembly component.
#[derive(Debug, Parser)]
#[command(name = "gatewright", version)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,gatewright::server=debug`.
    #[arg(long, global = true, default_value = "info")]
    log: String,
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Run(RunArgs),
    /// Prove a configuration and its plugins, and tell every fault.
    Check(CheckArgs),
    /// Tell what a plugin is: its phases, powers, schema and size.
    Inspect(InspectArgs),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// List the providers of models that upstreams can name.
    Providers(ProvidersArgs),
    /// Make a key that signs plugins.
    Keygen(KeygenArgs),
    /// Sign plugins.
    Sign(SignArgs),
    /// Ask a running gateway what it serves and what is wrong.
    Status(AskArgs),
    /// Ask a running gateway to look for changes now.
    Reload(AskArgs),
    /// Ask a running gateway to start its program anew and hand over to it.
    Upgrade(AskArgs),
    /// Prepare one plugin, told on standard input. The gateway runs this itself.
    #[command(hide = true)]
    Prepare,
    /// Run a server that speaks like OpenAI and Anthropic, to try and test with.
    Mock(MockArgs),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// The configuration: a YAML file, or a folder of them.
    #[arg(long, short, default_value = "gatewright.yaml", env = "GATEWRIGHT_CONFIG")]
    pub config: PathBuf,
    /// Where compiled plugins are kept, so that the next start need not compile them. Nobody else may write there. If
    /// absent: `gatewright` in CACHE_DIRECTORY, in XDG_CACHE_HOME, or in `.cache` of HOME; empty for nowhere.
    #[arg(long, env = "GATEWRIGHT_CACHE")]
    pub cache: Option<PathBuf>,
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prove a configuration.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Tell what a plugin is.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The plugin: a component, or a core module as a compiler leaves it.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// List the providers of models.
#[derive(Debug, Clone, Copy, Args)]
pub struct ProvidersArgs {
    /// For programs: a JSON object of all that is known, by name.
    #[arg(long)]
    json: bool,
}

/// Ask a running gateway.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// The gateway's admin address.
    #[arg(long, default_value = "127.0.0.1:9901", env = "GATEWRIGHT_ADMIN")]
    admin: std::net::SocketAddr,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How this process was started, and its successor will be.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The program's file.
    pub program: PathBuf,
    /// All that followed it.
    pub arguments: Vec<OsString>,
}

/// Does what the command line says. The exit code: 0 done, 1 failed, 2 the configuration has faults.
#[must_use]
pub fn main(command_line: CommandLine, environment: Environment, invocation: Invocation) -> u8 {
    let quiet = !matches!(command_line.command, Command::Run(_) | Command::Mock(_) | Command::Prepare);
    let filter = if quiet && command_line.log == "info" { "off" } else { &command_line.log };
    let done = start_logging(command_line.log_format, filter).and_then(|()| {
        if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider is installed already");
        }
        let log = log_arguments(&command_line);
        match command_line.command {
            Command::Run(args) => run::run(&args, environment, log, invocation),
            Command::Check(args) => check::check(&args, environment),
            Command::Prepare => crate::plugin::serve_one().map(|()| 0),
            Command::Inspect(args) => inspect::inspect(&args),
            Command::Providers(args) => providers::providers(args),
            Command::Keygen(args) => sign::keygen(&args),
            Command::Sign(args) => sign::sign(&args),
            Command::Schema => print(&format!("{:#}", crate::config::schema())),
            Command::Status(args) => ask::status(&args),
            Command::Reload(args) => ask::reload(&args),
            Command::Upgrade(args) => ask::upgrade(&args),
            Command::Mock(args) => mock(args),
        }
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            print_error(&format!("gatewright: {error:#}"));
            1
        }
    }
}

/// What makes a child log as this process does.
fn log_arguments(command_line: &CommandLine) -> Vec<String> {
    let format = command_line.log_format.to_possible_value();
    let format = format.map_or_else(String::new, |format| format!("--log-format={}", format.get_name()));
    vec![format!("--log={}", command_line.log), format]
}

fn mock(args: MockArgs) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(crate::mock::run(args))?;
    Ok(0)
}

impl ConfigArgs {
    fn source(&self, environment: Environment) -> Source {
        let cache = self.cache(&environment);
        Source { config: self.config.clone(), environment, cache }
    }

    fn cache(&self, environment: &Environment) -> Option<PathBuf> {
        let below = |name: &str, folder: &str| {
            let base = environment.get(name).filter(|base| !base.is_empty())?;
            Some(PathBuf::from(base).join(folder))
        };
        match &self.cache {
            Some(cache) => Some(cache.clone()).filter(|cache| !cache.as_os_str().is_empty()),
            None => below("CACHE_DIRECTORY", "gatewright")
                .or_else(|| below("XDG_CACHE_HOME", "gatewright"))
                .or_else(|| below("HOME", ".cache/gatewright")),
        }
    }
}

/// Prints a result. A reader that went away is no failure of ours.
fn print(text: &str) -> anyhow::Result<u8> {
    use std::io::Write;
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        tracing::debug!(%error, "nobody reads the result");
    }
    Ok(0)
}

fn print_error(text: &str) {
    use std::io::Write;
    if let Err(error) = writeln!(std::io::stderr(), "{text}") {
        tracing::debug!(%error, "nobody reads the error");
    }
}
