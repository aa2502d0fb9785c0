//! All rules together: what of a text matches, and where a match may have begun.

use std::collections::BTreeMap;
use std::ops::Range;

use gatewright_llm::spoken::Said;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::pattern::Patterns;
use crate::settings::{Action, Direction, PartName, RoleName, RuleSettings};
use crate::spelling::Spelling;
use crate::words::{self, Words};

/// The rules, numbered from 0.
pub(crate) struct Rules {
    rules: Vec<Rule>,
    patterns: Patterns,
    /// Of each pattern the rules that have it, and the kind whose it is.
    sources: Vec<Vec<(usize, Option<Kind>)>>,
    words: Words,
}

/// Letters of each case, digits and marks, in the orders that texts have them in.
const USUAL: &str = "Hello, I'm here: \"the quick brown fox\" jumps over 13 lazy dogs (e.g. at 10:45, for $2.50)!\n\n\
    - It's `code_like` & more; see https://example.com/a-b?c=1#d | x = [1, 2]\n* THE END? Yes. Größe, café, naïve.";

/// What a rule does, and where it looks.
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) replacement: String,
    is_of: [bool; 2],
    scope: Scope,
}

/// A match of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hit {
    /// Its number.
    pub(crate) rule: usize,
    /// Where, in bytes.
    pub(crate) range: Range<usize>,
}

/// Where a text is said: one bit of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope(u32);

impl Scope {
    /// Of what is said on a way.
    pub(crate) fn of(direction: Direction, said: &Said<'_>) -> Self {
        Self::new(direction, said.role.into(), said.part.into())
    }

    fn new(direction: Direction, role: RoleName, part: PartName) -> Self {
        Self(1 << ((direction as u32) << 4 | (role as u32) << 2 | part as u32))
    }

    /// Wherever a rule looks; in answers all roles are one.
    fn of_rule(rule: &RuleSettings) -> Self {
        let mut scope = 0;
        for direction in &rule.directions {
            let is_answer = *direction == Direction::Response;
            for role in if is_answer { &RoleName::ALL[..] } else { &rule.roles } {
                let parts = rule.parts.iter().map(|part| Self::new(*direction, *role, *part).0);
                scope = parts.fold(scope, |scope, bit| scope | bit);
            }
        }
        Self(scope)
    }
}

impl Rules {
    /// Compiles rules with which nothing is wrong.
    pub(crate) fn new(settings: Vec<RuleSettings>) -> Result<Self, String> {
        let mut known: BTreeMap<&str, Vec<(usize, Option<Kind>)>> = BTreeMap::new();
        for (number, rule) in settings.iter().enumerate() {
            let own = rule.patterns.iter().map(|pattern| (pattern.as_str(), None));
            for (pattern, kind) in own.chain(rule.kinds.iter().map(|kind| (kind.pattern(), Some(*kind)))) {
                known.entry(pattern).or_default().push((number, kind));
            }
        }
        let (patterns, sources): (Vec<&str>, Vec<_>) = known.into_iter().unzip();
        let words = settings.iter().enumerate();
        let words = words.flat_map(|(number, rule)| rule.words.iter().map(move |word| (word.as_str(), number)));
        let (patterns, words) = (Patterns::new(&patterns)?, Words::new(words));
        let rules = settings.into_iter().map(|rule| Rule {
            scope: Scope::of_rule(&rule),
            is_of: [Direction::Request, Direction::Response].map(|direction| rule.directions.contains(&direction)),
            replacement: rule.replacement.unwrap_or_else(|| format!("[{}]", rule.name)),
            name: rule.name,
            action: rule.action,
        });
        let rules = Self { rules: rules.collect(), patterns, sources, words };
        rules.warm();
        Ok(rules)
    }

    /// Looks at a text that is like most, for nothing: every call starts from what this leaves, and automata are built as
    /// they are needed.
    fn warm(&self) {
        let _no_hits = self.find(USUAL, 0, Scope(0));
        let _no_place = self.live(USUAL, 0);
    }

    /// A rule by its number.
    pub(crate) fn get(&self, number: usize) -> Option<&Rule> {
        self.rules.get(number)
    }

    /// Whether any rule looks this way.
    pub(crate) fn look_at(&self, direction: Direction) -> bool {
        self.rules.iter().any(|rule| rule.is_of[direction as usize])
    }

    /// Whether any rule looks at what is said there.
    pub(crate) fn any_at(&self, scope: Scope) -> bool {
        self.rules.iter().any(|rule| rule.scope.0 & scope.0 != 0)
    }

    /// Every match from a place on. What stands before it is only looked at for boundaries.
    pub(crate) fn find(&self, text: &str, from: usize, scope: Scope) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.find_in(&Spelling::same(text), from, &mut hits);
        if let Some(seen) = Spelling::seen(text) {
            self.find_in(&seen, from, &mut hits);
        }
        hits.retain(|hit| self.get(hit.rule).is_some_and(|rule| rule.scope.0 & scope.0 != 0));
        hits.sort_by_key(|hit| (hit.range.start, hit.rule));
        hits.dedup();
        hits
    }

    fn find_in(&self, spelling: &Spelling<'_>, from: usize, hits: &mut Vec<Hit>) {
        let (text, from) = (spelling.text.as_ref(), spelling.place(from));
        self.patterns.find(text, from, &mut |pattern, range| {
            for (rule, kind) in self.sources.get(pattern).into_iter().flatten() {
                let places = kind.map_or_else(|| vec![range.clone()], |kind| kind.confirm(text, range.clone()));
                hits.extend(places.into_iter().map(|range| Hit { rule: *rule, range: spelling.origin_of(range) }));
            }
        });
        if !self.words.is_empty() {
            let found = self.words.find(text, from, is_inside(text, from)).matches;
            hits.extend(found.into_iter().map(|(rule, range)| Hit { rule, range: spelling.origin_of(range) }));
        }
    }

    /// The first place, from one on, where a match may have begun that more of the text makes whole.
    pub(crate) fn live(&self, text: &str, from: usize) -> usize {
        let live_in = |spelling: &Spelling<'_>| {
            let (text, from) = (spelling.text.as_ref(), spelling.place(from));
            let words = self.words.find(text, from, is_inside(text, from)).live;
            spelling.origin(self.patterns.live(text, from).min(words))
        };
        let plain = live_in(&Spelling::same(text));
        Spelling::seen(text).map_or(plain, |seen| plain.min(live_in(&seen)))
    }
}

/// Whether a place is in the middle of a word.
fn is_inside(text: &str, from: usize) -> bool {
    let before = text.get(..from).and_then(|before| before.chars().next_back());
    before.is_some_and(|letter| words::is_of_word(letter) && !words::is_alone(letter))
}
