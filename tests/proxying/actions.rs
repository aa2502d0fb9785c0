//! What becomes of a request besides its upstream: redirects, the gateway's own answers, rewrites.

use harness::{Client, Gateway, Origin, Protocol, Reply, Wire};

/// SHA-256 of `alice-key`.
const ALICE: &str = "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20";

const REDIRECTS: &str = r#"routes:
  - { name: same, match: { path: { prefix: /same } }, redirect: {} }
  - { name: prefix, match: { path: { prefix: /old } }, redirect: { status: 308, prefix: /new/ } }
  - { name: root, match: { path: { prefix: /strip } }, ambiguous_paths: true, redirect: { prefix: / } }
  - { name: path, match: { path: { prefix: /path } }, redirect: { path: /there, query: drop } }
  - { name: https, match: { path: { prefix: /secure } }, redirect: { status: 301, scheme: https } }
  - { name: host, match: { path: { prefix: /host } }, redirect: { status: 303, host: B.test } }
  - { name: port, match: { path: { prefix: /port } }, redirect: { status: 307, scheme: https, host: b.test, port: 8443 } }
"#;

fn ask(gateway: &Gateway, method: &str, target: &str, host: &str) -> Reply {
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    if method == "HEAD" { wire.reply_to_head() } else { wire.reply() }
}

#[test]
fn a_redirect_leads_where_it_is_meant_to() {
    let gateway = Gateway::start(REDIRECTS);
    let cases = [
        ("/same/x?a=1&b=%20", 302, "/same/x?a=1&b=%20"),
        ("/old", 308, "/new"),
        ("/old/x/y?q", 308, "/new/x/y?q"),
        ("/strip", 302, "/"),
        ("/strip/x", 302, "/x"),
        ("/path/x?q=1", 302, "/there"),
        ("/secure/x?q=1", 301, "https://a.test/secure/x?q=1"),
        ("/host/x", 303, "http://b.test/host/x"),
        ("/port/x", 307, "https://b.test:8443/port/x"),
    ];
    for (target, status, location) in cases {
        for method in ["GET", "POST", "HEAD"] {
            let reply = ask(&gateway, method, target, "a.test:8080");
            assert_eq!((reply.status, reply.header("location")), (status, Some(location)), "{method} {target}");
            assert_eq!(reply.header("content-length"), Some("0"), "{method} {target}");
        }
    }
}

#[test]
fn nothing_in_a_request_leads_a_redirect_to_another_host() {
    let gateway = Gateway::start(REDIRECTS);
    // With the prefix taken away each of these would be a host (RFC 3986 §4.2).
    for target in ["/strip//evil.test/x", "/strip/\\evil.test", "/strip///evil.test"] {
        let reply = ask(&gateway, "GET", target, "a.test");
        assert_eq!((reply.status, reply.reason()), (500, Some("rewrite-failed")), "{target}");
        assert_eq!(reply.header("location"), None, "{target}");
    }
    for target in ["//evil.test/same", "/same//evil.test", "/same/%2e%2e//evil.test", "/old//evil.test", "/same/\\evil"]
    {
        let reply = ask(&gateway, "GET", target, "a.test");
        assert!(reply.header("location").is_none(), "{target}: {reply:?}");
    }
    for host in ["evil.test@a.test", "a.test/evil", "a.test\\evil"] {
        assert_eq!(ask(&gateway, "GET", "/secure/x", host).status, 400, "{host}");
    }
}

#[test]
fn an_answer_of_the_gateways_own_comes_behind_the_chain() {
    let gateway = Gateway::start(&format!(
        r#"policies:
  keys:
    plugin: key-auth
    limits: {{ deadline: 2s }}
    grants: {{ metadata: [auth] }}
    config: {{ from: [{{ header: x-api-key }}], keys: [{{ principal: alice, sha256: [{ALICE}] }}] }}
routes:
  - {{ name: own, match: {{ path: {{ exact: /own }} }}, respond: {{ status: 418, headers: {{ x-a: b }}, body: "short and stout" }} }}
  - {{ name: empty, match: {{ path: {{ exact: /empty }} }}, respond: {{ status: 204 }} }}
  - {{ name: json, match: {{ path: {{ exact: /json }} }}, respond: {{ status: 200, headers: {{ content-type: application/json }}, body: "{{}}" }} }}
  - {{ name: kept, match: {{ path: {{ prefix: /kept }} }}, policies: [keys], respond: {{ status: 200, body: secret }} }}
  - {{ name: moved, match: {{ path: {{ prefix: /moved }} }}, policies: [keys], redirect: {{ path: /secret }} }}
"#
    ));
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let reply = client.post("/own", &[], &vec![b'x'; 100_000]);
        assert_eq!((reply.status, reply.text().as_str()), (418, "short and stout"));
        assert_eq!((reply.header("x-a"), reply.header("content-type")), (Some("b"), Some("text/plain; charset=utf-8")));
        // A request with a body that nobody read may have cost the connection.
        let mut client = Client::connect(gateway.address(), protocol);
        assert_eq!(client.get("/empty", &[]).status, 204);
        assert_eq!(client.get("/json", &[]).header("content-type"), Some("application/json"));
        for path in ["/kept", "/moved"] {
            let refused = client.get(path, &[]);
            assert_eq!(refused.status, 401, "{path}");
            assert!(refused.header("location").is_none() && !refused.text().contains("secret"), "{refused:?}");
        }
        assert_eq!(client.get("/kept", &[("x-api-key", "alice-key")]).text(), "secret");
        assert_eq!(client.get("/moved", &[("x-api-key", "alice-key")]).header("location"), Some("/secret"));
    }
    let line = gateway.access_line("the answer", |line| line["route"] == "own");
    assert_eq!((&line["status"], &line["attempts"]), (&418.into(), &0.into()));
}

#[test]
fn the_upstream_sees_what_a_rewrite_makes_of_path_and_host() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&format!(
        r#"upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes:
  - {{ name: prefix, match: {{ path: {{ prefix: /v1 }} }}, upstream: origin, rewrite: {{ prefix: /internal/, host: "api.internal:81" }} }}
  - {{ name: strip, match: {{ path: {{ prefix: /strip }} }}, upstream: origin, rewrite: {{ prefix: / }} }}
  - {{ name: whole, match: {{ path: {{ prefix: /whole }} }}, upstream: origin, rewrite: {{ path: /one }} }}
  - name: regex
    match: {{ path: {{ prefix: /users }} }}
    upstream: origin
    rewrite: {{ regex: {{ pattern: "/users/(?<id>[^/]+)/(.*)", substitution: "/$2/of/$id" }} }}
"#,
        origin.url()
    ));
    let cases = [
        ("/v1/chat?a=%20", "/internal/chat?a=%20", Some("api.internal:81")),
        ("/v1", "/internal", Some("api.internal:81")),
        ("/strip", "/", None),
        ("/strip/x", "/x", None),
        ("/whole/x/y?q=1", "/one?q=1", None),
        ("/users/7/posts/new", "/posts/new/of/7", None),
        ("/users/7", "/users/7", None),
    ];
    for (target, sent, host) in cases {
        assert_eq!(ask(&gateway, "GET", target, "a.test").status, 200, "{target}");
        let recording = origin.take();
        let request = recording.requests.first().unwrap();
        assert_eq!(request.line, format!("GET {sent} HTTP/1.1"), "{target}");
        let own = origin.address.to_string();
        assert_eq!(request.values("host"), [host.unwrap_or(&own)], "{target}");
        assert_eq!(request.values("x-forwarded-host"), ["a.test"], "{target}");
    }
    // The result would be `//of/7`, which two parsers read in two ways.
    let reply = ask(&gateway, "GET", "/users/7/", "a.test");
    assert_eq!((reply.status, reply.reason()), (500, Some("rewrite-failed")));
    assert!(origin.take().bytes.is_empty());
    // The log names what the client asked for.
    gateway.access_line("the client's path", |line| line["path"] == "/v1/chat" && line["route"] == "prefix");
}
