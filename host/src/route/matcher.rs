//! What a request must have, and the table that finds its route.

use http::{HeaderMap, HeaderName, Method};

use super::PathPattern;
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
    headers: Vec<(HeaderName, HeaderMatch)>,
    query: Vec<(String, QueryMatch)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Exact(String),
    /// With the leading dot.
    Below(String),
}

/// Routes in the order in which they are tried.
#[derive(Debug)]
pub struct Table<R>(Vec<(Matcher, R)>);

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
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => matcher.headers.push((name, header.clone())),
                Err(_) => keep("/headers".to_owned(), format!("{name:?} is no header name")),
            }
        }
        matcher.query = config.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if faults.is_empty() { Ok(matcher) } else { Err(faults) }
    }

    /// The parameters of the path, if everything fits.
    #[must_use]
    pub fn matches(&self, candidate: Candidate<'_>) -> Option<Vec<(String, String)>> {
        let host = self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(candidate.host));
        let method = self.methods.is_empty() || self.methods.contains(candidate.method);
        if !host || !method {
            return None;
        }
        let parameters = self.path.matches(candidate.path)?;
        let headers = self.headers.iter().all(|(name, wanted)| header_matches(candidate.headers, name, wanted));
        let query = self.query.iter().all(|(name, wanted)| query_matches(candidate.query, name, wanted));
        (headers && query).then_some(parameters)
    }

    /// How much a match says: the greater is tried first.
    fn weight(&self) -> ((u8, usize), (u8, usize), usize) {
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

    fn matches(&self, host: &str) -> bool {
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

fn header_matches(headers: &HeaderMap, name: &HeaderName, wanted: &HeaderMatch) -> bool {
    match wanted {
        HeaderMatch::Present(present) => headers.contains_key(name) == *present,
        HeaderMatch::Exact(value) => {
            let mut values = headers.get_all(name).iter();
            values.next().is_some_and(|found| found.as_bytes() == value.as_bytes()) && values.next().is_none()
        }
    }
}

fn query_matches(query: Option<&str>, name: &str, wanted: &QueryMatch) -> bool {
    let mut values = form_urlencoded::parse(query.unwrap_or("").as_bytes()).filter(|(found, _)| found == name);
    match wanted {
        QueryMatch::Present(present) => values.next().is_some() == *present,
        QueryMatch::Exact(value) => values.next().is_some_and(|(_, found)| found == *value) && values.next().is_none(),
    }
}

impl<R> Table<R> {
    /// A table that tries the most specific route first, and equals in their order.
    #[must_use]
    pub fn new(mut routes: Vec<(Matcher, R)>) -> Self {
        routes.sort_by_key(|(matcher, _)| std::cmp::Reverse(matcher.weight()));
        Self(routes)
    }

    /// The route of a request, and the parameters of its path.
    #[must_use]
    pub fn find(&self, candidate: Candidate<'_>) -> Option<(&R, Vec<(String, String)>)> {
        self.0.iter().find_map(|(matcher, route)| Some((route, matcher.matches(candidate)?)))
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.0.iter().map(|(_, route)| route)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::{Candidate, Matcher, Table};

    fn table(routes: &[(&str, &str)]) -> Table<String> {
        let parse = |(name, config): &(&str, &str)| {
            let config = serde_json::from_str(config).unwrap();
            (Matcher::parse(&config).unwrap(), (*name).to_owned())
        };
        Table::new(routes.iter().map(parse).collect())
    }

    #[track_caller]
    fn check(table: &Table<String>, request: (&str, &str, &str), expected: Option<&str>) {
        let (method, host, target) = request;
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut headers = HeaderMap::new();
        headers.insert("x-beta", HeaderValue::from_static("1"));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let candidate = Candidate { host, path, method: &method, headers: &headers, query };
        assert_eq!(table.find(candidate).map(|(route, _)| route.as_str()), expected, "{request:?}");
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let table = table(&[
            ("any", "{}"),
            ("below", r#"{"hosts":["*.example.com"]}"#),
            ("exact-host", r#"{"hosts":["api.example.com"]}"#),
            ("prefix", r#"{"hosts":["api.example.com"],"path":{"prefix":"/v1"}}"#),
            ("post", r#"{"hosts":["api.example.com"],"path":{"prefix":"/v1"},"methods":["POST"]}"#),
            ("exact", r#"{"hosts":["api.example.com"],"path":{"exact":"/v1/models"}}"#),
            ("template", r#"{"hosts":["api.example.com"],"path":{"template":"/v1/{kind}"}}"#),
            ("beta", r#"{"path":{"prefix":"/beta"},"headers":{"x-beta":{"exact":"1"}}}"#),
            ("alpha", r#"{"path":{"prefix":"/beta"},"headers":{"x-beta":{"exact":"2"}}}"#),
            ("query", r#"{"path":{"prefix":"/q"},"query":{"a":{"exact":"b c"}}}"#),
        ]);
        check(&table, ("GET", "other.test", "/"), Some("any"));
        check(&table, ("GET", "www.example.com", "/v1"), Some("below"));
        check(&table, ("GET", "example.com", "/v1"), Some("any"));
        check(&table, ("GET", "api.example.com", "/"), Some("exact-host"));
        check(&table, ("GET", "api.example.com", "/v1/a/b"), Some("prefix"));
        check(&table, ("POST", "api.example.com", "/v1/a/b"), Some("post"));
        check(&table, ("GET", "api.example.com", "/v1/models"), Some("exact"));
        check(&table, ("GET", "api.example.com", "/v1/x"), Some("template"));
        check(&table, ("GET", "other.test", "/beta/x"), Some("beta"));
        check(&table, ("GET", "other.test", "/q?a=b+c"), Some("query"));
        check(&table, ("GET", "other.test", "/q?a=b+c&a=d"), Some("any"));
    }
}
