//! Which route a request takes.

use harness::{Gateway, Wire};

use super::named_origin;

const ROUTES: &str = r#"
  - { name: host, match: { hosts: [a.test] }, upstream: host }
  - { name: below, match: { hosts: ["*.b.test"] }, upstream: below }
  - { name: exact, match: { path: { exact: /exact } }, upstream: exact }
  - { name: prefix, match: { path: { prefix: /v1 } }, upstream: prefix }
  - { name: longer, match: { path: { prefix: /v1/long/ } }, upstream: longer }
  - { name: template, match: { path: { template: "/users/{id}/posts" } }, upstream: template }
  - { name: rest, match: { path: { template: "/files/{*rest}" } }, upstream: rest }
  - { name: method, match: { path: { prefix: /method }, methods: [DELETE] }, upstream: method }
  - { name: header, match: { path: { prefix: /header }, headers: { x-kind: { exact: blue } } }, upstream: header }
  - { name: absent, match: { path: { prefix: /header }, headers: { x-kind: { present: false } } }, upstream: absent }
  - { name: query, match: { path: { prefix: /query }, query: { version: { exact: "a b" } } }, upstream: query }
  - { name: regex, match: { path: { regex: "/orders/(?<id>[0-9]{1,4})" }, headers: { x-kind: { regex: "b.*" } } }, upstream: regex }
"#;

/// Method, target, host, more fields, and the route: empty for none.
const CASES: [(&str, &str, &str, &str, &str); 38] = [
    ("GET", "/x", "a.test", "", "host"),
    ("GET", "/x", "A.Test:8080", "", "host"),
    ("GET", "/x", "b.test", "", ""),
    ("GET", "/x", "x.b.test", "", "below"),
    ("GET", "/x", "y.x.b.test", "", "below"),
    ("GET", "/x", "xb.test", "", ""),
    ("GET", "/exact", "c.test", "", "exact"),
    ("GET", "/exact?q=1", "c.test", "", "exact"),
    ("GET", "/exact/", "c.test", "", ""),
    ("GET", "/exac%74", "c.test", "", "exact"),
    ("GET", "/v1", "c.test", "", "prefix"),
    ("GET", "/v1/", "c.test", "", "prefix"),
    ("GET", "/v1/chat", "c.test", "", "prefix"),
    ("GET", "/v10", "c.test", "", ""),
    ("GET", "/v1/long/x", "c.test", "", "longer"),
    ("GET", "/v1/longer", "c.test", "", "prefix"),
    ("GET", "/users/7/posts", "c.test", "", "template"),
    ("GET", "/users/7/8/posts", "c.test", "", ""),
    ("GET", "/users//posts", "c.test", "", ""),
    ("GET", "/files/a/b/c", "c.test", "", "rest"),
    ("DELETE", "/method", "c.test", "", "method"),
    ("GET", "/method", "c.test", "", ""),
    ("delete", "/method", "c.test", "", ""),
    ("GET", "/header", "c.test", "X-Kind: blue\r\n", "header"),
    ("GET", "/header", "c.test", "X-Kind: blue\r\nX-Kind: blue\r\n", ""),
    ("GET", "/header", "c.test", "X-Kind: red\r\n", ""),
    ("GET", "/header", "c.test", "", "absent"),
    ("GET", "/query?version=a%20b", "c.test", "", "query"),
    ("GET", "/query?version=a+b&x", "c.test", "", "query"),
    ("GET", "/query?version=a", "c.test", "", ""),
    ("GET", "/query", "c.test", "", ""),
    ("GET", "/orders/12", "c.test", "X-Kind: blue\r\n", "regex"),
    ("GET", "/orders/12", "c.test", "X-Kind: red\r\n", ""),
    ("GET", "/orders/12", "c.test", "X-Kind: b\u{e9}\r\n", "regex"),
    ("GET", "/orders/12345", "c.test", "X-Kind: blue\r\n", ""),
    ("GET", "/orders/12/", "c.test", "X-Kind: blue\r\n", ""),
    ("GET", "http://a.test/v1", "a.test", "", "host"),
    ("POST", "/none", "c.test", "Content-Length: 0\r\n", ""),
];

#[test]
fn a_request_takes_the_most_specific_route_that_fits() {
    let names = [
        "host", "below", "exact", "prefix", "longer", "template", "rest", "method", "header", "absent", "query",
        "regex",
    ];
    let origins = names.map(|name| (name, named_origin(name)));
    let endpoint = |(name, origin): &(&str, harness::Origin)| {
        format!("  {name}: {{ endpoints: [{{ url: {:?} }}] }}\n", origin.url())
    };
    let upstreams: String = origins.iter().map(endpoint).collect();
    let gateway = Gateway::start(&format!("upstreams:\n{upstreams}routes:{ROUTES}"));
    let mut faults = Vec::new();
    for (method, target, host, fields, route) in CASES {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n"));
        let reply = wire.reply();
        let taken = match (reply.status, reply.reason()) {
            (200, None) => reply.text(),
            (404, Some("no-route")) => String::new(),
            (status, _) => status.to_string(),
        };
        if taken != route {
            faults.push(format!("{method} {target} at {host} with {fields:?}: {taken:?} instead of {route:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_log_names_the_route_and_no_secret() {
    let origin = named_origin("x");
    let gateway = super::gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x?key=hunter2 HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer hunter2\r\n\r\n");
    let id = wire.reply().header("x-request-id").unwrap().to_owned();
    let line = gateway.access_line("a line for the request", |line| line.to_string().contains(&id));
    assert!(line.to_string().contains("\"all\""), "{line}");
    assert!(!line.to_string().contains("hunter2"), "{line}");
}
