//! Follows the frames of an HTTP/2 connection: header blocks are looked at before h2 gets them, and control frames are
//! counted, which cost their sender nothing and h2 answers every one.

use std::time::Duration;

use tokio::time::Instant;

use super::block::{Block, CONTINUATION, DATA, HEADER, HEADERS, Head, endless_block, stream_error};
use super::fields::{Allowed, Section};

/// Follows the frames that a client sends (RFC 9113 §4.1).
#[derive(Debug)]
pub(super) struct Frames {
    /// What is left of the preface, then of the frame under way.
    skip: u64,
    /// The most bytes of a header block.
    block_max: usize,
    /// The most fields of one, and the newest stream.
    fields_max: usize,
    newest: u32,
    /// Streams whose client has more to send: HEADERS of one of them are trailers.
    open: Vec<u32>,
    control: u32,
    since: Instant,
}

/// What becomes of what has arrived.
pub(super) enum Step {
    /// So many bytes go on.
    Pass(usize),
    /// In place of so many bytes, these go on.
    Replace(usize, Vec<u8>),
    /// More must arrive before anything goes on.
    Wait,
    /// It is a flood: after so many bytes these go on, which have h2 end the connection, and then nothing.
    Flood(usize, Vec<u8>),
}

/// Control frames that are larger are h2's to refuse.
const SMALL: usize = 64;
/// Requests whose bodies may be under way; of more, the oldest are forgotten.
const OPEN_MAX: usize = 256;
/// Control frames in a window, beyond those that pay for themselves.
const CONTROL_MAX: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(10);
/// What one response may well need of window updates.
const WORTH_OF_HEADERS: u32 = 16;

impl Frames {
    pub(super) fn new(preface: usize, (block_max, fields_max): (usize, usize)) -> Self {
        Self {
            skip: preface as u64,
            block_max,
            fields_max,
            newest: 0,
            open: Vec::new(),
            control: 0,
            since: Instant::now(),
        }
    }

    /// Looks at what has arrived.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Step {
        let mut passed = 0;
        loop {
            let rest = bytes.get(passed..).unwrap_or_default();
            let taken = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
            self.skip -= taken as u64;
            passed += taken;
            let rest = bytes.get(passed..).unwrap_or_default();
            let waits = if passed > 0 { Step::Pass(passed) } else { Step::Wait };
            let Some(head) = Head::read(rest) else { return waits };
            let is_known = head.stream != 0 && head.stream <= self.newest;
            let block = match (head.kind, is_known.then(|| head.is_stream_error(rest))) {
                (HEADERS, _) => {
                    let is_open = is_known && self.open.contains(&head.stream);
                    let section = if is_open { Section::Trailers } else { Section::Headers };
                    Block::read(rest, self.block_max, Allowed { section, count: self.fields_max })
                }
                (_, Some(None)) => Block::Partial,
                (_, Some(Some(true))) if head.length <= SMALL => {
                    let end = HEADER + head.length;
                    if rest.len() < end { Block::Partial } else { Block::Malformed(end, stream_error(head.stream)) }
                }
                _ => Block::Unfit,
            };
            let (length, frames) = match block {
                Block::Partial => return waits,
                Block::Malformed(..) if passed > 0 => return waits,
                Block::Malformed(length, frames) => {
                    self.note(head);
                    return if self.count(head.kind) { Step::Replace(length, frames) } else { self.flood(passed) };
                }
                Block::Good(length, frames) => (length, frames),
                Block::Unfit => (HEADER + head.length, 1),
            };
            self.note(head);
            self.skip = length as u64;
            let fits = self.count(head.kind) && (1..frames).all(|_| self.count(CONTINUATION));
            if !fits {
                return self.flood(passed);
            }
        }
    }

    /// Ends the connection by what h2 has a code for, after the whole frames before the one that is too many.
    fn flood(&self, passed: usize) -> Step {
        Step::Flood(passed, endless_block(self.block_max))
    }

    /// Keeps what a frame says of its stream.
    fn note(&mut self, head: Head) {
        if head.is_last() {
            self.open.retain(|stream| *stream != head.stream);
        } else if head.kind == HEADERS && head.stream > self.newest {
            if self.open.len() >= OPEN_MAX {
                self.open.remove(0);
            }
            self.open.push(head.stream);
        }
        if head.kind == HEADERS {
            self.newest = self.newest.max(head.stream);
        }
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
