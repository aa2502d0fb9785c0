//! Path patterns: exact, prefix, template, regex.

use super::Pattern;
use crate::config::PathMatch;

/// A pattern that paths are compared with.
#[derive(Debug, Clone)]
pub enum PathPattern {
    /// Every path.
    Any,
    /// One path.
    Exact(String),
    /// A path (without its last slash) and all below.
    Prefix(String),
    /// Segments, some of them parameters.
    Template(Vec<Segment>),
    /// A regular expression for the whole path.
    Regex(Box<Pattern>),
}

/// Bytes of a path in the configuration: no request's is longer where `bounds.uri_bytes` is as it comes.
const TEXT_MAX: usize = 8 << 10;

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// One whole segment, not empty.
    Parameter(String),
    /// All that follows, perhaps nothing.
    Rest(String),
}

impl PathPattern {
    /// A pattern as configured.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: Option<&PathMatch>) -> Result<Self, String> {
        match path {
            None => Ok(Self::Any),
            Some(PathMatch::Exact(text)) => Ok(Self::Exact(plain(text)?.to_owned())),
            Some(PathMatch::Prefix(text)) => Ok(Self::Prefix(plain(text)?.trim_end_matches('/').to_owned())),
            Some(PathMatch::Template(text)) => template(plain(text)?),
            Some(PathMatch::Regex(text)) => Ok(Self::Regex(Box::new(Pattern::parse(text)?))),
        }
    }

    /// Compares; the parameters of a template come back in order.
    #[must_use]
    pub fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        match self {
            Self::Any => Some(Vec::new()),
            Self::Exact(text) => (text == path).then(Vec::new),
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then(Vec::new)
            }
            Self::Template(segments) => match_template(segments, path),
            Self::Regex(pattern) => pattern.parameters(path),
        }
    }

    /// How much a match says: the greater wins. Exact before template before regex before prefix, then the longer; of two
    /// regular expressions neither says more.
    #[must_use]
    pub fn weight(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Prefix(text) => (1, text.len()),
            Self::Template(segments) => {
                let rest = segments.iter().any(|segment| matches!(segment, Segment::Rest(_)));
                let literal = segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count();
                (if rest { 1 } else { 3 }, literal * 256 + segments.len())
            }
            Self::Regex(_) => (2, 0),
            Self::Exact(text) => (4, text.len()),
        }
    }
}

/// A path without query and fragment.
fn plain(text: &str) -> Result<&str, String> {
    if !text.starts_with('/') {
        return Err(format!("path {text:?} must start with a slash"));
    }
    if text.contains(['?', '#']) {
        return Err(format!("path {text:?} must be a path without query and fragment"));
    }
    if text.len() > TEXT_MAX {
        return Err(format!("a path may have {TEXT_MAX} bytes; this has {}", text.len()));
    }
    Ok(text)
}

fn template(text: &str) -> Result<PathPattern, String> {
    let mut segments = Vec::new();
    for part in text.strip_prefix('/').unwrap_or(text).split('/') {
        if matches!(segments.last(), Some(Segment::Rest(_))) {
            return Err(format!("path {text:?} has something after {{*rest}}"));
        }
        let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        segments.push(match inner {
            Some(name) => match name.strip_prefix('*') {
                Some(name) => Segment::Rest(parameter(text, name)?),
                None => Segment::Parameter(parameter(text, name)?),
            },
            None if part.contains(['{', '}']) => {
                return Err(format!("path {text:?}: a parameter is one whole segment"));
            }
            None => Segment::Literal(part.to_owned()),
        });
    }
    let mut names: Vec<&String> = segments
        .iter()
        .filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Rest(name) => Some(name),
        })
        .collect();
    names.sort();
    if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(format!("path {text:?} has a parameter twice"));
    }
    Ok(PathPattern::Template(segments))
}

fn parameter(text: &str, name: &str) -> Result<String, String> {
    let fits =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if fits { Ok(name.to_owned()) } else { Err(format!("path {text:?}: {name:?} is no parameter name")) }
}

fn match_template(segments: &[Segment], path: &str) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let mut rest = path;
    for segment in segments {
        let Some(after) = rest.strip_prefix('/') else {
            // `{*rest}` also stands for nothing at all.
            return match segment {
                Segment::Rest(name) if rest.is_empty() => {
                    parameters.push((name.clone(), String::new()));
                    Some(parameters)
                }
                Segment::Literal(_) | Segment::Parameter(_) | Segment::Rest(_) => None,
            };
        };
        let end = after.find('/').unwrap_or(after.len());
        let (part, remainder) = after.split_at_checked(end)?;
        match segment {
            Segment::Literal(text) if text == part => {}
            Segment::Literal(_) => return None,
            Segment::Parameter(_) if part.is_empty() => return None,
            Segment::Parameter(name) => parameters.push((name.clone(), part.to_owned())),
            Segment::Rest(name) => {
                parameters.push((name.clone(), after.to_owned()));
                return Some(parameters);
            }
        }
        rest = remainder;
    }
    rest.is_empty().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::PathPattern;
    use crate::config::PathMatch;

    #[track_caller]
    fn check(pattern: &PathMatch, path: &str, expected: Option<&[(&str, &str)]>) {
        let pattern = PathPattern::parse(Some(pattern)).unwrap();
        let found = pattern.matches(path);
        let expected =
            expected.map(|pairs| pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>());
        assert_eq!(found, expected, "{pattern:?} {path}");
    }

    #[test]
    fn patterns_match_whole_segments() {
        let prefix = |text: &str| PathMatch::Prefix(text.to_owned());
        let template = |text: &str| PathMatch::Template(text.to_owned());
        check(&PathMatch::Exact("/a".to_owned()), "/a", Some(&[]));
        check(&PathMatch::Exact("/a".to_owned()), "/a/", None);
        check(&prefix("/v1/"), "/v1/chat", Some(&[]));
        check(&prefix("/v1/"), "/v1", Some(&[]));
        check(&prefix("/v1"), "/v10", None);
        check(&prefix("/"), "/anything", Some(&[]));
        check(&template("/u/{id}/x"), "/u/7/x", Some(&[("id", "7")]));
        check(&template("/u/{id}/x"), "/u//x", None);
        check(&template("/u/{id}"), "/u/7/8", None);
        check(&template("/f/{*rest}"), "/f/a/b", Some(&[("rest", "a/b")]));
        check(&template("/f/{*rest}"), "/f", Some(&[("rest", "")]));
        check(&template("/f/{*rest}"), "/g", None);
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for text in ["a", "/a?b", "/{}", "/{a}/{a}", "/{*a}/b", "/x{a}"] {
            assert!(PathPattern::parse(Some(&PathMatch::Template(text.to_owned()))).is_err(), "{text}");
        }
    }
}
