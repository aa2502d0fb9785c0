//! What the upstream sees in place of a request's path and host.

use crate::config::{MatchConfig, PathMatch, RewriteConfig};
use crate::error::{Error, Reason};
use crate::exchange::{is_authority, path_reading};
use crate::route::Pattern;

/// What the upstream sees in place of a request's path and host.
#[derive(Debug)]
pub struct Rewrite {
    path: Option<PathRewrite>,
    /// The authority that the upstream sees.
    pub host: Option<String>,
}

/// What stands in the place of a path.
#[derive(Debug)]
pub(super) enum PathRewrite {
    /// Always this.
    Whole(String),
    /// For the first, at the start of a path, the second; both without their last slash.
    Prefix(String, String),
    /// For a path that fits, the substitution.
    Regex(Pattern, String),
}

/// Faults with where they are, below what was parsed.
pub(super) type Faults = Vec<(String, String)>;

impl Rewrite {
    /// A rewrite as configured.
    ///
    /// # Errors
    /// Every fault, with a pointer into the rewrite.
    pub(super) fn parse(config: &RewriteConfig, matches: &MatchConfig) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut path = None;
        if [config.path.is_some(), config.prefix.is_some(), config.regex.is_some()].iter().filter(|is| **is).count() > 1
        {
            faults.push((String::new(), "it has more than one of `path`, `prefix` and `regex`".to_owned()));
        }
        match PathRewrite::parse(config.path.as_deref(), config.prefix.as_deref(), matches) {
            Ok(found) => path = found,
            Err(fault) => faults.push(fault),
        }
        if let Some(regex) = &config.regex {
            match Pattern::parse(&regex.pattern) {
                Ok(pattern) => match pattern.check_substitution(&regex.substitution) {
                    Ok(()) => path = Some(PathRewrite::Regex(pattern, regex.substitution.clone())),
                    Err(message) => faults.push(("/regex/substitution".to_owned(), message)),
                },
                Err(message) => faults.push(("/regex/pattern".to_owned(), message)),
            }
        }
        let host = config.host.as_ref().map(|host| host.to_ascii_lowercase());
        if let Some(host) = host.as_ref().filter(|host| !is_authority(host)) {
            faults.push((
                "/host".to_owned(),
                format!("{host:?} is no host: write a name or an address, and perhaps a port"),
            ));
        }
        if faults.is_empty() { Ok(Self { path, host }) } else { Err(faults) }
    }

    /// What stands in the place of a path; none where it stays.
    ///
    /// # Errors
    /// `RewriteFailed` for a path that two parsers could read in two ways, unless such paths are let in.
    pub fn path(&self, path: &str, ambiguous_paths: bool) -> Result<Option<String>, Error> {
        let Some(new) = self.path.as_ref().and_then(|rewrite| rewrite.apply(path)) else { return Ok(None) };
        if is_plain(&new, ambiguous_paths) {
            return Ok(Some(new));
        }
        Err(Error::new(Reason::RewriteFailed, format!("{new:?} can be read in two ways")))
    }
}

impl PathRewrite {
    /// A path or a prefix as configured.
    pub(super) fn parse(
        path: Option<&str>,
        prefix: Option<&str>,
        matches: &MatchConfig,
    ) -> Result<Option<Self>, (String, String)> {
        let check = |at: &str, text: &str| {
            let message = format!("{text:?} is no path in its one spelling: it starts with a slash, and has no query");
            if is_plain(text, false) { Ok(()) } else { Err((at.to_owned(), message)) }
        };
        if let Some(path) = path {
            check("/path", path)?;
            return Ok(Some(Self::Whole(path.to_owned())));
        }
        let Some(prefix) = prefix else { return Ok(None) };
        check("/prefix", prefix)?;
        let Some(PathMatch::Prefix(from)) = &matches.path else {
            return Err((
                "/prefix".to_owned(),
                "it stands for `match.path.prefix`, which this route has not".to_owned(),
            ));
        };
        let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
        Ok(Some(Self::Prefix(trimmed(from), trimmed(prefix))))
    }

    /// What stands in the place of a path; none where it stays.
    pub(super) fn apply(&self, path: &str) -> Option<String> {
        match self {
            Self::Whole(path) => Some(path.clone()),
            Self::Prefix(from, to) => {
                let rest = path.strip_prefix(from.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
                Some(if to.is_empty() && rest.is_empty() { "/".to_owned() } else { format!("{to}{rest}") })
            }
            Self::Regex(pattern, substitution) => pattern.substitute(path, substitution),
        }
    }
}

/// Whether a path is in its one spelling, and cannot be read in two ways.
fn is_plain(path: &str, ambiguous_paths: bool) -> bool {
    !path.contains('?') && path_reading(path).is_some_and(|ambiguous| ambiguous_paths || !ambiguous)
}
