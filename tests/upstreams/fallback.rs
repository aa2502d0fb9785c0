//! Requests that go on to another upstream.

use harness::{Gateway, Origin, Reply, Wire, http_get};

use super::{answer, named, nobody};

/// A gateway with these upstreams, whose one route has a fallback.
fn gateway(upstreams: &[(&str, String)], route: &str) -> Gateway {
    let upstreams: Vec<String> = upstreams
        .iter()
        .map(|(name, url)| format!("  {name}: {{ endpoints: [{{ url: {url:?} }}], retries: {{ count: 0 }} }}\n"))
        .collect();
    Gateway::start(&format!("upstreams:\n{}routes: [{{ name: all, {route} }}]\n", upstreams.concat()))
}

fn post(gateway: &Gateway, body: &str) -> Reply {
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    wire.reply()
}

/// Answers every request with 503 and asks for patience.
fn busy() -> Origin {
    Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send("HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\ncontent-length: 4\r\n\r\nbusy");
        }
    })
}

fn gone() -> String {
    format!("http://{}", nobody())
}

#[test]
fn what_an_upstream_cannot_take_goes_to_the_next() {
    let last = named("last");
    let upstreams = [("a", gone()), ("b", gone()), ("c", last.url())];
    let gateway = gateway(&upstreams, "upstream: a, fallback: { to: [a, b, c] }");
    for _ in 0..20 {
        assert_eq!(http_get(gateway.address(), "/x").text(), "last");
        // Nothing of it went out, so that any method may go on.
        assert_eq!(post(&gateway, "hello").text(), "last");
    }
    assert!(
        last.take()
            .requests
            .iter()
            .filter(|request| request.line.starts_with("POST "))
            .all(|post| post.body == b"hello")
    );
    let line = gateway.access_line("the upstream that served", |line| line["status"] == 200);
    assert_eq!((&line["upstream"], &line["attempts"]), (&"c".into(), &3.into()), "the first is not tried twice");
    let metrics = gateway.admin_get("/metrics").text();
    assert!(
        metrics.contains("gatewright_upstream_fallbacks_total{upstream=\"c\",after=\"upstream-unreachable\"} 40"),
        "{metrics}"
    );
}

#[test]
fn what_may_have_arrived_goes_on_only_if_the_operator_says_so() {
    for (fallback, get, sent) in [
        ("to: [b]", 503, 503),
        ("to: [b], statuses: [503]", 200, 503),
        ("to: [b], statuses: [503], methods: [POST]", 503, 200),
        ("to: [b], statuses: [503], methods: [POST], body: 4B", 503, 503),
    ] {
        let (first, second) = (busy(), named("second"));
        let upstreams = [("a", first.url()), ("b", second.url())];
        let gateway = gateway(&upstreams, &format!("upstream: a, fallback: {{ {fallback} }}"));
        assert_eq!(http_get(gateway.address(), "/x").status, get, "{fallback}");
        let reply = post(&gateway, "hello");
        assert_eq!(reply.status, sent, "{fallback}");
        // What the last one says is what the client hears.
        assert_eq!(reply.header("retry-after"), (sent == 503).then_some("60"), "{fallback}");
    }
}

#[test]
fn the_last_failure_is_the_answer() {
    let gateway = gateway(&[("a", busy().url()), ("b", gone())], "upstream: a, fallback: { to: [b], statuses: [503] }");
    let reply = http_get(gateway.address(), "/x");
    assert_eq!((reply.status, reply.reason()), (502, Some("upstream-unreachable")));
}

#[test]
fn each_upstream_sees_the_request_as_the_route_left_it() {
    let first = Origin::talking(|conversation| drop(conversation.request()));
    let second = Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            answer(conversation, if request.values("x-tag").is_empty() { "clean" } else { "tagged" });
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams:\n  a: {{ endpoints: [{{ url: {:?} }}], headers: {{ x-tag: a }} }}\n  \
         b: {{ endpoints: [{{ url: {:?} }}] }}\n\
         routes: [{{ name: all, upstream: a, fallback: {{ to: [b] }} }}]\n",
        first.url(),
        second.url()
    ));
    assert_eq!(http_get(gateway.address(), "/x").text(), "clean");
    assert!(first.take().requests.iter().all(|request| request.values("x-tag") == ["a"]));
}

#[test]
fn a_fallback_that_could_do_nothing_is_a_fault() {
    for (route, fault) in [
        ("upstream: a, fallback: { to: [nobody] }", "unknown upstream \"nobody\""),
        ("upstream: a, fallback: { to: [] }", "\"to\""),
        ("upstream: a, fallback: { to: [b], methods: [\"B AD\"] }", "methods must be methods"),
        ("upstream: a, fallback: { to: [b], body: 1GiB }", "it may be at most `bounds.buffered_body`"),
        ("respond: { status: 204 }, fallback: { to: [b] }", "only requests for an upstream have a fallback"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        let config = format!(
            "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams:\n  a: {{ endpoints: [{{ url: \"http://127.0.0.1:1\" }}] }}\n  \
             b: {{ endpoints: [{{ url: \"http://127.0.0.1:1\" }}] }}\nroutes: [{{ name: all, {route} }}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let output = harness::gatewright().args(["check", "--config"]).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && told.contains(fault) && told.contains("gateway.yaml:5"), "{route}: {told}");
    }
}
