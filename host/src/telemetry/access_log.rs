//! Writes access-log lines from a thread of its own, many at a time.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Condvar, Mutex};

use crate::config::AccessLogTarget;

/// Lines on their way to the access log.
#[derive(Debug)]
pub struct AccessLog {
    shared: Option<Arc<Shared>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    closed: bool,
}

/// Bytes that may wait; lines past it are dropped and counted, so that a stuck disk does not hold requests up.
const WAITING_MAX: usize = 8 << 20;

/// How long the writer gathers lines before it writes them.
const GATHER: Duration = Duration::from_millis(20);

impl AccessLog {
    /// Opens the target and starts the writer.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn start(target: &AccessLogTarget) -> anyhow::Result<Self> {
        let output: Box<dyn Write + Send> = match target {
            AccessLogTarget::Off => return Ok(Self { shared: None, writer: Mutex::new(None) }),
            AccessLogTarget::Stdout => Box::new(io::stdout()),
            AccessLogTarget::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.with_context(|| format!("open access log {}", path.display()))?)
            }
        };
        let shared = Arc::new(Shared::default());
        let writer = std::thread::Builder::new().name("access-log".to_owned()).spawn({
            let shared = shared.clone();
            move || write_lines(&shared, output)
        })?;
        Ok(Self { shared: Some(shared), writer: Mutex::new(Some(writer)) })
    }

    /// Whether lines go anywhere.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// Takes one line, written into the buffer by `write`, without waiting for the disk.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(shared) = &self.shared else { return };
        let mut lines = shared.lines.lock();
        if lines.bytes.len() > WAITING_MAX {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let wake = lines.bytes.is_empty();
        write(&mut lines.bytes);
        lines.bytes.push(b'\n');
        drop(lines);
        if wake {
            shared.wake.notify_one();
        }
    }

    /// Lines dropped because the target could not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.dropped.load(Ordering::Relaxed))
    }

    /// Writes what waits and ends the writer.
    pub fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.lines.lock().closed = true;
            shared.wake.notify_one();
        }
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the access-log writer panicked");
        }
    }
}

fn write_lines(shared: &Shared, mut output: Box<dyn Write + Send>) {
    let mut batch = Vec::new();
    loop {
        let mut lines = shared.lines.lock();
        while lines.bytes.is_empty() && !lines.closed {
            shared.wake.wait(&mut lines);
        }
        if !lines.closed {
            shared.wake.wait_for(&mut lines, GATHER);
        }
        std::mem::swap(&mut lines.bytes, &mut batch);
        let closed = lines.closed;
        drop(lines);
        if let Err(error) = output.write_all(&batch).and_then(|()| output.flush()) {
            tracing::warn!(%error, "access log cannot be written");
        }
        batch.clear();
        if closed {
            return;
        }
    }
}
