//! Path patterns: exact, prefix, template.

use crate::config::PathMatch;

/// A pattern that paths are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// Every path.
    Any,
    /// One path.
    Exact(String),
    /// A path (without its last slash) and all below.
    Prefix(String),
    /// Segments, some of them parameters.
    Template(Vec<Segment>),
}

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
        let Some(path) = path else { return Ok(Self::Any) };
        let (PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::Template(text)) = path;
        if !text.starts_with('/') {
            return Err(format!("path {text:?} must start with a slash"));
        }
        if text.contains(['?', '#']) {
            return Err(format!("path {text:?} must be a path without query and fragment"));
        }
        match path {
            PathMatch::Exact(text) => Ok(Self::Exact(text.clone())),
            PathMatch::Prefix(text) => Ok(Self::Prefix(text.trim_end_matches('/').to_owned())),
            PathMatch::Template(text) => template(text),
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
        }
    }

    /// How much a match says: the greater wins. Exact before template before prefix, then the longer.
    #[must_use]
    pub fn weight(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Prefix(text) => (1, text.len()),
            Self::Template(segments) => {
                let rest = segments.iter().any(|segment| matches!(segment, Segment::Rest(_)));
                let literal = segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count();
                (if rest { 1 } else { 2 }, literal * 256 + segments.len())
            }
            Self::Exact(text) => (3, text.len()),
        }
    }
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
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain { Ok(name.to_owned()) } else { Err(format!("path {text:?}: {name:?} is no parameter name")) }
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
