//! What a component does wrong ends its own request, with a reason; the gateway and everything else go on.

use std::time::{Duration, Instant};

use harness::{Gateway, Reply, Wire, eventually, http_get};

use super::{config, folder, serving};

/// The second upstream is the same component with bounds of its own.
const OTHER: &str = "  other: { component: { plugin: service } }";

/// A gateway whose component has these bounds, and another route that nothing must hold up.
fn bounded(more: &str) -> Gateway {
    let mut text = config(more, OTHER);
    text.push_str("  - { name: other, match: { hosts: [other.test] }, upstream: other }\n");
    Gateway::start_with_components(folder(), &text)
}

fn other_answers(gateway: &Gateway) {
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /version HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\n\r\n");
    assert_eq!(wire.reply().text(), "service-version-000000");
}

fn why(gateway: &Gateway, path: &str) -> String {
    let line = gateway.access_line(path, |line| line["path"] == path);
    line["why"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_fails_before_the_response_is_an_error_with_a_reason() {
    let gateway = bounded("memory: 8MiB, deadline: 2s, cpu: 200ms");
    let deeds = [
        ("/trap", 502, "upstream-broken", "the component failed"),
        ("/recurse", 502, "upstream-broken", "the component failed"),
        ("/grow", 502, "upstream-broken", "needs more than its memory"),
        ("/handles", 502, "upstream-broken", "the component failed"),
        ("/flood", 502, "upstream-broken", "the component failed"),
        ("/nothing", 502, "upstream-broken", "ended without a response"),
        ("/refuse", 502, "upstream-broken", "ConfigurationError"),
        ("/fields?101", 502, "upstream-broken", "too many header fields"),
        ("/empty", 502, "upstream-broken", "shorter than it said"),
        ("/status?103", 502, "upstream-broken", "its status"),
        ("/status?700", 502, "upstream-broken", "its status"),
        ("/never", 504, "upstream-timeout", "longer than its deadline"),
        ("/loop", 504, "upstream-timeout", "more than its CPU time"),
    ];
    for (path, status, reason, detail) in deeds {
        let reply = http_get(gateway.address(), path);
        assert_eq!((reply.status, reply.reason()), (status, Some(reason)), "{path}: {reply:?}");
        let why = match path.split_once('?') {
            // Two deeds have the same path.
            Some((_, "700")) => detail.to_owned(),
            _ => why(&gateway, path.split('?').next().unwrap()),
        };
        assert!(why.contains(detail), "{path}: {why}");
        assert!(!reply.text().contains("component"), "{path}: {reply:?}");
        other_answers(&gateway);
    }
    assert_eq!(http_get(gateway.address(), "/fields?90").status, 200);
    assert_eq!(http_get(gateway.address(), "/status?599").status, 599);
    eventually("every instance to be gone", || (running(&gateway, "service") == 0.0).then_some(()));
}

fn running(gateway: &Gateway, upstream: &str) -> f64 {
    let metrics = gateway.admin_get("/metrics").text();
    let name = format!("gatewright_component_instances{{upstream={upstream:?}}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// The response of a request on a connection of its own: its head, and its body if that came to its end.
fn broken_off(gateway: &Gateway, path: &str) -> (Reply, Vec<u8>, bool) {
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    let head = wire.read_head().unwrap();
    let rest = wire.rest();
    let is_whole = rest.ends_with(b"0\r\n\r\n");
    (head, rest, is_whole)
}

#[test]
fn what_fails_after_the_head_breaks_the_response_off() {
    let gateway = bounded("deadline: 1s, cpu: 100ms");
    let deeds = [
        ("/half", "the component failed"),
        ("/half-loop", "more than its CPU time"),
        ("/half-never", "longer than its deadline"),
        ("/short", "left a body unfinished"),
        ("/dropped", "left its body unfinished"),
    ];
    for (path, detail) in deeds {
        let (head, rest, is_whole) = broken_off(&gateway, path);
        assert_eq!(head.status, 200, "{path}");
        assert!(!is_whole, "{path}: {:?}", String::from_utf8_lossy(&rest));
        let sent_half = String::from_utf8_lossy(&rest).contains("half of it");
        assert_eq!(sent_half, path.starts_with("/half") || path == "/short", "{path}");
        let why = why(&gateway, path);
        assert!(why.contains(detail), "{path}: {why}");
        other_answers(&gateway);
    }
}

#[test]
fn a_response_that_fails_at_once_is_never_a_whole_one() {
    let gateway = bounded("");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /at-once HTTP/1.1\r\nhost: a.test\r\n\r\n");
    // Whether the head was out already is a matter of microseconds.
    if let Some(head) = wire.read_head() {
        let is_error = head.reason() == Some("upstream-broken");
        assert!(is_error || !wire.rest().ends_with(b"0\r\n\r\n"), "{head:?}");
    }
    other_answers(&gateway);
}

#[test]
fn a_request_past_its_concurrency_is_refused_at_once() {
    let gateway = bounded("concurrency: 2, deadline: 20s");
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::connect(gateway.address());
        wire.send("GET /never HTTP/1.1\r\nhost: a.test\r\n\r\n");
        waiting.push(wire);
    }
    eventually("two instances", || (running(&gateway, "service") == 2.0).then_some(()));
    let refused = http_get(gateway.address(), "/version");
    assert_eq!((refused.status, refused.reason()), (503, Some("upstream-busy")), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    other_answers(&gateway);
    // A client that goes takes its instance with it.
    waiting.clear();
    eventually("a free place", || (http_get(gateway.address(), "/version").status == 200).then_some(()));
}

#[test]
fn components_that_loop_leave_the_worker_to_others() {
    let gateway = bounded("cpu: 2s, deadline: 10s");
    let mut looping = Vec::new();
    for _ in 0..6 {
        let mut wire = Wire::connect(gateway.address());
        wire.send("GET /loop HTTP/1.1\r\nhost: a.test\r\n\r\n");
        looping.push(wire);
    }
    eventually("six instances", || (running(&gateway, "service") == 6.0).then_some(()));
    for _ in 0..20 {
        let start = Instant::now();
        other_answers(&gateway);
        // Six times a tick on each of its turns; a worker that was held would be so for two seconds.
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    for mut wire in looping {
        assert_eq!(wire.reply().reason(), Some("upstream-timeout"));
    }
}

#[test]
fn an_upgrade_is_refused() {
    let text = config("", "").replace("upstream: service }", "upstream: service, websocket: true }");
    let gateway = Gateway::start_with_components(folder(), &text);
    let mut wire = Wire::connect(gateway.address());
    wire.send(
        "GET /echo HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(wire.reply().reason(), Some("upgrade-refused"));
}

#[test]
fn what_the_client_does_wrong_is_the_clients_fault() {
    let folder = folder();
    let text = format!("bounds: {{ body: 1KiB }}\n{}", config("", ""));
    let gateway = Gateway::start_with_components(folder, &text);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /count HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n");
    wire.send(format!("800\r\n{}\r\n0\r\n\r\n", "y".repeat(0x800)));
    let reply = wire.reply();
    assert_eq!((reply.status, reply.reason()), (413, Some("body-too-large")), "{reply:?}");
    assert_eq!(http_get(serving("").address(), "/version").status, 200);
}
