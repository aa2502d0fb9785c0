//! A text as it was meant, with the way back to how it was written: without escapes, or without invisible characters.

use std::borrow::Cow;
use std::ops::Range;

use gatewright_llm::json::unescape_one;

/// A text, and where each of its characters stood in the one that it was made of.
#[derive(Debug)]
pub(crate) struct Spelling<'t> {
    /// As it was meant.
    pub(crate) text: Cow<'t, str>,
    /// From a place on: where that was. Ascending; before the first both are the same.
    marks: Vec<(usize, usize)>,
}

impl<'t> Spelling<'t> {
    /// As it is written.
    pub(crate) fn same(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), marks: Vec::new() }
    }

    /// The inside of a JSON string. An escape that is cut off at the end is left out.
    pub(crate) fn of_json(inner: &'t str) -> Self {
        if !inner.contains('\\') {
            return Self::same(inner);
        }
        let mut made = Maker::new(inner.len());
        let mut at = 0;
        while let Some(rest) = inner.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(escaped) = rest.strip_prefix('\\') else {
                let plain = rest.find('\\').unwrap_or(rest.len());
                made.push_str(rest.get(..plain).unwrap_or_default(), at);
                at += plain;
                continue;
            };
            match Escape::of(escaped) {
                Escape::Cut => break,
                Escape::Whole(letter, used) => {
                    made.push(letter, at);
                    at += 1 + used;
                }
                Escape::None => {
                    made.push('\\', at);
                    at += 1;
                }
            }
        }
        made.finish(inner.len())
    }

    /// Without characters that nobody sees, and with full-width forms as plain ones; none if that is the same.
    pub(crate) fn seen(text: &'t str) -> Option<Self> {
        if text.is_ascii() || !text.chars().any(|letter| as_seen(letter) != Some(letter)) {
            return None;
        }
        let mut made = Maker::new(text.len());
        for (at, letter) in text.char_indices() {
            if let Some(letter) = as_seen(letter) {
                made.push(letter, at);
            }
        }
        Some(made.finish(text.len()))
    }

    /// Where a place was.
    pub(crate) fn origin(&self, place: usize) -> usize {
        let after = self.marks.partition_point(|(at, _)| *at <= place);
        let mark = after.checked_sub(1).and_then(|index| self.marks.get(index));
        mark.map_or(place, |(at, origin)| origin + (place - at))
    }

    /// Where a place of the origin is now; of what was left out, the place behind it.
    pub(crate) fn place(&self, origin: usize) -> usize {
        let after = self.marks.partition_point(|(_, from)| *from <= origin);
        let mark = after.checked_sub(1).and_then(|index| self.marks.get(index));
        let place = mark.map_or(origin, |(at, from)| at + (origin - from));
        self.marks.get(after).map_or(place, |(at, _)| place.min(*at))
    }

    /// Where a stretch was.
    pub(crate) fn origin_of(&self, range: Range<usize>) -> Range<usize> {
        self.origin(range.start)..self.origin(range.end)
    }
}

struct Maker {
    text: String,
    marks: Vec<(usize, usize)>,
    /// How far the origin is ahead; wraps where it is behind.
    ahead: usize,
}

impl Maker {
    fn new(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), marks: Vec::new(), ahead: 0 }
    }

    fn mark(&mut self, origin: usize) {
        let ahead = origin.wrapping_sub(self.text.len());
        if ahead != self.ahead {
            self.ahead = ahead;
            self.marks.push((self.text.len(), origin));
        }
    }

    fn push(&mut self, letter: char, origin: usize) {
        self.mark(origin);
        self.text.push(letter);
    }

    fn push_str(&mut self, text: &str, origin: usize) {
        self.mark(origin);
        self.text.push_str(text);
    }

    fn finish<'t>(mut self, end: usize) -> Spelling<'t> {
        self.mark(end);
        Spelling { text: Cow::Owned(self.text), marks: self.marks }
    }
}

/// How many bytes of the inside of a JSON string have no escape that is cut off at the end.
pub(crate) fn whole_bytes(inner: &str) -> usize {
    let mut at = 0;
    while let Some(found) = inner.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        match Escape::of(inner.get(at + 1..).unwrap_or_default()) {
            Escape::Cut => return at,
            Escape::Whole(_, used) => at += 1 + used,
            Escape::None => at += 1,
        }
    }
    inner.len()
}

/// What stands behind a backslash. A model may have written what is no JSON.
enum Escape {
    /// Not all of it is there: also where the second half of a pair may still come.
    Cut,
    /// A character, and how many bytes say it.
    Whole(char, usize),
    /// No escape.
    None,
}

impl Escape {
    fn of(escaped: &str) -> Self {
        let bytes = escaped.as_bytes();
        match bytes.first() {
            None => Self::Cut,
            Some(b'u') => {
                let digits = bytes.get(1..).unwrap_or_default();
                let digits = digits.get(..4).unwrap_or(digits);
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Self::None;
                }
                let is_first = matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]);
                let rest = bytes.get(5..).unwrap_or_default();
                let may_be_second = rest.is_empty() || rest == b"\\" || rest.starts_with(b"\\u") && rest.len() < 6;
                if digits.len() < 4 || is_first && may_be_second {
                    return Self::Cut;
                }
                let (letter, used) = unescape_one(escaped);
                Self::Whole(letter, used)
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                let (letter, used) = unescape_one(escaped);
                Self::Whole(letter, used)
            }
            Some(_) => Self::None,
        }
    }
}

/// The character that a person sees; none if that is nothing.
fn as_seen(letter: char) -> Option<char> {
    match letter {
        // Soft hyphen, joiners, marks and isolates of direction, invisible operators, fillers, variation selectors,
        // the byte order mark, and tags.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        // Full-width forms stand in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0),
        _ => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::{Spelling, whole_bytes};

    #[test]
    fn every_place_leads_back() {
        let inner = r"a\u00e9\ud83d\ude42\nb";
        let spelling = Spelling::of_json(inner);
        assert_eq!(spelling.text, "aé🙂\nb");
        let at = |part: &str| {
            let start = spelling.text.find(part).unwrap();
            spelling.origin_of(start..start + part.len())
        };
        assert_eq!((at("a"), at("é"), at("🙂"), at("\nb")), (0..1, 1..7, 7..19, 19..22));
        let seen = Spelling::seen("x\u{200b}ｓec").unwrap();
        assert_eq!((seen.text.as_ref(), seen.origin_of(1..4)), ("xsec", 4..9));
        assert_eq!((seen.place(0), seen.place(1), seen.place(2), seen.place(4), seen.place(9)), (0, 1, 1, 1, 4));
        assert!(Spelling::seen("gré").is_none());
    }

    #[test]
    fn an_escape_that_is_cut_off_waits() {
        let check = |inner: &str, whole: usize| assert_eq!(whole_bytes(inner), whole, "{inner}");
        check(r"ab\n", 4);
        check(r"ab\", 2);
        check(r"ab\\", 4);
        check(r"ab\u00", 2);
        check(r"ab\u00e9", 8);
        check(r"ab\ud83d", 2);
        check(r"ab\ud83d\ude", 2);
        check(r"ab\ud83d\ude42", 14);
        check(r"ab\ud83dxyz", 11);
        assert_eq!(Spelling::of_json(r"ab\ud8").text, "ab");
        check(r"ab\u00éz\q", 11);
        assert_eq!(Spelling::of_json(r"ab\u00éz\q").text, r"ab\u00éz\q");
    }
}
