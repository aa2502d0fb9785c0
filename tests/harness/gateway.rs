//! A running gateway: configuration in a folder of its own, addresses from its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http1::{Reply, http_get, http_post_within};
use crate::process::{Process, gatewright, gatewright_with_components};

/// What the answer to a reload may take.
const COMPILER_DEADLINE: Duration = Duration::from_secs(180);

/// A running `gatewright run`.
#[derive(Debug)]
pub struct Gateway {
    /// The child.
    pub process: Process,
    /// Where it listens, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// The operator's address.
    pub admin: SocketAddr,
    folder: TempDir,
}

impl Gateway {
    /// Starts with a configuration. An `admin` and a clear-text listener on free ports are added where it has none,
    /// and the repository's drop folder where it has policies.
    #[must_use]
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// As `start`, in a folder that already holds what the configuration refers to.
    #[must_use]
    pub fn start_in(folder: TempDir, config: &str) -> Self {
        Self::run(gatewright(), folder, config)
    }

    /// As `start_in`, with the binary that serves components.
    #[must_use]
    pub fn start_with_components(folder: TempDir, config: &str) -> Self {
        Self::run(gatewright_with_components(), folder, config)
    }

    /// As `start_in`, with more arguments.
    #[must_use]
    pub fn start_with(folder: TempDir, config: &str, arguments: &[&str]) -> Self {
        let file = write_config(&folder, config);
        let mut command = gatewright();
        command.arg("run").args(arguments);
        Self::run_file(command, folder, &file)
    }

    /// As `start_in`, on whatever is in the folder by now.
    #[must_use]
    pub fn restart_in(folder: TempDir) -> Self {
        let file = folder.path().join("gateway.yaml");
        let mut command = gatewright();
        command.arg("run");
        Self::run_file(command, folder, &file)
    }

    /// Tells it to stop, waits for its end, and gives its folder back.
    #[must_use]
    pub fn stop(self) -> (TempDir, ExitStatus) {
        let Self { mut process, folder, .. } = self;
        process.terminate();
        let status = process.wait();
        (folder, status)
    }

    fn run(mut command: Command, folder: TempDir, config: &str) -> Self {
        let file = write_config(&folder, config);
        command.arg("run");
        Self::run_file(command, folder, &file)
    }

    fn run_file(mut command: Command, folder: TempDir, file: &Path) -> Self {
        command.args(["--workers", "2", "--log-format", "json", "--config"]).arg(file);
        let process = Process::start(command);
        process.stderr.wait_for("`ready`", |line| (field(line, "message")? == "ready").then_some(()));
        let mut addresses = Vec::new();
        let mut admin = None;
        for line in process.stderr.all() {
            let address = field(&line, "address").and_then(|text| text.parse().ok());
            match (field(&line, "message").as_deref(), address) {
                (Some("listening"), Some(address)) if !addresses.contains(&address) => addresses.push(address),
                (Some("admin listening"), address) => admin = address,
                _ => {}
            }
        }
        Self { process, addresses, admin: admin.unwrap(), folder }
    }

    /// Where the first listener listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().unwrap()
    }

    /// The folder of the configuration, which is `gateway.yaml` in it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks the operator's address.
    #[must_use]
    pub fn admin_get(&self, path: &str) -> Reply {
        http_get(self.admin, path)
    }

    /// Tells the operator's address to do something. A reload is answered when the compiler is done, which yields to
    /// whatever else this machine does.
    #[must_use]
    pub fn admin_post(&self, path: &str) -> Reply {
        http_post_within(COMPILER_DEADLINE, self.admin, path)
    }

    /// Waits for a line of the access log that `wanted` accepts.
    pub fn access_line(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        self.process.stdout.wait_for(what, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            wanted(&line).then_some(line)
        })
    }

    /// The repository's drop folder.
    #[must_use]
    pub fn plugins() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins")
    }
}

fn write_config(folder: &TempDir, config: &str) -> PathBuf {
    let mut text = config.to_owned();
    if !config.contains("listeners:") {
        text.push_str("\nlisteners: [{ address: \"127.0.0.1:0\" }]\n");
    }
    if !config.contains("admin:") {
        text.push_str("\nadmin: { address: \"127.0.0.1:0\" }\n");
    }
    if config.contains("policies:") && !config.contains("plugins:") {
        text.push_str(&format!("\nplugins: {{ folder: {:?} }}\n", Gateway::plugins()));
    }
    std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A field of a log line, nested under `fields` or not.
pub(crate) fn field(line: &str, name: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let value = line.get("fields").and_then(|fields| fields.get(name)).or_else(|| line.get(name))?;
    value.as_str().map(str::to_owned)
}
