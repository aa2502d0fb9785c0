//! Looks at the literal fields of an HTTP/2 header block before h2 does (RFC 7541 §6): a malformed one is an error of its
//! stream (RFC 9113 §8.1.1, §8.2.1), and h2 would end the whole connection for it.
//!
//! Every entry of the dynamic table was a literal once, so that what is indexed needs no look.

use std::borrow::Cow;

use httlib_huffman::DecoderSpeed;

/// A field that no request may have (RFC 9113 §8.2.2): h2 resets the stream that has it, and goes on.
const MARK: &[u8] = b"\0\x02te\x01x";

/// What fields there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    pub(super) section: Section,
    /// How many. With more, a request is malformed, and those that enter no table are left out: what costs the client a
    /// byte is not to cost us a field.
    pub(super) count: usize,
}

/// Where fields stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Headers,
    /// There are no pseudo-headers (RFC 9113 §8.1).
    Trailers,
}

/// The name of a literal.
enum Name<'a> {
    /// An entry of a table (RFC 7541 §2.3.3).
    Index(usize),
    Text(Cow<'a, [u8]>),
}

/// A literal field, decoded.
struct Literal<'a> {
    /// The bits that say how it is represented, without the index of its name.
    form: u8,
    /// How many bits that index has.
    prefix: u32,
    name: Name<'a>,
    value: Cow<'a, [u8]>,
}

/// What a value must be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Method,
    /// A pseudo-header that is text.
    Text,
    Status,
    /// A pseudo-header that there is not.
    Unknown,
    Field,
}

/// The block with every malformed literal made harmless and a mark that makes the request malformed; none where all is
/// well, or nothing can be read: h2 says what is wrong then. The dynamic table gets entries of the same size as before.
pub(super) fn mark_malformed(block: &[u8], allowed: Allowed) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut has_pseudo, mut count) = (false, 0);
    let mut rest = block;
    while let Some(first) = rest.first() {
        let mut after = rest;
        let literal = match first {
            0x80.. => {
                has_pseudo |= integer(&mut after, 7)? < FIRST_FIELD;
                None
            }
            0x40..0x80 => literal(&mut after, 0x40, 6)?,
            0x20..0x40 => {
                integer(&mut after, 5)?;
                None
            }
            0x10..0x20 => literal(&mut after, 0x10, 4)?,
            ..0x10 => literal(&mut after, 0, 4)?,
        };
        let length = rest.len() - after.len();
        has_pseudo |= literal.as_ref().is_some_and(|literal| kind(&literal.name) != Kind::Field);
        count += 1;
        let is_left_out = count > allowed.count && !matches!(first, 0x20..0x80);
        let so_far = || block.get(..block.len() - rest.len()).unwrap_or_default().to_vec();
        if let Some(literal) = literal.filter(|literal| !is_left_out && is_malformed(literal)) {
            disarm(&literal, out.get_or_insert_with(so_far));
        } else if is_left_out {
            out.get_or_insert_with(so_far);
        } else if let Some(out) = &mut out {
            out.extend_from_slice(rest.get(..length).unwrap_or_default());
        }
        rest = after;
    }
    let is_misplaced = count > allowed.count || (has_pseudo && allowed.section == Section::Trailers);
    let mut out = out.or_else(|| is_misplaced.then(|| block.to_vec()))?;
    out.extend_from_slice(MARK);
    Some(out)
}

/// An integer with a prefix of so many bits (RFC 7541 §5.1); none where it is cut off or longer than any length here.
fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut after) = rest.split_first()?;
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, more) = after.split_first()?;
            after = more;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return None;
            }
        }
    }
    *rest = after;
    Some(value)
}

/// A string as it stands there, and whether it is Huffman-coded (RFC 7541 §5.2).
fn string<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], bool)> {
    let is_huffman = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((text, is_huffman))
}

/// The literal at the start, `Some(None)` if it is surely well formed, none if it cannot be read.
fn literal<'a>(rest: &mut &'a [u8], form: u8, prefix: u32) -> Option<Option<Literal<'a>>> {
    let index = integer(rest, prefix)?;
    let name = match index {
        0 => {
            let (text, is_huffman) = string(rest)?;
            Name::Text(decoded(text, is_huffman)?)
        }
        index => Name::Index(index),
    };
    let (text, is_huffman) = string(rest)?;
    let is_plain = matches!(name, Name::Index(FIRST_FIELD..)) && is_huffman && !may_be_odd(text);
    if is_plain {
        return Some(None);
    }
    Some(Some(Literal { form, prefix, name, value: decoded(text, is_huffman)? }))
}

fn decoded(text: &[u8], is_huffman: bool) -> Option<Cow<'_, [u8]>> {
    if !is_huffman {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len() * 2);
    httlib_huffman::decode(text, &mut out, DecoderSpeed::FourBits).ok()?;
    Some(Cow::Owned(out))
}

/// Whether a Huffman-coded value may have a byte that no value has, or blanks around it. Every such byte but the blank is
/// coded with at least ten ones in a row (RFC 7541 appendix B).
fn may_be_odd(text: &[u8]) -> bool {
    let mut ones = 0;
    for byte in text {
        if ones + byte.leading_ones() >= ODD_ONES {
            return true;
        }
        ones = if *byte == u8::MAX { ones + 8 } else { byte.trailing_ones() };
    }
    let blank_first = text.first().is_some_and(|first| first >> 2 == BLANK);
    let tail = text.iter().rev().take(2).rev().fold(0_u16, |tail, byte| tail << 8 | u16::from(*byte));
    // What pads a string is ones.
    let blank_last = tail >> tail.trailing_ones() & 0x3f == u16::from(BLANK);
    blank_first || blank_last
}

const ODD_ONES: u32 = 10;
/// The code of a blank.
const BLANK: u8 = 0b01_0100;
/// Entries of the static table before this one are pseudo-headers (RFC 7541 appendix A).
const FIRST_FIELD: usize = 15;

fn kind(name: &Name<'_>) -> Kind {
    match name {
        Name::Index(1 | 4..=7) => Kind::Text,
        Name::Index(2 | 3) => Kind::Method,
        Name::Index(8..=14) => Kind::Status,
        Name::Index(_) => Kind::Field,
        Name::Text(name) => match name.as_ref() {
            b":method" => Kind::Method,
            b":authority" | b":path" | b":scheme" | b":protocol" => Kind::Text,
            b":status" => Kind::Status,
            [b':', ..] => Kind::Unknown,
            _ => Kind::Field,
        },
    }
}

fn is_malformed(literal: &Literal<'_>) -> bool {
    let value = literal.value.as_ref();
    let is_padded = [value.first(), value.last()].iter().any(|end| matches!(end, Some(b' ' | b'\t')));
    let is_broken = is_padded || !value.iter().all(|byte| is_of_values(*byte));
    match kind(&literal.name) {
        Kind::Unknown => true,
        Kind::Method => value.is_empty() || !value.iter().all(|byte| is_of_tokens(*byte)),
        Kind::Text => is_broken || std::str::from_utf8(value).is_err(),
        // A request has none (RFC 9113 §8.3.1).
        Kind::Status => true,
        Kind::Field => is_broken || !is_name(&literal.name),
    }
}

fn is_name(name: &Name<'_>) -> bool {
    let Name::Text(name) = name else { return true };
    !name.is_empty() && name.iter().all(|byte| is_of_names(*byte))
}

const fn is_of_names(byte: u8) -> bool {
    is_of_tokens(byte) && !byte.is_ascii_uppercase()
}

/// RFC 9110 §5.6.2.
const fn is_of_tokens(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// RFC 9110 §5.5.
const fn is_of_values(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Writes a literal of the same form and size that h2 can read.
fn disarm(literal: &Literal<'_>, out: &mut Vec<u8>) {
    let replaced = |bytes: &[u8], fits: fn(u8) -> bool| -> Vec<u8> {
        bytes.iter().map(|byte| if fits(*byte) { *byte } else { b'x' }).collect()
    };
    let mut value = replaced(&literal.value, |byte| is_of_values(byte) && !matches!(byte, b' ' | b'\t'));
    let name = match (&literal.name, kind(&literal.name)) {
        (Name::Index(index), Kind::Field) => {
            push_integer(out, literal.form, literal.prefix, *index);
            return push_string(out, &value);
        }
        (Name::Index(index), _) => vec![b'x'; STATIC_NAME_LENGTHS.get(*index).copied().unwrap_or(1)],
        (Name::Text(name), Kind::Field) if name.is_empty() => {
            // h2 reads no empty name. The bytes of an entry are those of its name and its value.
            if !value.is_empty() {
                value.pop();
            }
            b"x".to_vec()
        }
        (Name::Text(name), Kind::Field) => replaced(name, is_of_names),
        (Name::Text(name), _) => vec![b'x'; name.len()],
    };
    out.push(literal.form);
    push_string(out, &name);
    push_string(out, &value);
}

/// How long the names of the first entries of the static table are, from 1.
const STATIC_NAME_LENGTHS: [usize; FIRST_FIELD] = [0, 10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7];

fn push_integer(out: &mut Vec<u8>, form: u8, prefix: u32, value: usize) {
    let mask = (1_usize << prefix) - 1;
    let Some(mut rest) = value.checked_sub(mask) else {
        return out.push(form | value.to_le_bytes()[0]);
    };
    out.push(form | mask.to_le_bytes()[0]);
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    push_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}
