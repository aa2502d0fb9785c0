//! The log lines of a policy or a component: one target, a bounded rate, a bounded length.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{Level, debug, error, info, trace, warn};

/// Lets so many lines through a second and counts the rest.
#[derive(Debug)]
pub struct LogGate(Mutex<Window>);

#[derive(Debug)]
struct Window {
    start: Instant,
    lines: u32,
    dropped: u64,
}

const LINES_PER_SECOND: u32 = 100;
const MESSAGE_MAX: usize = 1 << 10;
const ATTRIBUTES_MAX: usize = 16;

impl Default for LogGate {
    fn default() -> Self {
        Self(Mutex::new(Window { start: Instant::now(), lines: 0, dropped: 0 }))
    }
}

impl LogGate {
    /// Whether a line at this level would be written.
    #[must_use]
    pub fn enabled(level: Level) -> bool {
        level <= tracing::level_filters::LevelFilter::current()
    }

    /// Writes one line of a policy, or counts it.
    pub fn emit(&self, policy: &str, request: &str, level: Level, line: (&str, &[(String, String)])) {
        let (message, attributes) = line;
        if !Self::enabled(level) {
            return;
        }
        let Some(dropped) = self.admit() else { return };
        if dropped > 0 {
            warn!(policy, dropped, "policy logs too much");
        }
        let message = cut(message);
        let attributes: Vec<String> = attributes
            .iter()
            .take(ATTRIBUTES_MAX)
            .map(|(name, value)| format!("{}={}", cut(name), cut(value)))
            .collect();
        let attributes = attributes.join(" ");
        match level {
            Level::ERROR => error!(policy, request, said = message, attributes, "policy says"),
            Level::WARN => warn!(policy, request, said = message, attributes, "policy says"),
            Level::INFO => info!(policy, request, said = message, attributes, "policy says"),
            Level::DEBUG => debug!(policy, request, said = message, attributes, "policy says"),
            Level::TRACE => trace!(policy, request, said = message, attributes, "policy says"),
        }
    }

    /// Writes one line that a component printed, or counts it.
    pub fn print(&self, upstream: &str, request: &str, line: &str) {
        if !Self::enabled(Level::INFO) {
            return;
        }
        let Some(dropped) = self.admit() else { return };
        if dropped > 0 {
            warn!(upstream, dropped, "component logs too much");
        }
        info!(upstream, request, said = cut(line), "component says");
    }

    /// Lets a line through, with how many were dropped before it that nobody was told of.
    fn admit(&self) -> Option<u64> {
        let mut window = self.0.lock();
        let mut dropped = 0;
        if window.start.elapsed() >= Duration::from_secs(1) {
            dropped = window.dropped;
            *window = Window { start: Instant::now(), lines: 0, dropped: 0 };
        }
        window.lines += 1;
        if window.lines > LINES_PER_SECOND {
            window.dropped += 1;
            return None;
        }
        Some(dropped)
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MESSAGE_MAX)).unwrap_or(text)
}
