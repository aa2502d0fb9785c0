//! A policy's log lines: one target, a bounded rate, a bounded length.

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
        if !Self::enabled(level) || !self.admit(policy) {
            return;
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

    fn admit(&self, policy: &str) -> bool {
        let mut window = self.0.lock();
        if window.start.elapsed() >= Duration::from_secs(1) {
            let dropped = std::mem::take(&mut window.dropped);
            *window = Window { start: Instant::now(), lines: 0, dropped: 0 };
            if dropped > 0 {
                warn!(policy, dropped, "policy logs too much");
            }
        }
        window.lines += 1;
        let admitted = window.lines <= LINES_PER_SECOND;
        window.dropped += u64::from(!admitted);
        admitted
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MESSAGE_MAX)).unwrap_or(text)
}
