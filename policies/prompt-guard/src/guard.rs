//! What is said in one direction of an exchange: a whole body, or the events of a stream one after another.
//!
//! An event waits while a match may have begun in it. When the next piece of the same text comes, what still waits of
//! the text moves there, and the event goes on: of each text at most one event waits, and those behind it.

use std::collections::BTreeSet;

use gatewright_llm::Dialect;
use gatewright_llm::dialect::Frame;
use gatewright_llm::json::Document;
use gatewright_llm::spoken::{self, Ended, Said};
use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;
use crate::rules::{Hit, Rules, Scope};
use crate::run::{Form, Run};
use crate::settings::{Action, Direction};
use crate::spelling::Spelling;
use crate::waiting::{Piece, Slot, Waiting, Writing};

/// How far the guard is. All that is kept from one event to the next is in here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Guard {
    pub(crate) direction: Direction,
    waiting: Vec<Waiting>,
    runs: Vec<Run>,
    /// Arguments that come in pieces: the name, how far they were read, and the value that goes on.
    calls: Vec<(String, Arguments, Option<u32>)>,
    next_id: u32,
    /// The rules that matched so far.
    pub(crate) matched: BTreeSet<usize>,
}

/// What an event, or a body, may go on as.
pub(crate) struct Passed {
    /// In order; the events that still wait are not among them.
    pub(crate) frames: Vec<Frame>,
    /// Whether any of them is another than it was, or is not among the last ones offered.
    pub(crate) is_changed: bool,
    /// What matched, one entry for each match.
    pub(crate) hits: Vec<Hit>,
    /// Whether nothing may follow.
    pub(crate) is_denied: bool,
}

/// Texts that go on at once; more is an attack.
const RUNS_MAX: usize = 64;
/// Bytes of events and texts that wait.
const WAITING_BYTES_MAX: usize = 160 << 10;

impl Guard {
    /// Nothing was said yet.
    pub(crate) fn new(direction: Direction) -> Self {
        let (waiting, runs, calls) = (Vec::new(), Vec::new(), Vec::new());
        Self { direction, waiting, runs, calls, next_id: 0, matched: BTreeSet::new() }
    }

    /// Takes a whole request.
    pub(crate) fn request(&mut self, body: &str, document: &Document<'_>) {
        let mut slots = Vec::new();
        spoken::of_request(document.root(), &mut |said| slots.push(self.said(body, &said)));
        self.wait(Frame::unnamed(body), slots, document);
    }

    /// Takes a whole answer.
    pub(crate) fn answer(&mut self, body: &str, document: &Document<'_>) {
        let mut slots = Vec::new();
        spoken::of_answer(document.root(), &mut |said| slots.push(self.said(body, &said)));
        self.wait(Frame::unnamed(body), slots, document);
    }

    /// Takes an event. What is no JSON says nothing: the end mark of some dialects.
    pub(crate) fn event(&mut self, dialect: Dialect, frame: Frame) {
        let Ok(document) = Document::parse(&frame.data) else {
            if frame.data.trim() == "[DONE]" {
                self.end(&Ended::All);
            }
            self.waiting.push(Waiting::new(frame, Vec::new(), Vec::new()));
            return;
        };
        let mut slots = Vec::new();
        let ended =
            spoken::of_event(dialect, &frame, document.root(), &mut |said| slots.push(self.said(&frame.data, &said)));
        self.end(&ended);
        self.wait(frame.clone(), slots, &document);
    }

    /// Nothing more comes: what waits is whole.
    pub(crate) fn close(&mut self) {
        self.end(&Ended::All);
    }

    /// Looks at all that is new, and lets go what need not wait.
    pub(crate) fn pass(&mut self, rules: &Rules, wait_bytes_max: usize) -> Passed {
        let offered = self.waiting.iter().filter(|waiting| waiting.is_new).count();
        let mut passed = Passed { frames: Vec::new(), is_changed: false, hits: Vec::new(), is_denied: false };
        let mut denied: Option<(u32, usize)> = None;
        for run in self.runs.iter_mut().filter(|run| !run.is_settled()) {
            for hit in run.settle(rules, wait_bytes_max) {
                let is_denied = rules.get(hit.rule).is_some_and(|rule| rule.action == Action::Deny);
                if is_denied && denied.is_none() {
                    denied = Some((run.id, hit.range.start));
                }
                self.matched.insert(hit.rule);
                passed.hits.push(hit);
            }
        }
        let bound = denied.map_or(self.waiting.len(), |(run, place)| {
            let holds = |piece: &Piece| piece.run == run && piece.range.end > place;
            self.waiting.iter().position(|waiting| waiting.pieces().any(holds)).unwrap_or(0)
        });
        self.let_go(bound, rules, &mut passed);
        let kept: usize = self.waiting.iter().map(Waiting::bytes).chain(self.runs.iter().map(Run::bytes)).sum();
        let is_overrun = kept > WAITING_BYTES_MAX || self.runs.len() > RUNS_MAX;
        passed.is_denied = denied.is_some() || is_overrun;
        passed.is_changed |= passed.frames.len() != offered;
        passed
    }

    /// Lets the first events go, as far as none of them waits.
    fn let_go(&mut self, bound: usize, rules: &Rules, passed: &mut Passed) {
        let mut count = 0;
        while count < bound && self.settle(count) {
            count += 1;
        }
        let writing = Writing { rules, runs: &self.runs };
        for waiting in self.waiting.drain(..count) {
            passed.is_changed |= !waiting.is_new;
            let (frame, is_changed) = waiting.write(&writing);
            passed.frames.push(frame);
            passed.is_changed |= is_changed;
        }
        for waiting in &mut self.waiting {
            waiting.is_new = false;
        }
        let waiting = &self.waiting;
        self.runs.retain_mut(|run| {
            let pieces = waiting.iter().flat_map(Waiting::pieces).filter(|piece| piece.run == run.id);
            let needed = pieces.map(|piece| piece.range.start).min();
            run.forget(needed.unwrap_or(run.settled));
            needed.is_some() || !run.is_over
        });
    }

    /// Whether an event need not wait; what waits of its texts moves to a later event if there is one.
    fn settle(&mut self, index: usize) -> bool {
        let Some((first, later)) = self.waiting.get_mut(index..).and_then(<[_]>::split_first_mut) else { return false };
        let runs = &self.runs;
        let settled = |run: u32| {
            let at = runs.binary_search_by_key(&run, |run| run.id);
            at.ok().and_then(|at| runs.get(at)).map_or(usize::MAX, |run| run.settled)
        };
        first.pieces_mut().all(|piece| {
            let bound = settled(piece.run).max(piece.range.start);
            if piece.range.end <= bound {
                return true;
            }
            let next = later.iter_mut().flat_map(Waiting::pieces_mut).find(|other| other.run == piece.run);
            let Some(next) = next else { return false };
            (piece.range.end, piece.is_moved) = (bound, true);
            (next.range.start, next.is_moved) = (bound, true);
            true
        })
    }

    fn wait(&mut self, frame: Frame, slots: Vec<Slot>, document: &Document<'_>) {
        let mut probabilities = Vec::new();
        spoken::probabilities(document.root(), &mut |json| probabilities.push(json.span()));
        self.waiting.push(Waiting::new(frame, slots, probabilities));
    }

    fn end(&mut self, ended: &Ended) {
        let is_over = |name: &Option<String>| match (ended, name) {
            (Ended::None, _) | (_, None) => false,
            (Ended::Runs(counts), Some(name)) => name.starts_with(counts.as_str()),
            (Ended::All, Some(_)) => true,
        };
        for run in self.runs.iter_mut().filter(|run| is_over(&run.name)) {
            (run.is_over, run.name) = (true, None);
        }
        let calls = std::mem::take(&mut self.calls);
        self.calls = calls.into_iter().filter(|(name, ..)| !is_over(&Some(name.clone()))).collect();
    }

    /// The place of what is said, with its pieces added to the texts that they belong to.
    fn said(&mut self, data: &str, said: &Said<'_>) -> Slot {
        let span = said.json.span();
        let scope = Scope::of(self.direction, said);
        let written = data.get(span.clone()).unwrap_or_default();
        let Some(inner) = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            let pieces = self.values(written, scope, said.run.as_deref());
            return Slot { span, is_string: false, is_json: true, pieces };
        };
        let text = Spelling::of_json(inner).text;
        let span = span.start + 1..span.end - 1;
        let pieces = if said.is_json {
            self.values(&text, scope, said.run.as_deref())
        } else {
            let run = self.run(said.run.as_deref(), scope, Form::Plain);
            vec![Piece::new(run.id, run.push(&text), 0..text.len())]
        };
        Slot { span, is_string: true, is_json: said.is_json, pieces }
    }

    /// The values of a JSON text, or of a piece of one.
    fn values(&mut self, text: &str, scope: Scope, name: Option<&str>) -> Vec<Piece> {
        let known = name.and_then(|name| self.calls.iter().position(|(known, ..)| known == name));
        let (_, mut arguments, mut open) = known.map(|at| self.calls.swap_remove(at)).unwrap_or_default();
        let mut pieces = Vec::new();
        for stretch in arguments.read(text) {
            let form = if stretch.is_bare { Form::Bare } else { Form::Escaped };
            let going = open.filter(|_| stretch.goes_on).and_then(|id| self.place(id));
            // A value has the name of its call, with a blank before that no other name has: so it ends with the call.
            let value = name.map(|name| format!("{name} "));
            let index = going.unwrap_or_else(|| self.begin(value, scope, form));
            let Some(run) = self.runs.get_mut(index) else { continue };
            let range = run.push(text.get(stretch.range.clone()).unwrap_or_default());
            run.is_over |= stretch.is_over || name.is_none();
            open = Some(run.id).filter(|_| !run.is_over);
            pieces.push(Piece::new(run.id, range, stretch.range));
        }
        if let Some(name) = name {
            self.calls.push((name.to_owned(), arguments, open));
        }
        pieces
    }

    /// Where a text is: their numbers ascend.
    fn place(&self, id: u32) -> Option<usize> {
        self.runs.binary_search_by_key(&id, |run| run.id).ok()
    }

    /// The text that goes on, or a new one.
    fn run(&mut self, name: Option<&str>, scope: Scope, form: Form) -> &mut Run {
        let known = name.and_then(|name| self.runs.iter().position(|run| run.name.as_deref() == Some(name)));
        let index = known.unwrap_or_else(|| self.begin(name.map(str::to_owned), scope, form));
        &mut self.runs[index]
    }

    fn begin(&mut self, name: Option<String>, scope: Scope, form: Form) -> usize {
        self.next_id += 1;
        let mut run = Run::new(self.next_id, name, scope, form);
        run.is_over = run.name.is_none();
        self.runs.push(run);
        self.runs.len() - 1
    }
}
