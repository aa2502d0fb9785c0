//! Where each value of a JSON text stands, found in one pass that also proves the text to be JSON. The gateway reads
//! bodies with it, and policies in WebAssembly read what they translate.

mod parser;

use std::fmt;

use parser::Parser;

/// Where each value of a JSON text (RFC 8259) stands: parents before their children.
///
/// An escape of half a surrogate pair is taken as the grammar has it; whoever decodes the text decides what it means.
#[derive(Debug)]
pub struct Index(Vec<Node>);

/// One value, or the name of a member, which comes right before the member's value. Places count bytes from the text's
/// start.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// The node after the last of its descendants.
    pub next: u32,
}

/// Why a text has no index.
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

impl std::error::Error for NotJson {}

/// Values within values; more is an attack.
const DEPTH_MAX: usize = 128;

impl Index {
    /// Of the whole of a text.
    ///
    /// # Errors
    /// It is not one JSON text, is of 4 GiB or more, or is nested deeper than 128.
    pub fn of(text: &str) -> Result<Self, NotJson> {
        Self::within(text, usize::MAX).map(Option::unwrap_or_default)
    }

    /// As `of`, with so many nodes at most; none for a text that would need more, which then may be JSON or not.
    ///
    /// # Errors
    /// As for `of`.
    pub fn within(text: &str, nodes_max: usize) -> Result<Option<Self>, NotJson> {
        if u32::try_from(text.len()).is_err() {
            return Err(NotJson { at: 0, expected: "a text below 4 GiB" });
        }
        Parser::new(text, nodes_max).document().map(|nodes| nodes.map(Self))
    }

    /// A node by its number; the whole text's is 0.
    pub fn node(&self, number: u32) -> Option<&Node> {
        self.0.get(number as usize)
    }

    /// All nodes, by their number.
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// The numbers of the nodes one level below another: the items of an array, or names and values by turns.
    pub fn children(&self, parent: u32) -> impl Iterator<Item = u32> + use<'_> {
        let next = |node: u32| self.node(node).map(|node| node.next);
        let end = next(parent).unwrap_or(0);
        let first = parent.checked_add(1).filter(|first| *first < end);
        std::iter::successors(first, move |child| next(*child).filter(|next| *next < end))
    }
}

impl Default for Index {
    /// Of no text.
    fn default() -> Self {
        Self(Vec::new())
    }
}
