//! Finds where each value of a JSON text stands, in one pass that also proves the text to be JSON.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

/// A JSON text (RFC 8259) with an index of its values.
#[derive(Debug)]
pub struct Document<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) nodes: Vec<Node>,
    /// A text that was made of this one, and lives as long: the first of a chain.
    derived: OnceCell<Box<Document<'static>>>,
}

/// One value, or the name of a member, which comes right before the member's value. Parents come before children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The node after the last of its descendants.
    pub(super) next: u32,
}

/// Why a text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson {
    /// Bytes before the fault.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for NotJson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {} at byte {}", self.expected, self.at)
    }
}

/// Values within values; more is an attack.
const DEPTH_MAX: usize = 128;

impl<'a> Document<'a> {
    /// Reads the whole of a text.
    ///
    /// # Errors
    /// It is not one JSON text, is of 4 GiB or more, or is nested deeper than 128.
    pub fn parse(text: &'a str) -> Result<Self, NotJson> {
        Self::read(Cow::Borrowed(text))
    }

    /// A text that lives as long as this one; `none` if it is no JSON.
    pub(super) fn derive(&self, text: String) -> Option<&Document<'static>> {
        let document = Document::read(Cow::Owned(text)).ok()?;
        let mut end = &self.derived;
        while let Some(next) = end.get() {
            end = &next.derived;
        }
        Some(end.get_or_init(|| Box::new(document)))
    }

    fn read(text: Cow<'a, str>) -> Result<Self, NotJson> {
        if u32::try_from(text.len()).is_err() {
            return Err(NotJson { at: 0, expected: "a text below 4 GiB" });
        }
        let mut parser = Parser { bytes: text.as_bytes(), at: 0, nodes: Vec::with_capacity(64), open: Vec::new() };
        parser.document()?;
        let nodes = parser.nodes;
        Ok(Self { text, nodes, derived: OnceCell::new() })
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The nodes of the objects and arrays around this place.
    open: Vec<usize>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), NotJson> {
        loop {
            if self.value()? {
                continue;
            }
            if self.after_value()? {
                return Ok(());
            }
        }
    }

    /// Reads a value, or the start of one that has children; true if a value must follow at once.
    fn value(&mut self) -> Result<bool, NotJson> {
        self.skip_blanks();
        let start = self.at;
        let Some(byte) = self.bytes.get(self.at).copied() else { return Err(self.fault("a value")) };
        match byte {
            b'{' | b'[' => return self.begin(byte == b'{'),
            b'"' => self.string()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => self.number()?,
        }
        self.push(start);
        Ok(false)
    }

    /// True if a first child follows.
    fn begin(&mut self, is_object: bool) -> Result<bool, NotJson> {
        if self.open.len() == DEPTH_MAX {
            return Err(self.fault("no more than 128 values within each other"));
        }
        let start = self.at;
        self.at += 1;
        self.open.push(self.nodes.len());
        self.push(start);
        self.skip_blanks();
        let last = if is_object { b'}' } else { b']' };
        if self.bytes.get(self.at) == Some(&last) {
            self.finish();
            return Ok(false);
        }
        if is_object {
            self.name()?;
        }
        Ok(true)
    }

    /// Goes on after a value; true at the end of the text.
    fn after_value(&mut self) -> Result<bool, NotJson> {
        loop {
            self.skip_blanks();
            let Some(parent) = self.open.last().and_then(|parent| self.nodes.get(*parent)) else {
                return if self.at == self.bytes.len() { Ok(true) } else { Err(self.fault("the end")) };
            };
            let is_object = self.bytes.get(parent.start as usize) == Some(&b'{');
            match self.bytes.get(self.at) {
                Some(b',') => {
                    self.at += 1;
                    if is_object {
                        self.skip_blanks();
                        self.name()?;
                    }
                    return Ok(false);
                }
                Some(b'}') if is_object => self.finish(),
                Some(b']') if !is_object => self.finish(),
                _ => return Err(self.fault(if is_object { "\",\" or \"}\"" } else { "\",\" or \"]\"" })),
            }
        }
    }

    /// The last byte of an object or array.
    fn finish(&mut self) {
        self.at += 1;
        let (end, next) = (place(self.at), place(self.nodes.len()));
        if let Some(node) = self.open.pop().and_then(|parent| self.nodes.get_mut(parent)) {
            (node.end, node.next) = (end, next);
        }
    }

    fn name(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.fault("a name in quotes"));
        }
        self.string()?;
        self.push(start);
        self.skip_blanks();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.fault("\":\""));
        }
        self.at += 1;
        Ok(())
    }

    fn push(&mut self, start: usize) {
        let next = place(self.nodes.len() + 1);
        self.nodes.push(Node { start: place(start), end: place(self.at), next });
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        loop {
            self.at += plain_bytes(self.bytes.get(self.at..).unwrap_or_default());
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.fault("the end of the text, or an escape for a control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        let hexadecimal = |byte: &u8| byte.is_ascii_hexdigit();
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if self.bytes.get(self.at + 2..self.at + 6).is_some_and(|four| four.iter().all(hexadecimal)) => {
                self.at += 6;
            }
            _ => return Err(self.fault("an escape of RFC 8259")),
        }
        Ok(())
    }

    fn literal(&mut self, word: &'static str) -> Result<(), NotJson> {
        if self.bytes.get(self.at..self.at + word.len()) != Some(word.as_bytes()) {
            return Err(self.fault("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotJson> {
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.fault("a value"));
        }
        self.at += count;
        Ok(())
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn fault(&self, expected: &'static str) -> NotJson {
        NotJson { at: self.at, expected }
    }
}

/// How many bytes stand before the next quote, backslash or control character.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, _) = bytes.as_chunks::<8>();
    let mut count = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = zero_in(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
        // A byte is found in the right place or not at all: what borrows spoil is only above the first find.
        let found = (control | quote | backslash) & HIGH;
        if found != 0 {
            return count + (found.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    let rest = bytes.get(count..).unwrap_or_default();
    count + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

fn place(count: usize) -> u32 {
    // The text is below 4 GiB, and it has no more values than bytes.
    u32::try_from(count).unwrap_or(u32::MAX)
}
