//! A text that is looked at as one, whole or as its pieces come.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::rules::{Hit, Rules, Scope};
use crate::spelling::{self, Spelling};

/// A text, as far as it must be kept. Places count from the start of the whole text, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Never used again in one exchange.
    pub(crate) id: u32,
    /// What its next pieces are called; none if it has come whole.
    pub(crate) name: Option<String>,
    scope: Scope,
    form: Form,
    /// Where `text` begins.
    start: usize,
    text: String,
    /// Up to here no more of the text can change what matches.
    pub(crate) settled: usize,
    /// What is to be written over, ascending, and apart from each other.
    pub(crate) hits: Vec<Hit>,
    pub(crate) is_over: bool,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// As the inside of a JSON string.
    Escaped,
    /// As a number or a word of JSON.
    Bare,
}

/// What stays of a settled text, in characters: for the boundaries of what follows.
const CONTEXT: usize = 2;

impl Run {
    /// A text of which nothing has come.
    pub(crate) fn new(id: u32, name: Option<String>, scope: Scope, form: Form) -> Self {
        let text = String::new();
        Self { id, name, scope, form, start: 0, text, settled: 0, hits: Vec::new(), is_over: false }
    }

    /// Adds a piece. Where it stands.
    pub(crate) fn push(&mut self, piece: &str) -> Range<usize> {
        let from = self.start + self.text.len();
        self.text.push_str(piece);
        from..from + piece.len()
    }

    /// Whether nothing of it waits.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled == self.start + self.text.len()
    }

    /// How many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// A stretch of the text as it came.
    pub(crate) fn text(&self, range: Range<usize>) -> &str {
        self.text.get(range.start.saturating_sub(self.start)..range.end.saturating_sub(self.start)).unwrap_or_default()
    }

    /// Whether it is a number or a word of JSON.
    pub(crate) fn is_bare(&self) -> bool {
        self.form == Form::Bare
    }

    /// Looks at what is new. All new matches, of which those that redact are kept as well.
    pub(crate) fn settle(&mut self, rules: &Rules, wait_bytes_max: usize) -> Vec<Hit> {
        if !rules.any_at(self.scope) {
            self.settled = self.start + self.text.len();
            return Vec::new();
        }
        let whole = match self.form {
            Form::Escaped if !self.is_over => spelling::whole_bytes(&self.text),
            Form::Plain | Form::Escaped | Form::Bare => self.text.len(),
        };
        let raw = self.text.get(..whole).unwrap_or_default();
        let spelling = if self.form == Form::Escaped { Spelling::of_json(raw) } else { Spelling::same(raw) };
        let text = spelling.text.as_ref();
        let from = spelling.place(self.settled - self.start);
        let mut hits = rules.find(text, from, self.scope);
        let live = match self.form {
            _ if self.is_over => text.len(),
            Form::Bare => from,
            Form::Plain | Form::Escaped => rules.live(text, from),
        };
        let mut settled = apart(live, &hits, |range| range.start);
        if text.len() - settled > wait_bytes_max {
            settled = text.ceil_char_boundary(text.len() - wait_bytes_max);
            settled = apart(settled, &hits, |range| range.end);
        }
        hits.retain(|hit| hit.range.start < settled);
        for hit in &mut hits {
            let range = spelling.origin_of(hit.range.clone());
            let range = if self.form == Form::Bare { 0..self.text.len() } else { range };
            hit.range = self.start + range.start..self.start + range.end;
        }
        self.settled = self.start + if settled == text.len() { whole } else { spelling.origin(settled) };
        self.keep(&hits, rules);
        hits
    }

    /// Keeps what is to be written over.
    fn keep(&mut self, hits: &[Hit], rules: &Rules) {
        use crate::settings::Action;
        let redacts = |hit: &&Hit| rules.get(hit.rule).is_some_and(|rule| rule.action == Action::Redact);
        for hit in hits.iter().filter(redacts) {
            match self.hits.last_mut().filter(|last| hit.range.start < last.range.end) {
                Some(last) => last.range.end = last.range.end.max(hit.range.end),
                None => self.hits.push(hit.clone()),
            }
        }
    }

    /// Forgets what stands before a place, but for a little before what is settled.
    pub(crate) fn forget(&mut self, needed: usize) {
        let raw = self.text.get(..self.settled - self.start).unwrap_or_default();
        let spelling = if self.form == Form::Escaped { Spelling::of_json(raw) } else { Spelling::same(raw) };
        let context = spelling.text.char_indices().rev().take(CONTEXT).last().map_or(spelling.text.len(), |(at, _)| at);
        let cut = spelling.origin(context).min(needed.saturating_sub(self.start));
        if self.text.is_char_boundary(cut) {
            self.text.drain(..cut);
            self.start += cut;
        }
        self.hits.retain(|hit| hit.range.end > needed);
    }
}

/// Moves a place out of every match, to the side that is asked for.
fn apart(mut place: usize, hits: &[Hit], side: impl Fn(&Range<usize>) -> usize) -> usize {
    while let Some(hit) = hits.iter().find(|hit| hit.range.start < place && place < hit.range.end) {
        place = side(&hit.range);
    }
    place
}
