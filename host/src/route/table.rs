//! The routes in their order, and the one that a request takes.

use super::index::Index;
use super::{Candidate, Matcher};

/// Routes in the order in which they are tried. What a look-up costs depends on how many fit the request's host and path,
/// not on how many there are.
#[derive(Debug)]
pub struct Table<R> {
    routes: Vec<(Matcher, R)>,
    index: Index,
}

/// The parameters of a path, by name.
type Parameters = Vec<(String, String)>;

impl<R> Table<R> {
    /// A table that tries the most specific route first, and equals in their order.
    #[must_use]
    pub fn new(mut routes: Vec<(Matcher, R)>) -> Self {
        routes.sort_by_key(|(matcher, _)| std::cmp::Reverse(matcher.weight()));
        let mut index = Index::default();
        for (place, (matcher, _)) in routes.iter().enumerate() {
            index.add(place, matcher);
        }
        Self { routes, index }
    }

    /// The route of a request, and the parameters of its path.
    #[must_use]
    pub fn find(&self, candidate: Candidate<'_>) -> Option<(&R, Vec<(String, String)>)> {
        let mut best: Option<(usize, &R, Parameters)> = None;
        let mut look = |places: &[usize]| {
            for &place in places {
                if best.as_ref().is_some_and(|(known, ..)| *known <= place) {
                    return;
                }
                let Some((matcher, route)) = self.routes.get(place) else { continue };
                if let Some(parameters) = matcher.matches(candidate) {
                    best = Some((place, route, parameters));
                    return;
                }
            }
        };
        self.index.look_up(candidate.host, candidate.path, &mut look);
        best.map(|(_, route, parameters)| (route, parameters))
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.routes.iter().map(|(_, route)| route)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
            ("regex", r#"{"hosts":["api.example.com"],"path":{"regex":"/v1/[a-z]/?"}}"#),
            ("starts", r#"{"path":{"prefix":"/h"},"headers":{"x-beta":{"prefix":"1"}}}"#),
            ("fits", r#"{"path":{"prefix":"/r"},"query":{"a":{"regex":"[0-9]+"}}}"#),
        ]);
        check(&table, ("GET", "other.test", "/"), Some("any"));
        check(&table, ("GET", "www.example.com", "/v1"), Some("below"));
        check(&table, ("GET", "example.com", "/v1"), Some("any"));
        check(&table, ("GET", "api.example.com", "/"), Some("exact-host"));
        check(&table, ("GET", "api.example.com", "/v1/a/b"), Some("prefix"));
        check(&table, ("POST", "api.example.com", "/v1/a/b"), Some("post"));
        check(&table, ("GET", "api.example.com", "/v1/models"), Some("exact"));
        check(&table, ("GET", "api.example.com", "/v1/x"), Some("template"));
        check(&table, ("GET", "api.example.com", "/v1/x/"), Some("regex"));
        check(&table, ("GET", "other.test", "/h"), Some("starts"));
        check(&table, ("GET", "other.test", "/r?a=12"), Some("fits"));
        check(&table, ("GET", "other.test", "/r?a=12x"), Some("any"));
        check(&table, ("GET", "other.test", "/beta/x"), Some("beta"));
        check(&table, ("GET", "other.test", "/q?a=b+c"), Some("query"));
        check(&table, ("GET", "other.test", "/q?a=b+c&a=d"), Some("any"));
    }

    /// What the index stands for: every route, one by one.
    fn walk<'a>(table: &'a Table<usize>, candidate: Candidate<'_>) -> Option<(&'a usize, Vec<(String, String)>)> {
        table.routes.iter().find_map(|(matcher, route)| {
            let host = matcher.hosts().is_empty() || matcher.hosts().iter().any(|host| host.matches(candidate.host));
            matcher.matches(candidate).filter(|_| host).map(|parameters| (route, parameters))
        })
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![Just("a.test"), Just("b.a.test"), Just("test"), Just("x.b.a.test")].prop_map(str::to_owned)
    }

    fn segments() -> impl Strategy<Value = String> {
        let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just(""), Just("7")];
        prop::collection::vec(segment, 1..4).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn path() -> impl Strategy<Value = Value> {
        let part = prop_oneof![Just("a"), Just("b"), Just("{p}"), Just("")];
        let template = (prop::collection::vec(part, 1..4), any::<bool>()).prop_map(|(parts, rest)| {
            let parts = parts.iter().enumerate().map(|(at, part)| part.replace("{p}", &format!("{{p{at}}}")));
            let path = parts.map(|part| format!("/{part}")).collect::<String>();
            json!({ "template": if rest { path + "/{*rest}" } else { path } })
        });
        let regex = prop_oneof![Just("/a/[ab]+"), Just("/a/?"), Just("/(?<x>a|b)/.*"), Just("/a/b|/b"), Just("^/ab.*")];
        prop_oneof![
            Just(Value::Null),
            segments().prop_map(|text| json!({ "exact": text })),
            segments().prop_map(|text| json!({ "prefix": text })),
            template,
            regex.prop_map(|text| json!({ "regex": text })),
        ]
    }

    fn matches() -> impl Strategy<Value = Value> {
        let hosts = prop::collection::vec((host(), any::<bool>()), 0..3).prop_map(|hosts| {
            hosts
                .iter()
                .map(|(host, below)| if *below { format!("*.{host}") } else { host.clone() })
                .collect::<Vec<_>>()
        });
        let methods = prop_oneof![Just(json!([])), Just(json!(["GET"])), Just(json!(["POST", "PUT"]))];
        (hosts, path(), methods)
            .prop_map(|(hosts, path, methods)| json!({ "hosts": hosts, "path": path, "methods": methods }))
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_walk_over_all_routes_finds(
            configs in prop::collection::vec(matches(), 1..30),
            requests in prop::collection::vec((host(), segments(), any::<bool>()), 1..30),
        ) {
            let parse = |config: &Value| Matcher::parse(&serde_json::from_value(config.clone()).unwrap()).unwrap();
            let routes = configs.iter().map(parse).enumerate().map(|(number, matcher)| (matcher, number));
            let table = Table::new(routes.collect());
            for (host, path, get) in &requests {
                let method = if *get { Method::GET } else { Method::POST };
                let headers = HeaderMap::new();
                let candidate = Candidate { host, path, method: &method, headers: &headers, query: None };
                prop_assert_eq!(table.find(candidate), walk(&table, candidate));
            }
        }
    }
}
