//! Reads the head of an HTTP/1 request strictly (RFC 9112): what two parsers could read differently is refused before
//! any parser sees it.

use crate::error::{Error, Reason};

/// Where a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// The bounds on a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadBounds {
    pub(super) target: usize,
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

/// How far a head reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// It is not all there yet.
    Partial,
    /// So many bytes, the empty line included.
    Whole(usize),
}

/// Finds the end of a head, from `scanned` on, and refuses a line that does not end in CR LF as soon as it is there.
///
/// # Errors
/// A bare CR or LF, or a head past its bounds.
pub(super) fn extent(bytes: &[u8], scanned: &mut usize, bounds: HeadBounds) -> Result<Extent, Error> {
    while let Some(offset) = bytes.get(*scanned..).and_then(|rest| memchr::memchr2(b'\r', b'\n', rest)) {
        let at = *scanned + offset;
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => {}
            (Some(b'\r'), None) => {
                *scanned = at;
                return Ok(Extent::Partial);
            }
            _ => return Err(Error::new(Reason::MalformedRequest, "a line does not end in CR LF")),
        }
        let empty = bytes.get(at + 2..at + 4);
        if empty == Some(b"\r\n") {
            return Ok(Extent::Whole(at + 4));
        }
        if matches!(empty, None | Some(b"\r"))
            && bytes.len() < at + 4
            && bytes.get(at + 2).is_none_or(|byte| *byte == b'\r')
        {
            *scanned = at;
            return within(bytes, bounds).map(|()| Extent::Partial);
        }
        *scanned = at + 2;
    }
    *scanned = bytes.len();
    within(bytes, bounds).map(|()| Extent::Partial)
}

/// Method, version, the blanks between, and the CR LF.
const LINE_SLACK: usize = 64;
/// Colon, blank and CR LF of each field.
const FIELD_SLACK: usize = 4;

fn within(bytes: &[u8], bounds: HeadBounds) -> Result<(), Error> {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line > bounds.target + LINE_SLACK {
        return Err(Reason::UriTooLong.into());
    }
    if bytes.len() > line + bounds.bytes + bounds.fields * FIELD_SLACK + LINE_SLACK {
        return Err(Reason::HeadersTooLarge.into());
    }
    Ok(())
}

/// Checks a whole head and says where its body ends.
///
/// # Errors
/// The reason to refuse it.
pub(super) fn check(head: &[u8], bounds: HeadBounds) -> Result<Framing, Error> {
    within(head, bounds)?;
    let mut lines = Lines(head);
    let line = lines.next().unwrap_or_default();
    let is_http10 = request_line(line, bounds)?;
    let mut fields = Fields::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        fields.read(line)?;
    }
    if fields.count > bounds.fields {
        return Err(Reason::HeadersTooLarge.into());
    }
    if is_http10 && fields.chunked {
        return Err(Error::new(Reason::AmbiguousFraming, "a transfer coding in HTTP/1.0"));
    }
    match (fields.chunked, fields.length) {
        (true, Some(_)) => Err(Error::new(Reason::AmbiguousFraming, "both a length and a transfer coding")),
        (true, None) => Ok(Framing::Chunked),
        (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// The lines of a head; every one ends in CR LF by now.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\r', self.0)?;
        let line = self.0.get(..end)?;
        self.0 = self.0.get(end + 2..)?;
        Some(line)
    }
}

fn malformed(detail: &'static str) -> Error {
    Error::new(Reason::MalformedRequest, detail)
}

/// `METHOD SP target SP HTTP/1.x` and nothing else. Whether it is HTTP/1.0.
fn request_line(line: &[u8], bounds: HeadBounds) -> Result<bool, Error> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("the request line is not three words"));
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(malformed("the method is no token"));
    }
    if target.len() > bounds.target {
        return Err(Reason::UriTooLong.into());
    }
    if target.is_empty() {
        return Err(malformed("there is no target"));
    }
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(Error::new(Reason::AmbiguousPath, "the target has a byte that is to be percent-encoded"));
    }
    if target.contains(&b'#') {
        return Err(Error::new(Reason::AmbiguousPath, "the target has a fragment"));
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(malformed("the version is not HTTP/1.1 or HTTP/1.0")),
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[derive(Default)]
struct Fields {
    count: usize,
    chunked: bool,
    length: Option<u64>,
}

impl Fields {
    fn read(&mut self, line: &[u8]) -> Result<(), Error> {
        self.count += 1;
        let colon = memchr::memchr(b':', line).ok_or_else(|| malformed("a field without a colon"))?;
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        if name.is_empty() || !name.iter().copied().all(is_token) {
            // A leading blank is a folded line, a blank before the colon a smuggled name.
            return Err(malformed("a field name is no token"));
        }
        let value = value.get(1..).unwrap_or_default();
        if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(malformed("a field value has a control character"));
        }
        let value = value.trim_ascii();
        let ambiguous = |detail| Err(Error::new(Reason::AmbiguousFraming, detail));
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return ambiguous("a transfer coding other than chunked, once");
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let plain = !value.is_empty()
                && value.iter().all(u8::is_ascii_digit)
                && (value == b"0" || !value.starts_with(b"0"));
            let length = std::str::from_utf8(value).ok().filter(|_| plain).and_then(|value| value.parse().ok());
            if length.is_none() || self.length.is_some() {
                return ambiguous("the length is not one plain number");
            }
            self.length = length;
        } else if name.contains(&b'_') {
            let dashed: Vec<u8> =
                name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect();
            if dashed == b"transfer-encoding" || dashed == b"content-length" {
                return ambiguous("a field that some servers read as the length");
            }
        }
        Ok(())
    }
}

/// Checks a trailer section, the last empty line included.
///
/// # Errors
/// A trailer that is no field.
pub(super) fn check_trailers(section: &[u8]) -> Result<(), Error> {
    let mut fields = Fields::default();
    for line in Lines(section).take_while(|line| !line.is_empty()) {
        fields.read(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Extent, Framing, HeadBounds, check, extent};
    use crate::error::Reason;

    const BOUNDS: HeadBounds = HeadBounds { target: 100, bytes: 1_000, fields: 10 };

    #[track_caller]
    fn verdict(head: &str, expected: Result<Framing, Reason>) {
        let mut scanned = 0;
        let found = extent(head.as_bytes(), &mut scanned, BOUNDS).and_then(|extent| match extent {
            Extent::Whole(length) => check(&head.as_bytes()[..length], BOUNDS),
            Extent::Partial => panic!("{head:?} has no end"),
        });
        assert_eq!(found.map_err(|error| error.reason), expected, "{head:?}");
    }

    #[test]
    fn a_head_has_one_framing_or_is_refused() {
        let ambiguous = Err(Reason::AmbiguousFraming);
        verdict("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Framing::Length(0)));
        verdict("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", Ok(Framing::Length(5)));
        verdict("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok(Framing::Chunked));
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \"chunked\"",
            "Transfer_Encoding: chunked",
            "Content-Length: 5, 5",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: 005",
            "Content-Length: ",
            "Content-Length: 18446744073709551621",
        ] {
            verdict(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"), ambiguous);
        }
        verdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ambiguous);
    }

    #[test]
    fn a_head_that_two_parsers_read_differently_is_refused() {
        let malformed = Err(Reason::MalformedRequest);
        for head in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\n A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            "GET / HTTP/1.1\r\nnothing\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
        ] {
            verdict(head, malformed);
        }
        verdict("GET /\u{e9} HTTP/1.1\r\n\r\n", Err(Reason::AmbiguousPath));
        verdict("GET /#/.. HTTP/1.1\r\n\r\n", Err(Reason::AmbiguousPath));
    }

    #[test]
    fn bounds_are_met_exactly() {
        let target = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(length - 1));
        verdict(&target(100), Ok(Framing::Length(0)));
        verdict(&target(101), Err(Reason::UriTooLong));
        let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        verdict(&fields(10), Ok(Framing::Length(0)));
        verdict(&fields(11), Err(Reason::HeadersTooLarge));
    }

    #[test]
    fn a_head_is_found_wherever_the_reads_cut_it() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
        for cut in 0..head.len() {
            let mut scanned = 0;
            assert_eq!(extent(&head[..cut], &mut scanned, BOUNDS).unwrap(), Extent::Partial, "{cut}");
            assert_eq!(extent(head, &mut scanned, BOUNDS).unwrap(), Extent::Whole(head.len()), "{cut}");
        }
    }
}
