//! The arguments of a call, which are JSON, whole or in pieces: each value in them is a text of its own.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How far the arguments of a call were read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Arguments {
    is_in_string: bool,
    is_escaped: bool,
    is_in_bare: bool,
}

/// A stretch of the arguments that belongs to one value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where, in bytes of this piece.
    pub(crate) range: Range<usize>,
    /// Whether it goes on with the value that the last stretch was of, perhaps in the piece before.
    pub(crate) goes_on: bool,
    /// Whether the value is over.
    pub(crate) is_over: bool,
    /// Whether it is outside of quotes: a number, say.
    pub(crate) is_bare: bool,
}

impl Arguments {
    /// The stretches of the next piece. A value that is over with the piece's first byte has an empty one.
    pub(crate) fn read(&mut self, piece: &str) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut start = 0;
        let mut goes_on = self.is_in_string || self.is_in_bare;
        let mut add = |range: Range<usize>, goes_on: bool, is_over: bool, is_bare: bool| {
            stretches.push(Stretch { range, goes_on, is_over, is_bare });
        };
        for (at, byte) in piece.bytes().enumerate() {
            if self.is_in_string {
                if self.is_escaped {
                    self.is_escaped = false;
                } else if byte == b'\\' {
                    self.is_escaped = true;
                } else if byte == b'"' {
                    add(start..at, goes_on, true, false);
                    self.is_in_string = false;
                }
                continue;
            }
            let is_bare =
                !matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n');
            if self.is_in_bare && !is_bare {
                add(start..at, goes_on, true, true);
                self.is_in_bare = false;
            }
            if byte == b'"' {
                (self.is_in_string, start, goes_on) = (true, at + 1, false);
            } else if is_bare && !self.is_in_bare {
                (self.is_in_bare, start, goes_on) = (true, at, false);
            }
        }
        if self.is_in_string || self.is_in_bare {
            add(start..piece.len(), goes_on, false, self.is_in_bare);
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    #[test]
    fn each_value_is_a_text_of_its_own_however_the_pieces_are_cut() {
        let whole = r#"{"a":"x\"y","n":-12.5,"l":[true,"é\\"]}"#;
        let expected = [("a", false), (r#"x\"y"#, false), ("n", false), ("-12.5", true), ("l", false), ("true", true)];
        for cut in (1..whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
            let mut arguments = Arguments::default();
            let mut values: Vec<(String, bool, bool)> = Vec::new();
            let (first, second) = whole.split_at(cut);
            for piece in [first, second] {
                for stretch in arguments.read(piece) {
                    let text = piece.get(stretch.range).unwrap();
                    match values.last_mut().filter(|_| stretch.goes_on) {
                        Some((value, _, is_over)) => {
                            assert!(!*is_over);
                            value.push_str(text);
                            *is_over = stretch.is_over;
                        }
                        None => values.push((text.to_owned(), stretch.is_bare, stretch.is_over)),
                    }
                }
            }
            let seen: Vec<_> = values.iter().map(|(value, is_bare, _)| (value.as_str(), *is_bare)).collect();
            assert_eq!(seen.get(..6).unwrap(), expected, "{cut}");
            assert_eq!(seen.get(6..).unwrap(), [(r"é\\", false)], "{cut}");
            assert!(values.iter().all(|(_, _, is_over)| *is_over));
        }
    }
}
