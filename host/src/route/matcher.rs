//! What a request must have.

use http::{HeaderMap, HeaderName, Method};

use super::{PathPattern, Pattern};
use crate::config::{HeaderMatch, MatchConfig, QueryMatch};

/// What routing looks at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The host in lower case, without a port.
    pub host: &'a str,
    /// The normalised path.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The query without "?".
    pub query: Option<&'a str>,
}

/// What a request must have, all of it.
#[derive(Debug, Clone)]
pub struct Matcher {
    hosts: Vec<HostPattern>,
    path: PathPattern,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, ValuePattern)>,
    query: Vec<(String, ValuePattern)>,
}

/// A pattern that hosts are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// This host.
    Exact(String),
    /// Hosts that end so, with the leading dot.
    Below(String),
}

/// What the one value of a header or of a query parameter must be, or whether there may be any.
#[derive(Debug, Clone)]
enum ValuePattern {
    Present(bool),
    Exact(String),
    Prefix(String),
    Regex(Box<Pattern>),
}

impl Matcher {
    /// A matcher as configured.
    ///
    /// # Errors
    /// Every fault, with a pointer into the match.
    pub fn parse(config: &MatchConfig) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut keep = |at: String, message: String| faults.push((at, message));
        let mut matcher = Self {
            hosts: Vec::new(),
            path: PathPattern::Any,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        };
        for (index, host) in config.hosts.iter().enumerate() {
            match HostPattern::parse(host) {
                Some(host) => matcher.hosts.push(host),
                None => keep(
                    format!("/hosts/{index}"),
                    format!("{host:?} is no host: write a name without a port, or *.name"),
                ),
            }
        }
        match PathPattern::parse(config.path.as_ref()) {
            Ok(path) => matcher.path = path,
            Err(message) => keep("/path".to_owned(), message),
        }
        for (index, method) in config.methods.iter().enumerate() {
            match Method::from_bytes(method.as_bytes()) {
                Ok(method) => matcher.methods.push(method),
                Err(_) => keep(format!("/methods/{index}"), format!("{method:?} is no method")),
            }
        }
        for (name, header) in &config.headers {
            match (HeaderName::from_bytes(name.as_bytes()), ValuePattern::of_header(header)) {
                (Ok(name), Ok(header)) => matcher.headers.push((name, header)),
                (Err(_), _) => keep("/headers".to_owned(), format!("{name:?} is no header name")),
                (_, Err(message)) => keep(format!("/headers/{name}"), message),
            }
        }
        for (name, value) in &config.query {
            match ValuePattern::of_query(value) {
                Ok(value) => matcher.query.push((name.clone(), value)),
                Err(message) => keep(format!("/query/{name}"), message),
            }
        }
        if faults.is_empty() { Ok(matcher) } else { Err(faults) }
    }

    /// The hosts; any if there are none.
    pub(super) fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    /// The path.
    pub(super) const fn path(&self) -> &PathPattern {
        &self.path
    }

    /// The parameters of the path, if everything but the host fits.
    #[must_use]
    pub(super) fn matches(&self, candidate: Candidate<'_>) -> Option<Vec<(String, String)>> {
        if !self.methods.is_empty() && !self.methods.contains(candidate.method) {
            return None;
        }
        let parameters = self.path.matches(candidate.path)?;
        let headers = self.headers.iter().all(|(name, wanted)| header_fits(candidate.headers, name, wanted));
        let query = self.query.iter().all(|(name, wanted)| query_fits(candidate.query, name, wanted));
        (headers && query).then_some(parameters)
    }

    /// How much a match says: the greater is tried first.
    pub(super) fn weight(&self) -> ((u8, usize), (u8, usize), usize) {
        let host = self.hosts.iter().map(HostPattern::weight).max().unwrap_or((0, 0));
        let conditions = usize::from(!self.methods.is_empty()) + self.headers.len() + self.query.len();
        (host, self.path.weight(), conditions)
    }
}

impl HostPattern {
    fn parse(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let bracketed = name.starts_with('[') && name.ends_with(']');
        if name.is_empty() || name.starts_with('.') || (!bracketed && !name.bytes().all(plain)) {
            return None;
        }
        Some(match host.strip_prefix('*') {
            Some(below) => Self::Below(below.to_owned()),
            None => Self::Exact(host),
        })
    }

    /// Whether a host fits.
    #[cfg(test)]
    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }

    fn weight(&self) -> (u8, usize) {
        match self {
            Self::Exact(name) => (2, name.len()),
            Self::Below(suffix) => (1, suffix.len()),
        }
    }
}

impl ValuePattern {
    fn of_header(wanted: &HeaderMatch) -> Result<Self, String> {
        Ok(match wanted {
            HeaderMatch::Present(present) => Self::Present(*present),
            HeaderMatch::Exact(text) => Self::Exact(text.clone()),
            HeaderMatch::Prefix(text) => Self::Prefix(text.clone()),
            HeaderMatch::Regex(text) => Self::Regex(Box::new(Pattern::parse(text)?)),
        })
    }

    fn of_query(wanted: &QueryMatch) -> Result<Self, String> {
        Ok(match wanted {
            QueryMatch::Present(present) => Self::Present(*present),
            QueryMatch::Exact(text) => Self::Exact(text.clone()),
            QueryMatch::Prefix(text) => Self::Prefix(text.clone()),
            QueryMatch::Regex(text) => Self::Regex(Box::new(Pattern::parse(text)?)),
        })
    }

    /// Whether the values fit: a second one never does, since nobody knows which of them the upstream reads.
    fn fits<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        let first = values.next();
        if let Self::Present(present) = self {
            return first.is_some() == *present;
        }
        let Some(first) = first.filter(|_| values.next().is_none()) else { return false };
        let value = first.as_ref();
        match self {
            Self::Present(_) => true,
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(pattern) => std::str::from_utf8(value).is_ok_and(|value| pattern.fits(value)),
        }
    }
}

fn header_fits(headers: &HeaderMap, name: &HeaderName, wanted: &ValuePattern) -> bool {
    wanted.fits(headers.get_all(name).iter())
}

fn query_fits(query: Option<&str>, name: &str, wanted: &ValuePattern) -> bool {
    let values = form_urlencoded::parse(query.unwrap_or("").as_bytes()).filter(|(found, _)| found == name);
    wanted.fits(values.map(|(_, value)| value.into_owned()))
}
