//! Regular expressions: which of many match, where, and where one could still begin.

use std::cell::RefCell;
use std::ops::Range;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::start;
use regex_automata::{Anchored, Input, MatchKind, PatternSet, meta};
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Several expressions, numbered from 0.
pub(crate) struct Patterns {
    /// All of them, without boundaries of Unicode words: what fits one of them fits here, at the same places.
    any: Option<meta::Regex>,
    each: Vec<meta::Regex>,
    /// As `any`, to be followed byte by byte from one place.
    live: Option<(DFA, RefCell<Cache>)>,
}

/// The longest expression, in bytes.
const PATTERN_BYTES_MAX: usize = 4096;
/// Groups within groups.
const NEST_MAX: u32 = 32;
/// The size of one compiled expression, and of all together: every call starts with them in its memory.
const PROGRAM_BYTES_MAX: usize = 4 << 20;
const PROGRAMS_BYTES_MAX: usize = 8 << 20;
/// What of an automaton is kept while a text is looked at.
const CACHE_BYTES: usize = 2 << 20;
/// Steps of one look for a live place. Past it the place looked at is taken for one: what waits is bounded all the same.
const LIVE_STEPS_MAX: usize = 200_000;

/// Why an expression cannot be used.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err("has at most 4096 bytes".to_owned());
    }
    let hir = parse(pattern)?;
    if hir.properties().minimum_len().is_none_or(|length| length == 0) {
        return Err("matches an empty text, which is everywhere".to_owned());
    }
    one(&hir).map(|_| ())
}

impl Patterns {
    /// Compiles expressions that [`check`] found nothing wrong with.
    pub(crate) fn new(patterns: &[&str]) -> Result<Self, String> {
        let hirs = patterns.iter().map(|pattern| parse(pattern)).collect::<Result<Vec<_>, _>>()?;
        let each = hirs.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        if hirs.is_empty() {
            return Ok(Self { any: None, each, live: None });
        }
        let loose: Vec<Hir> = hirs.into_iter().map(loosened).collect();
        let config = config(PROGRAMS_BYTES_MAX).match_kind(MatchKind::All);
        let any = meta::Builder::new().configure(config).build_many_from_hir(&loose).map_err(said)?;
        let limits = thompson::Config::new().nfa_size_limit(Some(PROGRAMS_BYTES_MAX));
        let nfa: NFA = thompson::Compiler::new().configure(limits).build_many_from_hir(&loose).map_err(said)?;
        let config =
            DFA::config().match_kind(MatchKind::All).cache_capacity(CACHE_BYTES).skip_cache_capacity_check(true);
        let live = DFA::builder().configure(config).build_from_nfa(nfa).map_err(said)?;
        let cache = RefCell::new(live.create_cache());
        Ok(Self { any: Some(any), each, live: Some((live, cache)) })
    }

    /// Every match from a place on, with the number of its expression.
    pub(crate) fn find(&self, text: &str, from: usize, found: &mut dyn FnMut(usize, Range<usize>)) {
        let Some(any) = &self.any else { return };
        let input = Input::new(text).range(from..);
        let mut set = PatternSet::new(self.each.len());
        any.which_overlapping_matches(&input, &mut set);
        for pattern in set.iter() {
            if let Some(regex) = self.each.get(pattern.as_usize()) {
                regex.find_iter(input.clone()).for_each(|place| found(pattern.as_usize(), place.range()));
            }
        }
    }

    /// The first place where a match has begun that more of the text may end or make longer; the text's end if none has.
    pub(crate) fn live(&self, text: &str, from: usize) -> usize {
        let Some((dfa, cache)) = &self.live else { return text.len() };
        let mut cache = cache.borrow_mut();
        let mut steps = 0;
        let places = text.get(from..).unwrap_or_default().char_indices().map(|(at, _)| from + at);
        for place in places {
            if steps > LIVE_STEPS_MAX || is_live(dfa, &mut cache, text.as_bytes(), place, &mut steps) {
                return place;
            }
        }
        text.len()
    }
}

/// Whether a match that begins at a place is not over at the text's end. What cannot be told is taken for one.
fn is_live(dfa: &DFA, cache: &mut Cache, text: &[u8], place: usize, steps: &mut usize) -> bool {
    let before = place.checked_sub(1).and_then(|before| text.get(before)).copied();
    let start = start::Config::new().anchored(Anchored::Yes).look_behind(before);
    let Ok(mut state) = dfa.start_state(cache, &start) else { return true };
    for byte in text.get(place..).unwrap_or_default() {
        if state.is_dead() {
            return false;
        }
        *steps += 1;
        match dfa.next_state(cache, state, *byte) {
            Ok(next) if !next.is_quit() => state = next,
            Ok(_) | Err(_) => return true,
        }
    }
    !state.is_dead()
}

fn parse(pattern: &str) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new().nest_limit(NEST_MAX).build();
    parser.parse(pattern).map_err(|error| match error {
        // The whole error shows the place on several lines.
        regex_syntax::Error::Parse(error) => format!("{} at byte {}", error.kind(), error.span().start.offset),
        regex_syntax::Error::Translate(error) => format!("{} at byte {}", error.kind(), error.span().start.offset),
        other => other.to_string(),
    })
}

fn one(hir: &Hir) -> Result<meta::Regex, String> {
    meta::Builder::new().configure(config(PROGRAM_BYTES_MAX)).build_from_hir(hir).map_err(said)
}

fn config(bytes_max: usize) -> meta::Config {
    meta::Config::new().nfa_size_limit(Some(bytes_max)).onepass(false).hybrid_cache_capacity(CACHE_BYTES)
}

fn said(error: impl std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The same without boundaries of Unicode words, which an automaton of bytes cannot tell beside other letters than ASCII's.
fn loosened(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Look(
            Look::WordUnicode
            | Look::WordUnicodeNegate
            | Look::WordStartUnicode
            | Look::WordEndUnicode
            | Look::WordStartHalfUnicode
            | Look::WordEndHalfUnicode,
        )
        | HirKind::Empty => Hir::empty(),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class @ (Class::Unicode(_) | Class::Bytes(_))) => Hir::class(class),
        HirKind::Repetition(Repetition { min, max, greedy, sub }) => {
            Hir::repetition(Repetition { min, max, greedy, sub: Box::new(loosened(*sub)) })
        }
        HirKind::Capture(capture) => loosened(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(loosened).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(loosened).collect()),
    }
}
