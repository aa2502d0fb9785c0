//! Where each value of a JSON text stands, found in one pass and kept for whoever asks next.

use std::ops::Range;

use memchr::memchr2;

use super::{Children, array_index};

/// Where each value of a JSON text stands, parents before their children.
#[derive(Debug)]
pub(crate) struct Index(Vec<Node>);

/// One value. Places are counts of bytes from the text's start.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// Its name as written, between the quotes; empty at 0 in an array.
    name: (u32, u32),
    /// The node after its last descendant: its next sibling, if it has one.
    next: u32,
}

/// An index takes no more memory than about the text itself: a text of very many small values has none.
const TEXT_PER_NODE: usize = 16;
const NODES_MIN: usize = 1 << 10;

impl Index {
    /// Of a text that is known to be JSON; none where there would be too many values.
    pub(super) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        u32::try_from(bytes.len()).ok()?;
        let nodes_max = NODES_MIN.max(bytes.len() / TEXT_PER_NODE);
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<(usize, bool)> = Vec::new();
        let (mut at, mut expects_name, mut name) = (0, false, (0, 0));
        while let Some(byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b':' => continue,
                b',' => {
                    expects_name = open.last().is_some_and(|(_, is_object)| *is_object);
                    continue;
                }
                b'}' | b']' => {
                    let (parent, _) = open.pop()?;
                    let next = place(nodes.len());
                    let node = nodes.get_mut(parent)?;
                    (node.end, node.next) = (place(at), next);
                    continue;
                }
                b'"' => {
                    at = end_of_string(bytes, at)?;
                    if std::mem::take(&mut expects_name) {
                        name = (place(start + 1), place(at - 1));
                        continue;
                    }
                }
                b'{' | b'[' => {
                    open.push((nodes.len(), *byte == b'{'));
                    expects_name = *byte == b'{';
                }
                _ => at = end_of_scalar(bytes, at),
            }
            if nodes.len() >= nodes_max {
                return None;
            }
            let next = place(nodes.len() + 1);
            nodes.push(Node { start: place(start), end: place(at), name: std::mem::take(&mut name), next });
        }
        nodes.shrink_to_fit();
        Some(Self(nodes))
    }

    /// Where the value at a pointer stands.
    pub(super) fn locate(&self, text: &str, pointer: &str) -> Option<Range<usize>> {
        let mut node = 0;
        if !pointer.is_empty() {
            for part in pointer.strip_prefix('/')?.split('/') {
                let token = part.replace("~1", "/").replace("~0", "~");
                node = match text.as_bytes().get(self.0.get(node)?.start as usize)? {
                    b'{' => self.children(node).find(|child| self.name_of(text, *child).as_deref() == Some(&*token))?,
                    b'[' => self.children(node).nth(array_index(&token).ok()?)?,
                    _ => return None,
                };
            }
        }
        self.0.get(node).map(Node::range)
    }

    /// The values one level below the one that stands in a place.
    pub(super) fn below(&self, text: &str, range: &Range<usize>) -> Option<Children> {
        let parent = self.0.binary_search_by_key(&place(range.start), |node| node.start).ok()?;
        let range_of = |child: usize| self.0.get(child).map(Node::range);
        Some(match text.as_bytes().get(range.start)? {
            b'{' => Children::Object(
                self.children(parent)
                    .map(|child| Some((self.name_of(text, child)?, range_of(child)?)))
                    .collect::<Option<_>>()?,
            ),
            b'[' => Children::Array(self.children(parent).map(range_of).collect::<Option<_>>()?),
            _ => Children::None,
        })
    }

    fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let end = self.0.get(parent).map_or(0, |node| node.next as usize);
        let first = Some(parent + 1).filter(|first| *first < end);
        std::iter::successors(first, move |child| {
            self.0.get(*child).map(|node| node.next as usize).filter(|next| *next < end)
        })
    }

    fn name_of(&self, text: &str, node: usize) -> Option<String> {
        let (start, end) = self.0.get(node)?.name;
        let raw = text.get(start as usize..end as usize)?;
        if !raw.contains('\\') {
            return Some(raw.to_owned());
        }
        serde_json::from_str(text.get(start as usize - 1..=end as usize)?).ok()
    }
}

impl Node {
    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place in a text whose length fits.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// One past the closing quote of a string whose first byte is at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// One past the last byte of a number, `true`, `false` or `null`.
fn end_of_scalar(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
    at + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Text, value_at};
    use super::Index;

    /// Whatever an index says, reading the text anew says as well.
    #[test]
    fn an_index_finds_what_reading_finds() {
        let texts = [
            r#" {"a" : {"b":[1, {"c":"x\\\"}]"} ,[ ],{ }]},"a/b":1e3,"m~n":null,"\u00e9":"\u00e9","":[[]], "z":true} "#,
            "[]",
            "{}",
            "7",
            "\"text\"",
            " [ 1 , [ 2 , 3 ] , { \"k\" : -0.5 } ] ",
        ];
        let pointers = [
            "", "/a", "/a/b", "/a/b/0", "/a/b/1", "/a/b/1/c", "/a/b/2", "/a/b/3", "/a/b/4", "/a~1b", "/m~0n", "/é",
            "/", "//0", "/z", "/z/0", "/0", "/1", "/1/1", "/2/k", "/01", "/-", "a",
        ];
        let mut found = 0;
        for text in texts {
            let index = Index::of(text).unwrap();
            for pointer in pointers {
                let read = value_at(text, pointer);
                assert_eq!(index.locate(text, pointer), read, "{pointer:?} in {text}");
                let Some(range) = read else { continue };
                found += 1;
                let with = Text { text, index: Some(&index) }.children(&range).unwrap();
                assert_eq!(with, Text { text, index: None }.children(&range).unwrap(), "below {pointer:?} in {text}");
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn a_text_of_very_many_small_values_has_no_index() {
        let many = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        assert!(Index::of(&many(1_023)).is_some());
        assert!(Index::of(&many(1_024)).is_none());
        let long = format!("[{}1]", format!("\"{}\",", "x".repeat(100)).repeat(5_000));
        assert!(Index::of(&long).is_some());
    }
}
