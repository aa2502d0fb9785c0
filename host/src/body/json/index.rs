//! Where each value of a JSON text stands, found in one pass and kept for whoever asks next.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use gatewright_json::Node;

use super::{Children, JsonFault, array_index};

/// Where each value of a JSON text stands.
#[derive(Debug)]
pub(crate) struct Index(gatewright_json::Index);

/// An index takes no more memory than about the text itself: a text of very many small values has none.
const TEXT_PER_NODE: usize = 12;
const NODES_MIN: usize = 1 << 10;
/// So few names are compared each with each.
const FEW: usize = 8;

impl Index {
    /// Of a text that it also proves to be JSON; none where there would be too many values, and nothing is proven.
    pub(super) fn of(text: &str) -> Result<Option<Self>, JsonFault> {
        let nodes_max = NODES_MIN.max(text.len() / TEXT_PER_NODE);
        let index = gatewright_json::Index::within(text, nodes_max);
        index.map(|index| index.map(Self)).map_err(|error| JsonFault::NotJson(error.to_string()))
    }

    /// Whether no object has a name twice.
    pub(super) fn check_names(&self, text: &str) -> Result<(), JsonFault> {
        let objects = (0..).zip(self.0.nodes()).filter(|(_, node)| byte_at(text, node.start) == Some(b'{'));
        for (object, _) in objects {
            let names = || self.members(object).filter_map(|(name, _)| self.name(text, name));
            if let Some(twice) = repeated(names) {
                return Err(JsonFault::NotJson(format!("the name {twice:?} is there twice")));
            }
        }
        Ok(())
    }

    /// Where the value at a pointer stands.
    pub(super) fn locate(&self, text: &str, pointer: &str) -> Option<Range<usize>> {
        let mut node = 0;
        if !pointer.is_empty() {
            for part in pointer.strip_prefix('/')?.split('/') {
                let token = part.replace("~1", "/").replace("~0", "~");
                node = match byte_at(text, self.0.node(node)?.start)? {
                    b'{' => self.members(node).find(|(name, _)| self.name(text, *name).as_deref() == Some(&*token))?.1,
                    b'[' => self.0.children(node).nth(array_index(&token).ok()?)?,
                    _ => return None,
                };
            }
        }
        self.range(node)
    }

    /// The values one level below the one that stands in a place.
    pub(super) fn below(&self, text: &str, range: &Range<usize>) -> Option<Children> {
        let start = u32::try_from(range.start).ok()?;
        let parent = self.0.nodes().binary_search_by_key(&start, |node| node.start).ok()?;
        let parent = u32::try_from(parent).ok()?;
        Some(match byte_at(text, start)? {
            b'{' => Children::Object(
                self.members(parent)
                    .map(|(name, value)| Some((self.name(text, name)?.into_owned(), self.range(value)?)))
                    .collect::<Option<_>>()?,
            ),
            b'[' => Children::Array(self.0.children(parent).map(|child| self.range(child)).collect::<Option<_>>()?),
            _ => Children::None,
        })
    }

    /// The names and values of an object.
    fn members(&self, object: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut children = self.0.children(object);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// A name as its author means it; as written where that is no text, by half a surrogate pair.
    fn name<'t>(&self, text: &'t str, node: u32) -> Option<Cow<'t, str>> {
        let Range { start, end } = self.range(node)?;
        let raw = text.get(start + 1..end.checked_sub(1)?)?;
        if raw.contains('\\')
            && let Ok(plain) = serde_json::from_str(text.get(start..end)?)
        {
            return Some(Cow::Owned(plain));
        }
        Some(Cow::Borrowed(raw))
    }

    fn range(&self, node: u32) -> Option<Range<usize>> {
        self.0.node(node).map(|Node { start, end, .. }| *start as usize..*end as usize)
    }
}

fn byte_at(text: &str, place: u32) -> Option<u8> {
    text.as_bytes().get(place as usize).copied()
}

/// A name that is there twice.
fn repeated<'t, I: Iterator<Item = Cow<'t, str>>>(names: impl Fn() -> I) -> Option<Cow<'t, str>> {
    if names().nth(FEW).is_none() {
        return names()
            .enumerate()
            .find(|(at, name)| names().take(*at).any(|other| other == *name))
            .map(|found| found.1);
    }
    let mut known = HashSet::new();
    names().find(|name| !known.insert(name.clone()))
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
            let index = Index::of(text).unwrap().unwrap();
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
        assert!(Index::of(&many(1_023)).unwrap().is_some());
        assert!(Index::of(&many(1_024)).unwrap().is_none());
        let long = format!("[{}1]", format!("\"{}\",", "x".repeat(100)).repeat(5_000));
        assert!(Index::of(&long).unwrap().is_some());
    }

    #[test]
    fn a_name_that_is_there_twice_is_found_among_few_and_many_names() {
        let object = |count: usize, last: &str| {
            let names: String = (0..count).map(|name| format!("\"n{name}\":{{\"x\":1}},")).collect();
            format!("[{{{names}\"{last}\":2}}]")
        };
        for count in [1, 7, 8, 9, 100] {
            for (last, is_good) in [("other", true), ("n0", false), ("\\u006e0", false), ("\\ud800", true)] {
                let text = object(count, last);
                let index = Index::of(&text).unwrap().unwrap();
                assert_eq!(index.check_names(&text).is_ok(), is_good, "{text}");
            }
        }
    }
}
