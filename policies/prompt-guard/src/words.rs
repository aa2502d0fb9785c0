//! Lists of words and phrases, found whole and whatever their case.

use std::ops::Range;

/// Words and phrases in normal form, each with the number of its rule; sorted.
pub(crate) struct Words(Vec<(String, usize)>);

/// What a text has of a list.
pub(crate) struct Found {
    /// Matches, each with the number of its rule.
    pub(crate) matches: Vec<(usize, Range<usize>)>,
    /// The first place where a phrase has begun that more of the text may make whole; the text's end if none has.
    pub(crate) live: usize,
}

/// Between two words of a phrase there is at most so much else, in characters.
const BETWEEN_MAX: usize = 4;

/// A phrase in normal form: its words in small letters, with one blank between.
pub(crate) fn normal(phrase: &str) -> String {
    let words: Vec<String> = words(phrase, false).map(|word| small(phrase.get(word).unwrap_or_default())).collect();
    words.join(" ")
}

impl Words {
    /// Makes a list of words, each with the number of its rule.
    pub(crate) fn new<'w>(list: impl Iterator<Item = (&'w str, usize)>) -> Self {
        let mut entries: Vec<_> = list.map(|(phrase, rule)| (normal(phrase), rule)).collect();
        entries.sort();
        entries.dedup();
        Self(entries)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks from a place on, which is in the middle of a word if `is_inside`.
    pub(crate) fn find(&self, text: &str, from: usize, is_inside: bool) -> Found {
        let mut found = Found { matches: Vec::new(), live: text.len() };
        if self.0.is_empty() {
            return found;
        }
        let rest = text.get(from..).unwrap_or_default();
        let all: Vec<Range<usize>> = words(rest, is_inside).map(|word| from + word.start..from + word.end).collect();
        for first in 0..all.len() {
            self.begin(text, all.get(first..).unwrap_or_default(), &mut found);
        }
        found
    }

    /// The phrases that begin with the first of these words.
    fn begin(&self, text: &str, words: &[Range<usize>], found: &mut Found) {
        let Some(start) = words.first().map(|word| word.start) else { return };
        let mut phrase = String::new();
        let mut last = start;
        for word in words {
            let between = text.get(last..word.start).unwrap_or_default().chars().count();
            if between > BETWEEN_MAX {
                return;
            }
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(&small(text.get(word.clone()).unwrap_or_default()));
            last = word.end;
            let entries = self.beginning_with(&phrase);
            for (_, rule) in entries.iter().take_while(|(entry, _)| *entry == phrase) {
                found.matches.push((*rule, start..word.end));
            }
            // A word at the end may go on.
            let is_open = word.end == text.len();
            let goes_on =
                entries.iter().any(|(entry, _)| entry.get(phrase.len()..).is_some_and(|rest| rest.starts_with(' ')));
            if is_open && !entries.is_empty() {
                found.live = found.live.min(start);
            }
            if !goes_on {
                return;
            }
        }
        // All words there are fit: the next one may too.
        if text.get(last..).unwrap_or_default().chars().count() <= BETWEEN_MAX {
            found.live = found.live.min(start);
        }
    }

    fn beginning_with(&self, phrase: &str) -> &[(String, usize)] {
        let first = self.0.partition_point(|(entry, _)| entry.as_str() < phrase);
        let rest = self.0.get(first..).unwrap_or_default();
        let count = rest.partition_point(|(entry, _)| entry.starts_with(phrase));
        rest.get(..count).unwrap_or_default()
    }
}

/// Where the words of a text stand. In scripts that set no blanks every character is one.
fn words(text: &str, is_inside: bool) -> impl Iterator<Item = Range<usize>> {
    let mut letters = text.char_indices().peekable();
    if is_inside {
        while letters.next_if(|(_, letter)| is_of_word(*letter) && !is_alone(*letter)).is_some() {}
    }
    std::iter::from_fn(move || {
        let (start, first) = letters.find(|(_, letter)| is_of_word(*letter))?;
        let mut end = start + first.len_utf8();
        if is_alone(first) {
            return Some(start..end);
        }
        while let Some((at, letter)) = letters.next_if(|(_, letter)| is_of_word(*letter) && !is_alone(*letter)) {
            end = at + letter.len_utf8();
        }
        Some(start..end)
    })
}

/// Whether a character is of a word: a letter, a digit, or an accent that stands by itself.
pub(crate) fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '\u{300}'..='\u{36f}')
}

/// Whether a character of a word stands by itself: of Chinese, Japanese, Thai, Lao, Khmer and Burmese.
pub(crate) fn is_alone(letter: char) -> bool {
    matches!(letter,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

fn small(word: &str) -> String {
    if word.is_ascii() { word.to_ascii_lowercase() } else { word.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::{Words, normal};

    fn list() -> Words {
        Words::new([("Secret", 0), ("Project  X", 1), ("机密", 2), ("ÜBEL", 3)].into_iter())
    }

    fn check(text: &str, expected: &[(usize, &str)], live: &str) {
        let found = list().find(text, 0, false);
        let matches: Vec<_> = found.matches.into_iter().map(|(rule, place)| (rule, text.get(place).unwrap())).collect();
        assert_eq!(matches, expected, "{text}");
        assert_eq!(text.get(found.live..).unwrap(), live, "{text}");
    }

    #[test]
    fn words_are_found_whole_and_in_any_case() {
        check("a SECRET, a secretary", &[(0, "SECRET")], "");
        check("project-x and Project\nX. ", &[(1, "project-x"), (1, "Project\nX")], "");
        check("这是机密文件", &[(2, "机密")], "");
        check("übel, Übelkeit ", &[(3, "übel")], "");
        check("project and x ", &[], "");
    }

    #[test]
    fn what_may_become_a_phrase_is_live() {
        check("a sec", &[], "sec");
        check("a project ", &[], "project ");
        check("a project      ", &[], "");
        check("my secret", &[(0, "secret")], "secret");
        check("a x", &[], "");
        let inside = list().find("secret sec", 0, true);
        assert!(inside.matches.is_empty() && inside.live == 7);
    }

    #[test]
    fn a_phrase_without_letters_is_none() {
        assert_eq!((normal("--- "), normal(" A-b ")), (String::new(), "a b".to_owned()));
    }
}
