//! Regular expressions from the configuration: for a whole text, linear in time, bounded in size.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// A regular expression that a whole text fits or does not.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    folder: String,
}

/// Bytes of the text of an expression.
const TEXT_MAX: usize = 1 << 10;
/// Bytes of a compiled expression, and of what matching may remember.
const SIZE_MAX: usize = 256 << 10;

impl Pattern {
    /// An expression as configured.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("a regular expression may have {TEXT_MAX} bytes; this has {}", text.len()));
        }
        let mut builder = RegexBuilder::new(&format!("^(?:{text})$"));
        builder.size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX);
        match builder.build() {
            Ok(regex) => Ok(Self { regex, folder: folder(text).to_owned() }),
            Err(regex::Error::CompiledTooBig(max)) => {
                Err(format!("regular expression {text:?} takes more than {max} bytes compiled: make it smaller"))
            }
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err(format!("{text:?} is no regular expression: {why}"))
            }
        }
    }

    /// Whether the whole text fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The named groups with what they stand for, if the whole text fits.
    #[must_use]
    pub fn parameters(&self, text: &str) -> Option<Vec<(String, String)>> {
        let names = || self.regex.capture_names().flatten();
        if names().next().is_none() {
            return self.fits(text).then(Vec::new);
        }
        let groups = self.regex.captures(text)?;
        let found = |name: &str| groups.name(name).map(|group| (name.to_owned(), group.as_str().to_owned()));
        Some(names().filter_map(found).collect())
    }

    /// What a substitution makes of the text, if all of it fits: `$1`, `$name` and `${name}` stand for groups.
    #[must_use]
    pub fn substitute(&self, text: &str, substitution: &str) -> Option<String> {
        let groups = self.regex.captures(text)?;
        let mut new = String::new();
        groups.expand(substitution, &mut new);
        Some(new)
    }

    /// Looks for groups that the expression does not have.
    ///
    /// # Errors
    /// The first of them.
    pub fn check_substitution(&self, substitution: &str) -> Result<(), String> {
        for part in substitution.split('$').skip(1) {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let name = match part.strip_prefix('{') {
                Some(part) => part.split('}').next().unwrap_or_default(),
                None => part.get(..part.bytes().take_while(is_name).count()).unwrap_or_default(),
            };
            let known = match name.parse::<usize>() {
                Ok(number) => number < self.regex.captures_len(),
                Err(_) => self.regex.capture_names().flatten().any(|known| known == name),
            };
            if !known {
                return Err(format!("the pattern has no group {name:?}: write $1 or $name for one that it has"));
            }
        }
        Ok(())
    }

    /// A folder that every path lies in that fits, without its last slash.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Pattern").field(&self.regex.as_str()).finish()
    }
}

/// The part before the last slash of what any text that fits starts with; less than that where it is hard to tell.
fn folder(text: &str) -> &str {
    if text.contains('|') {
        return "";
    }
    let text = text.strip_prefix('^').unwrap_or(text);
    let is_literal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
    let mut literal = text.bytes().take_while(is_literal).count();
    if text.get(literal..).is_some_and(|rest| rest.starts_with(['?', '*', '+', '{'])) {
        // Perhaps the last one need not be there.
        literal = literal.saturating_sub(1);
    }
    let literal = text.get(..literal).unwrap_or_default();
    literal.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_whole_text_fits_or_does_not() {
        let pattern = Pattern::parse("/v1/(?<id>[0-9]+)/a|/v2").unwrap();
        assert_eq!(pattern.parameters("/v1/7/a").unwrap(), [("id".to_owned(), "7".to_owned())]);
        assert_eq!(pattern.parameters("/v2").unwrap(), []);
        for text in ["/v1/7/a/", "x/v2", "/v2/", "/v1/x/a", "/v2\n"] {
            assert!(!pattern.fits(text), "{text}");
        }
    }

    #[test]
    fn groups_are_put_where_a_substitution_names_them() {
        let pattern = Pattern::parse("/v1/(?<id>[0-9]+)/(.*)").unwrap();
        assert_eq!(pattern.substitute("/v1/7/a/b", "/x${id}y/$2").unwrap(), "/x7y/a/b");
        assert_eq!(pattern.substitute("/v2", "/$1"), None);
        for (substitution, fits) in [("/$1", true), ("/$id", true), ("/${id}x", true), ("/$3", false), ("/$idx", false)]
        {
            assert_eq!(pattern.check_substitution(substitution).is_ok(), fits, "{substitution}");
        }
    }

    #[test]
    fn a_folder_holds_every_path_that_fits() {
        for (text, folder) in [
            ("/v1/users/[0-9]+", "/v1/users"),
            ("^/v1/users/.*$", "/v1/users"),
            ("/v1/users", "/v1"),
            ("/v1/?", ""),
            ("/v1/x?", "/v1"),
            ("/a/b|/c", ""),
            ("(?i)/a/b", ""),
            (".*", ""),
            ("/a/b{2}", "/a"),
            ("/a/{0}b", ""),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().folder(), folder, "{text}");
        }
    }

    #[test]
    fn an_expression_past_its_bounds_is_refused() {
        for text in ["(", "(?<a>x)(?<a>y)", "(?=a)", "\\w{1000}{1000}", &"a".repeat(1025), "(?x)a #"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse(&"a".repeat(1024)).is_ok());
    }
}
