//! Requests, and what becomes of them.

use harness::{Client, Origin};

type Headers = &'static [(&'static str, &'static str)];

/// A request and all that can be seen of it.
struct Case {
    /// What the policy is told, and what is sent besides.
    send: Headers,
    body: &'static str,
    /// Whose buckets are drawn on.
    key: &'static str,
    status: u16,
    /// Headers of the response.
    headers: Headers,
    /// Its body; empty where the gateway words it.
    answer: &'static str,
    /// What the upstream got; `None` if it got nothing.
    upstream: Option<Upstream>,
}

/// What the upstream got.
struct Upstream {
    line: &'static str,
    /// All values of each, joined by `+`; empty if there is none.
    headers: Headers,
    body: &'static str,
}

const PASSED: Upstream = Upstream { line: "POST /path?a=b HTTP/1.1", headers: &[], body: "{}" };
const PLAIN: Case = Case {
    send: &[],
    body: "{}",
    key: "a",
    status: 200,
    headers: &[("x-conformance", "hello")],
    answer: "upstream",
    upstream: Some(PASSED),
};

/// As `PLAIN`, with what the upstream got besides.
const fn upstream(send: Headers, headers: Headers) -> Case {
    Case { send, upstream: Some(Upstream { headers, ..PASSED }), ..PLAIN }
}

/// As `PLAIN`, with an answer that never went to the upstream.
const fn answered(send: Headers, status: u16, answer: &'static str) -> Case {
    Case { send, status, answer, upstream: None, headers: &[], ..PLAIN }
}

/// As `PLAIN`, with a body that the upstream got otherwise.
const fn rewritten(send: Headers, body: &'static str, headers: Headers, got: &'static str) -> Case {
    Case { send, body, upstream: Some(Upstream { headers, body: got, ..PASSED }), ..PLAIN }
}

const JSON: &str = "{ \"z\": 1.50,\n \"a\": {\"b\": 2e0, \"c\":\"\\u00e9\"} }";
const PATCHED: &str = "{ \"z\": 1.50,\n \"a\": {\"b\": \"patched\", \"c\":\"\\u00e9\"} }";

const SEEN: &str = "one none repeated 1+2 one+none+none 2 refused";

fn cases() -> Vec<(&'static str, Case)> {
    let denied = "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"refused as told\",\
                  \"code\":\"told-to-refuse\",\"request_id\":\"ID\"}";
    vec![
        ("nothing", PLAIN),
        (
            "headers",
            upstream(
                &[("x-one", "one"), ("x-many", "1"), ("x-many", "2"), ("x-gone", "gone")],
                &[("x-seen", SEEN), ("x-set", "hello"), ("x-many", "1+2+added"), ("x-gone", ""), ("x-one", "one")],
            ),
        ),
        ("answer", Case { headers: &[("x-reason", "hello")], ..answered(&[], 403, denied) }),
        ("page", answered(&[], 200, "hello POST http /path a=b all true true")),
        ("failure", Case { headers: &[("x-gatewright-reason", "policy-failed")], ..answered(&[], 500, "") }),
        ("trap", Case { headers: &[("x-gatewright-reason", "policy-trapped")], ..answered(&[], 500, "") }),
        ("rewrite", {
            let headers: Headers = &[("host", "rewritten.test"), ("x-other", "yes"), ("x-unknown", "not-found")];
            Case { upstream: Some(Upstream { line: "PUT /rewritten?a=1 HTTP/1.1", headers, body: "{}" }), ..PLAIN }
        }),
        ("detach", Case { headers: &[("x-conformance", "")], ..PLAIN }),
        ("metadata", upstream(&[], &[("x-metadata", "true not-granted")])),
        ("state", Case { headers: &[("x-state", "0,1,254,255")], ..PLAIN }),
        ("clock", upstream(&[], &[("x-clock", "true true")])),
        ("take", upstream(&[], &[("x-limit", "true 2 1")])),
        ("take", upstream(&[], &[("x-limit", "true 2 0")])),
        ("take", answered(&[], 429, "false 2 0 true")),
        ("take", Case { key: "b", ..upstream(&[], &[("x-limit", "true 2 1")]) }),
        ("reserve", {
            let headers: Headers = &[("x-settled", "true true"), ("x-conformance", "hello")];
            Case { headers, ..upstream(&[], &[("x-limit", "true 100 60")]) }
        }),
        ("peek", upstream(&[], &[("x-limit", "true 100 97")])),
        ("shared", upstream(&[], &[("x-limit", "4 true")])),
        ("json", rewritten(&[], JSON, &[("x-json", "2e0 none")], PATCHED)),
        ("bad-json", rewritten(&[], "{,}", &[("x-error", "not-json")], "{,}")),
        ("bad-patch", rewritten(&[], JSON, &[("x-error", "bad-patch")], JSON)),
        ("replace", rewritten(&[], "caf\u{e9}s", &[("content-length", "15")], "hello of 6: af\u{c3}")),
        ("status", Case { status: 203, headers: &[("x-was", "200"), ("x-conformance", "hello")], ..PLAIN }),
        ("late", Case { headers: &[("x-late", "too-late")], ..PLAIN }),
        ("answer-response", Case { status: 418, answer: "a teapot", headers: &[], ..PLAIN }),
        ("response-body", Case { answer: "hello: upstream", headers: &[("content-length", "15")], ..PLAIN }),
    ]
}

/// Sends each request, and compares all that can be seen of it.
pub(super) fn check_all(client: &mut Client, origin: &Origin, context: &str) {
    for (number, (name, case)) in cases().iter().enumerate() {
        check(client, origin, (name, case), &format!("{context}, case {number} {name:?}"));
    }
}

fn check(client: &mut Client, origin: &Origin, (name, case): (&str, &Case), context: &str) {
    drop(origin.take());
    // Each language and protocol has buckets of its own.
    let key = format!("{} {}", context.split(',').next().unwrap_or_default(), case.key);
    let sent: Vec<_> = case.send.iter().copied().chain([("x-case", name), ("x-key", &key)]).collect();
    // Half a character, where a test wants one, is written as the character U+00C3.
    let bytes = |text: &str| match text.strip_suffix('\u{c3}') {
        Some(text) => [text.as_bytes(), &[0xc3]].concat(),
        None => text.as_bytes().to_vec(),
    };
    let reply = client.post("/path?a=b", &sent, case.body.as_bytes());
    let id = reply.header("x-request-id").unwrap_or_default();
    let answer = case.answer.replace("\"ID\"", &format!("{id:?}"));
    assert_eq!(reply.status, case.status, "{context}: {reply:?}");
    assert!(case.answer.is_empty() || reply.text() == answer, "{context}: {}", reply.text());
    for (header, value) in case.headers {
        assert_eq!(reply.header(header).unwrap_or_default(), *value, "{context}: {header}");
    }
    let recording = origin.take();
    let Some(upstream) = &case.upstream else {
        assert!(recording.bytes.is_empty(), "{context}: {recording:?}");
        return;
    };
    let [request] = recording.requests.as_slice() else { panic!("{context}: {recording:?}") };
    assert_eq!(request.line, upstream.line, "{context}");
    assert_eq!(request.body, bytes(upstream.body), "{context}: {}", String::from_utf8_lossy(&request.body));
    for (header, value) in upstream.headers {
        assert_eq!(request.values(header).join("+"), *value, "{context}: {header}");
    }
}
