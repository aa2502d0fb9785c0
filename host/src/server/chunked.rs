//! Follows a chunked body (RFC 9112 §7.1) byte by byte, strictly.

use super::head::check_trailers;
use crate::error::Error;

/// Where in a chunked body the next byte is.
#[derive(Debug)]
pub(super) struct Chunked {
    place: Place,
    /// Chunk extensions so far: they carry nothing, so a body may not hide behind them.
    extension_bytes: usize,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers,
}

/// What became of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// All belong to the body, which goes on.
    More,
    /// The body ended after so many.
    Ended(usize),
    /// They break the framing.
    Broken,
}

const SIZE_DIGITS_MAX: u8 = 15;
const EXTENSION_BYTES_MAX: usize = 1 << 10;
const TRAILER_BYTES_MAX: usize = 8 << 10;

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { place: Place::Size { digits: 0, size: 0 }, extension_bytes: 0, trailers: Vec::new() }
    }

    /// Follows what has arrived.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if let Place::Data { left } = self.place {
                let here = bytes.len() - at;
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                at += taken;
                let left = left - taken as u64;
                self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
                continue;
            }
            at += 1;
            match self.step(byte) {
                Some(false) => {}
                Some(true) => return Followed::Ended(at),
                None => return Followed::Broken,
            }
        }
        Followed::More
    }

    /// Whether the body ended; `None` if the byte may not be here.
    fn step(&mut self, byte: u8) -> Option<bool> {
        self.place = match (self.place, byte) {
            (Place::Size { digits, size }, byte) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16)?;
                Place::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (Place::Size { digits: 1.., size }, b'\r') => Place::SizeLf { size },
            (Place::Size { digits: 1.., size }, b';') => Place::Extension { size },
            (Place::Extension { size }, b'\r') => Place::SizeLf { size },
            (Place::Extension { size }, b' '..=b'~' | b'\t') if self.extension_bytes < EXTENSION_BYTES_MAX => {
                self.extension_bytes += 1;
                Place::Extension { size }
            }
            (Place::SizeLf { size: 0 }, b'\n') => Place::Trailers,
            (Place::SizeLf { size }, b'\n') => Place::Data { left: size },
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size { digits: 0, size: 0 },
            (Place::Trailers, byte) => return self.trailer(byte),
            _ => return None,
        };
        Some(false)
    }

    fn trailer(&mut self, byte: u8) -> Option<bool> {
        let previous = self.trailers.last().copied();
        let bare = (byte == b'\n') != (previous == Some(b'\r'));
        if bare || self.trailers.len() >= TRAILER_BYTES_MAX {
            return None;
        }
        self.trailers.push(byte);
        let ended = self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n");
        if ended {
            let checked: Result<(), Error> = check_trailers(&self.trailers);
            checked.ok()?;
        }
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunked, Followed};

    fn follow(body: &str) -> Followed {
        Chunked::new().follow(body.as_bytes())
    }

    #[test]
    fn a_body_ends_with_its_last_chunk_and_trailers() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n00\r\nX-T: 1\r\n\r\n",
            "A\r\n0123456789\r\n0\r\n\r\n",
        ] {
            assert_eq!(follow(&format!("{body}GET /")), Followed::Ended(body.len()), "{body:?}");
            let mut chunked = Chunked::new();
            for byte in &body.as_bytes()[..body.len() - 1] {
                assert_eq!(chunked.follow(&[*byte]), Followed::More, "{body:?} byte by byte");
            }
        }
        assert_eq!(follow("5\r\nhel"), Followed::More);
    }

    #[test]
    fn a_body_that_two_parsers_read_differently_is_broken() {
        for body in [
            "5\nhello\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;\nx",
            "0x5\r\n",
            "+5\r\n",
            "0_5\r\n",
            " 5\r\n",
            "\r\n",
            "5\r\nhello!\r\n",
            "10000000000000000\r\n",
            "5\rhello",
            "0\r\nbad trailer\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n b: c\r\n\r\n",
        ] {
            assert_eq!(follow(body), Followed::Broken, "{body:?}");
        }
    }
}
