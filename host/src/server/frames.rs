//! Counts the control frames of an HTTP/2 connection: they cost their sender nothing and h2 answers every one.

use std::time::Duration;

use tokio::time::Instant;

/// Follows the frames that a client sends (RFC 9113 §4.1).
#[derive(Debug)]
pub(super) struct Frames {
    /// What is left of the preface, then of the frame under way.
    skip: u64,
    header: [u8; HEADER],
    filled: usize,
    control: u32,
    since: Instant,
}

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// Control frames in a window, beyond those that pay for themselves.
const CONTROL_MAX: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(10);
/// What one response may well need of window updates.
const WORTH_OF_HEADERS: u32 = 16;

impl Frames {
    pub(super) fn new(preface: usize) -> Self {
        Self { skip: preface as u64, header: [0; HEADER], filled: 0, control: 0, since: Instant::now() }
    }

    /// Follows what has arrived. `false` for a flood.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let taken = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= taken as u64;
                bytes = bytes.get(taken..).unwrap_or_default();
                continue;
            }
            let taken = (HEADER - self.filled).min(bytes.len());
            for (slot, byte) in self.header.iter_mut().skip(self.filled).zip(bytes) {
                *slot = *byte;
            }
            self.filled += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.filled == HEADER {
                self.filled = 0;
                let [a, b, c, kind, ..] = self.header;
                self.skip = u64::from(u32::from_be_bytes([0, a, b, c]));
                if !self.count(kind) {
                    return false;
                }
            }
        }
        true
    }

    /// What was sent to the client asks for window updates.
    pub(super) fn sent(&mut self, bytes: usize) {
        let worth = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
        self.control = self.control.saturating_sub(worth);
    }

    fn count(&mut self, kind: u8) -> bool {
        match kind {
            DATA => {}
            HEADERS => self.control = self.control.saturating_sub(WORTH_OF_HEADERS),
            _ => {
                if self.since.elapsed() > WINDOW {
                    self.since = Instant::now();
                    self.control = 0;
                }
                self.control += 1;
            }
        }
        self.control <= CONTROL_MAX
    }
}
