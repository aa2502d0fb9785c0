//! Header blocks of HTTP/2 (RFC 9113 §4.3): held back until they are whole, looked at, and passed on.

use std::borrow::Cow;

use super::fields::{Allowed, mark_malformed};

pub(super) const HEADER: usize = 9;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
const PRIORITY_FRAME: u8 = 2;
const RESET: u8 = 3;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The largest frame that h2 takes, as the gateway asks for no larger ones (RFC 9113 §4.2).
const FRAME_MAX: usize = 16 << 10;
/// Frames of a block; h2 ends the connection for more.
const FRAMES_MAX: u32 = 16;

/// The head of a frame (RFC 9113 §4.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    flags: u8,
    /// Its number, the reserved bit left out (RFC 9113 §4.1).
    pub(super) stream: u32,
}

/// A header block at the start of some bytes.
pub(super) enum Block {
    /// It is not whole.
    Partial,
    /// h2 refuses it, or is to.
    Unfit,
    /// It ends there, and is of so many frames.
    Good(usize, u32),
    /// It ends there, and these frames are to take its place.
    Malformed(usize, Vec<u8>),
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEADER>()?;
        let (length, stream) = (u32::from_be_bytes([0, a, b, c]), u32::from_be_bytes(stream) & (u32::MAX >> 1));
        Some(Self { length: length as usize, kind, flags, stream })
    }
}

impl Block {
    /// Reads a block that begins with HEADERS, of at most so many bytes.
    pub(super) fn read(bytes: &[u8], max: usize, allowed: Allowed) -> Self {
        let Some(first) = Head::read(bytes) else { return Self::Partial };
        let (mut head, mut at, mut frames) = (first, 0, 1);
        let mut block: Cow<'_, [u8]> = Cow::Borrowed(&[]);
        loop {
            if head.length > FRAME_MAX || at > max || frames > FRAMES_MAX {
                return Self::Unfit;
            }
            let end = at + HEADER + head.length;
            let Some(payload) = bytes.get(at + HEADER..end) else { return Self::Partial };
            if at == 0 {
                let Some(fragment) = fragment(first, payload) else { return Self::Unfit };
                block = Cow::Borrowed(fragment);
            } else {
                block.to_mut().extend_from_slice(payload);
            }
            if head.flags & END_HEADERS != 0 {
                return match mark_malformed(&block, allowed) {
                    None => Self::Good(end, frames),
                    Some(block) => Self::Malformed(end, encode(first, &block)),
                };
            }
            at = end;
            frames += 1;
            head = match Head::read(bytes.get(at..).unwrap_or_default()) {
                Some(head) if head.kind == CONTINUATION && head.stream == first.stream => head,
                Some(_) => return Self::Unfit,
                None => return Self::Partial,
            };
        }
    }
}

impl Head {
    /// Whether it ends what its stream's client sends (RFC 9113 §6.1, §6.2, §6.4).
    pub(super) const fn is_last(self) -> bool {
        self.kind == RESET || (matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0)
    }

    /// Whether a frame is an error of its stream which h2 takes for one of the connection (RFC 9113 §6.3, §6.9); none if
    /// too little of it is there.
    pub(super) fn is_stream_error(self, bytes: &[u8]) -> Option<bool> {
        match (self.kind, self.length) {
            (PRIORITY_FRAME, 5) => Some(false),
            (PRIORITY_FRAME, _) => Some(true),
            (WINDOW_UPDATE, 4) => {
                let increment = *bytes.get(HEADER..)?.first_chunk::<4>()?;
                Some(u32::from_be_bytes(increment) & (u32::MAX >> 1) == 0)
            }
            _ => Some(false),
        }
    }
}

/// What HEADERS carry of the block (RFC 9113 §6.2).
fn fragment(head: Head, payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if head.flags & PADDED != 0 {
        let (length, after) = rest.split_first()?;
        (padding, rest) = (usize::from(*length), after);
    }
    if head.flags & PRIORITY != 0 {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

/// The frames of a block.
fn encode(first: Head, block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + HEADER);
    let last = block.len().div_ceil(FRAME_MAX).saturating_sub(1);
    for (number, part) in block.chunks(FRAME_MAX).enumerate() {
        let (kind, start) = if number == 0 { (HEADERS, first.flags & END_STREAM) } else { (CONTINUATION, 0) };
        let end = if number == last { END_HEADERS } else { 0 };
        let [_, length @ ..] = u32::try_from(part.len()).unwrap_or(0).to_be_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&[kind, start | end]);
        out.extend_from_slice(&first.stream.to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// A frame that h2 takes for an error of its stream: a priority that depends on itself (RFC 7540 §5.3.1).
pub(super) fn stream_error(stream: u32) -> Vec<u8> {
    let number = stream.to_be_bytes();
    [&[0, 0, 5, PRIORITY_FRAME, 0][..], &number, &number, &[0]].concat()
}

/// Frames that h2 takes for a flood, and answers with ENHANCE_YOUR_CALM: a block of so many bytes that never ends.
pub(super) fn endless_block(max: usize) -> Vec<u8> {
    // h2 takes a quarter more CONTINUATION than such a block needs in full frames, but at least five.
    let continuations = 2 * (max / FRAME_MAX) + 6;
    let kinds = std::iter::once(HEADERS).chain(std::iter::repeat_n(CONTINUATION, continuations));
    kinds.flat_map(|kind| [0, 0, 0, kind, 0, 0, 0, 0, 1]).collect()
}
