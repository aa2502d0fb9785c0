//! An event, or a body, until all of its texts are settled; and then with what rules write over them.

use std::ops::Range;

use gatewright_llm::dialect::Frame;
use gatewright_llm::json::ToJson as _;
use serde::{Deserialize, Serialize};

use crate::rules::{Hit, Rules};
use crate::run::Run;
use crate::spelling::Spelling;

/// An event that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    name: String,
    data: String,
    slots: Vec<Slot>,
    /// Where it says how likely its words are.
    probabilities: Vec<Range<usize>>,
    /// Whether it came with this call.
    #[serde(skip)]
    pub(crate) is_new: bool,
}

/// A place in an event where something is said.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Of a string what stands between its quotes.
    pub(crate) span: Range<usize>,
    pub(crate) is_string: bool,
    /// Whether what is said is JSON.
    pub(crate) is_json: bool,
    pub(crate) pieces: Vec<Piece>,
}

/// A piece of a text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) run: u32,
    /// Where in the whole text, in bytes.
    pub(crate) range: Range<usize>,
    /// Where in what the slot says.
    inner: Range<usize>,
    /// Whether a part of it went to another event, or came from one.
    pub(crate) is_moved: bool,
}

/// What is needed to write an event.
pub(crate) struct Writing<'w> {
    pub(crate) rules: &'w Rules,
    /// In the order of their numbers.
    pub(crate) runs: &'w [Run],
}

/// Bytes of an event that are replaced.
struct Edit {
    at: Range<usize>,
    by: String,
}

impl Piece {
    /// A piece as it came.
    pub(crate) fn new(run: u32, range: Range<usize>, inner: Range<usize>) -> Self {
        Self { run, range, inner, is_moved: false }
    }
}

impl Waiting {
    /// An event as it came.
    pub(crate) fn new(frame: Frame, slots: Vec<Slot>, probabilities: Vec<Range<usize>>) -> Self {
        Self { name: frame.name, data: frame.data, slots, probabilities, is_new: true }
    }

    /// All pieces, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.slots.iter().flat_map(|slot| &slot.pieces)
    }

    /// All pieces, in order.
    pub(crate) fn pieces_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.slots.iter_mut().flat_map(|slot| &mut slot.pieces)
    }

    /// How many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.name.len() + self.data.len() + self.pieces().count() * size_of::<Piece>()
    }

    /// The event as it goes on, and whether that is another than it was.
    pub(crate) fn write(self, writing: &Writing<'_>) -> (Frame, bool) {
        let mut edits: Vec<Edit> = self.slots.iter().flat_map(|slot| slot.edits(&self.data, writing)).collect();
        if edits.is_empty() {
            return (Frame { name: self.name, data: self.data }, false);
        }
        // They would tell what was written over.
        edits.extend(self.probabilities.into_iter().map(|at| Edit { at, by: "null".to_owned() }));
        edits.sort_by_key(|edit| edit.at.start);
        let mut data = String::with_capacity(self.data.len());
        let mut end = 0;
        for edit in edits {
            data.push_str(self.data.get(end..edit.at.start).unwrap_or_default());
            data.push_str(&edit.by);
            end = edit.at.end;
        }
        data.push_str(self.data.get(end..).unwrap_or_default());
        (Frame { name: self.name, data }, true)
    }
}

impl Slot {
    fn edits(&self, data: &str, writing: &Writing<'_>) -> Vec<Edit> {
        let changes: Vec<_> = self.pieces.iter().flat_map(|piece| piece.changes(self.is_json, writing)).collect();
        if changes.is_empty() {
            return Vec::new();
        }
        let written = data.get(self.span.clone()).unwrap_or_default();
        let spelling = if self.is_string { Spelling::of_json(written) } else { Spelling::same(written) };
        let edit = |(place, text): (Range<usize>, String)| {
            let place = spelling.origin_of(place);
            let by = if self.is_string { escaped(&text) } else { text };
            Edit { at: self.span.start + place.start..self.span.start + place.end, by }
        };
        changes.into_iter().map(edit).collect()
    }
}

impl Piece {
    /// Stretches of what the slot says, each with what is written there instead.
    fn changes(&self, is_json: bool, writing: &Writing<'_>) -> Vec<(Range<usize>, String)> {
        let at = writing.runs.binary_search_by_key(&self.run, |run| run.id);
        let Some(run) = at.ok().and_then(|at| writing.runs.get(at)) else { return Vec::new() };
        let first = run.hits.partition_point(|hit| hit.range.end <= self.range.start);
        let after = run.hits.partition_point(|hit| hit.range.start < self.range.end);
        let hits = run.hits.get(first..after).unwrap_or_default();
        let text = |hit: &Hit| {
            // What began in an earlier piece is replaced there.
            let is_first = hit.range.start >= self.range.start;
            if is_first { writing.replacement(hit, is_json, run.is_bare()) } else { String::new() }
        };
        let clipped = |hit: &Hit| hit.range.start.max(self.range.start)..hit.range.end.min(self.range.end);
        if !self.is_moved {
            let inner = |place: usize| self.inner.start + (place - self.range.start);
            let change = |hit: &Hit| {
                let place = clipped(hit);
                (inner(place.start)..inner(place.end), text(hit))
            };
            return hits.iter().map(change).collect();
        }
        let mut whole = String::new();
        let mut end = self.range.start;
        for hit in hits {
            let place = clipped(hit);
            whole.push_str(run.text(end..place.start));
            whole.push_str(&text(hit));
            end = place.end;
        }
        whole.push_str(run.text(end..self.range.end));
        vec![(self.inner.clone(), whole)]
    }
}

impl Writing<'_> {
    fn replacement(&self, hit: &Hit, is_json: bool, is_bare: bool) -> String {
        let text = self.rules.get(hit.rule).map(|rule| rule.replacement.as_str()).unwrap_or_default();
        match (is_json, is_bare) {
            (false, _) => text.to_owned(),
            (true, false) => escaped(text),
            // A text cannot stand where a number stood, but in quotes.
            (true, true) => format!("\"{}\"", escaped(text)),
        }
    }
}

/// As the inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    text.write_to(&mut out);
    out.get(1..out.len() - 1).unwrap_or_default().to_owned()
}
