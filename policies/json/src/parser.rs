//! Reads a JSON text from its first byte to its last.

use super::{DEPTH_MAX, Node, NotJson};

/// Room for the nodes of a small text.
const NODES_MIN: usize = 64;

pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    nodes_max: usize,
    /// The nodes of the objects and arrays around this place.
    open: Vec<usize>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, nodes_max: usize) -> Self {
        Self { bytes: text.as_bytes(), at: 0, nodes: Vec::with_capacity(NODES_MIN), nodes_max, open: Vec::new() }
    }

    /// The nodes of the whole text; none where there would be too many.
    pub(super) fn document(mut self) -> Result<Option<Vec<Node>>, NotJson> {
        loop {
            let goes_on = self.value()?;
            if self.nodes.len() > self.nodes_max {
                return Ok(None);
            }
            if !goes_on && self.after_value()? {
                return Ok(Some(self.nodes));
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

/// How many bytes stand before the next quote, backslash or control character. The compiler makes one comparison of
/// each sixteen.
fn plain_bytes(bytes: &[u8]) -> usize {
    let is_special = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < b' ');
    let (chunks, rest) = bytes.as_chunks::<16>();
    let mut count = 0;
    for chunk in chunks {
        if chunk.iter().fold(false, |any, byte| any | is_special(*byte)) {
            return count + chunk.iter().take_while(|byte| !is_special(**byte)).count();
        }
        count += chunk.len();
    }
    count + rest.iter().take_while(|byte| !is_special(**byte)).count()
}

fn place(count: usize) -> u32 {
    // The text is below 4 GiB, and it has no more values than bytes.
    u32::try_from(count).unwrap_or(u32::MAX)
}
