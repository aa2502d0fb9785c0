//! The real binary as a child process whose output is kept and can be waited for.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::DEADLINE;

/// A command that runs the binary: `GATEWRIGHT_BIN`, or the one built beside this test.
#[must_use]
pub fn gatewright() -> Command {
    command(binary())
}

/// As `gatewright`, with the binary beside it that serves components.
#[must_use]
pub fn gatewright_with_components() -> Command {
    command(binary().with_file_name("gatewright-wasi-http"))
}

fn binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(|deps| deps.parent()).unwrap().join("gatewright")
    };
    std::env::var_os("GATEWRIGHT_BIN").map_or_else(beside, PathBuf::from)
}

fn command(binary: PathBuf) -> Command {
    assert!(binary.exists(), "{} is missing: build it first (`make build components`)", binary.display());
    // Not the user's own cache; and one for all, since most tests use the same plugins.
    let cache = binary.with_file_name("test-cache");
    let mut command = Command::new(binary);
    command.env_remove("GATEWRIGHT_WORKERS").env("GATEWRIGHT_CACHE", cache).stdin(Stdio::null());
    command
}

/// A running child: killed when dropped, its standard error shown if the test is failing.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Standard output so far.
    pub stdout: Lines,
    /// Standard error so far.
    pub stderr: Lines,
}

impl Process {
    /// Starts a command.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::collect(child.stdout.take().unwrap());
        let stderr = Lines::collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
    }

    /// Sends SIGUSR2.
    pub fn upgrade(&self) {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::USR2).unwrap();
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::HUP).unwrap();
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        // The child holds the write end of both pipes, so their end is its end.
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        self.child.wait().unwrap()
    }

    /// Resident memory in bytes: now, and at its highest.
    #[must_use]
    pub fn resident_bytes(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// How many files, sockets and the like it has open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            self.stderr.add(format!("(cannot be killed: {error})"));
        }
        for pid in self.stderr.all().iter().filter_map(|line| successor(line)) {
            if let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
                self.stderr.add(format!("(successor {pid:?} is gone: {error})"));
            }
        }
        if std::thread::panicking() {
            self.stderr.show();
        }
    }
}

/// The process that a line of the log says it handed over to.
fn successor(line: &str) -> Option<rustix::process::Pid> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").filter(|fields| fields["message"] == "handed over")?;
    rustix::process::Pid::from_raw(i32::try_from(fields["pid"].as_i64()?).ok()?)
}

/// Lines of a pipe, as they come.
#[derive(Debug, Clone)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn collect(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let writer = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                writer.add(line);
            }
            writer.0.0.lock().unwrap().ended = true;
            writer.0.1.notify_all();
        });
        lines
    }

    /// All there are.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// Waits for the first line from which `find` takes something; `what` says what is waited for.
    pub fn wait_for<T>(&self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        let mut seen = 0;
        let mut written = self.0.0.lock().unwrap();
        loop {
            if let Some(found) = written.lines.iter().skip(seen).find_map(|line| find(line)) {
                return found;
            }
            seen = written.lines.len();
            let left = until.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                let lines = written.lines.join("\n");
                // Whoever shows the lines while this panic unwinds must find the lock free.
                drop(written);
                panic!("no {what} in:\n{lines}");
            }
            written = self.0.1.wait_timeout(written, left).unwrap().0;
        }
    }

    fn wait_for_end(&self) {
        let written = self.0.0.lock().unwrap();
        let (written, timeout) = self.0.1.wait_timeout_while(written, DEADLINE, |written| !written.ended).unwrap();
        assert!(!timeout.timed_out(), "the process does not end:\n{}", written.lines.join("\n"));
    }

    fn add(&self, line: String) {
        self.0.0.lock().unwrap().lines.push(line);
        self.0.1.notify_all();
    }

    #[expect(clippy::print_stderr, reason = "a failing test shows what the process wrote")]
    fn show(&self) {
        eprintln!("--- the process wrote:\n{}\n---", self.all().join("\n"));
    }
}
