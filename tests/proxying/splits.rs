//! Shares of several upstreams, and copies of requests for another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::{Gateway, Origin, Wire, eventually, http_get, http_post};

use super::named_origin;

fn gateway_to(split: &str, origins: &[(&str, &Origin)], more: &str) -> Gateway {
    let endpoint =
        |(name, origin): &(&str, &Origin)| format!("  {name}: {{ endpoints: [{{ url: {:?} }}] }}\n", origin.url());
    let upstreams: String = origins.iter().map(endpoint).collect();
    Gateway::start(&format!("{more}upstreams:\n{upstreams}routes:\n  - {{ name: all, {split} }}\n"))
}

/// Which upstream answers a request with these fields.
fn side(gateway: &Gateway, fields: &str) -> String {
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n"));
    wire.reply().text()
}

#[test]
fn requests_are_shared_out_by_weight() {
    let (a, b) = (named_origin("a"), named_origin("b"));
    let split = "upstream: { split: [{ upstream: a, weight: 3 }, { upstream: b, weight: 1 }] }";
    let gateway = gateway_to(split, &[("a", &a), ("b", &b)], "");
    let mut wire = Wire::connect(gateway.address());
    let mut counts = BTreeMap::new();
    for _ in 0..1000 {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        *counts.entry(wire.reply().text()).or_insert(0) += 1;
    }
    // Five standard deviations.
    assert!((682..=818).contains(&counts["a"]), "{counts:?}");
}

#[test]
fn a_sticky_client_stays_on_its_side_over_workers_instances_and_reloads() {
    let (a, b) = (named_origin("a"), named_origin("b"));
    let split = |a, b| {
        format!(
            "upstream: {{ split: [{{ upstream: a, weight: {a} }}, {{ upstream: b, weight: {b} }}], sticky: {{ cookie: id }} }}"
        )
    };
    let first = gateway_to(&split(50, 50), &[("a", &a), ("b", &b)], "");
    let second = gateway_to(&split(50, 50), &[("a", &a), ("b", &b)], "");
    let fields = |client: u32| format!("Cookie: other=1; id=client-{client}\r\n");
    let sides: Vec<String> = (0..40).map(|client| side(&first, &fields(client))).collect();
    assert!(sides.iter().any(|side| side == "a") && sides.iter().any(|side| side == "b"));
    for _ in 0..2 {
        for (client, known) in (0..).zip(&sides) {
            assert_eq!(side(&first, &fields(client)), *known);
            assert_eq!(side(&second, &fields(client)), *known);
        }
    }
    // With a greater share `b` keeps its clients.
    let file = first.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace(&split(50, 50), &split(20, 80));
    std::fs::write(&file, text).unwrap();
    assert_eq!(first.admin_post("/reload").status, 200);
    let after: Vec<String> = (0..40).map(|client| side(&first, &fields(client))).collect();
    assert!(sides.iter().zip(&after).all(|(before, after)| before == after || after == "b"), "{sides:?} {after:?}");
    assert_ne!(sides, after);
}

#[test]
fn a_policy_has_the_last_word_over_a_split() {
    let (a, b) = (named_origin("a"), named_origin("b"));
    let split =
        "policies: [tenants], upstream: { split: [{ upstream: a, weight: 1 }], choices: [b], sticky: client_address }";
    let policies = "policies:\n  tenants: { plugin: tenant-router, grants: { metadata: [tenant] }, limits: { deadline: 2s }, \
                    config: { by: header, header: x-tenant, upstreams: { acme: b }, tenants: { initech: { path: { add: /v2 } } } } }\n";
    let gateway = gateway_to(split, &[("a", &a), ("b", &b)], policies);
    for _ in 0..10 {
        assert_eq!(side(&gateway, "X-Tenant: acme\r\n"), "b");
        assert_eq!(side(&gateway, "X-Tenant: initech\r\n"), "a");
    }
}

const MIRROR: &str = "upstream: real, mirror: { upstream: shadow, body: 16B, concurrency: 2 }";

/// What the metrics say came of copies.
fn copies(gateway: &Gateway, outcome: &str) -> u64 {
    let metrics = gateway.admin_get("/metrics").text();
    let name = format!("gatewright_mirrored_requests_total{{upstream=\"shadow\",outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_copy_says_what_the_request_says_and_nobody_hears_its_answer() {
    let (real, shadow) = (Origin::ok(), Origin::answering("HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nevil"));
    let gateway = gateway_to(MIRROR, &[("real", &real), ("shadow", &shadow)], "");
    assert_eq!(http_get(gateway.address(), "/x?q=1").text(), "ok");
    assert_eq!(http_post(gateway.address(), "/y", "x-a: b\r\nx-gatewright-mirror: forged\r\n", "hello").text(), "ok");
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /z HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    wire.send("2\r\nde\r\n0\r\n\r\n");
    assert_eq!(wire.reply().text(), "ok");
    let recording = shadow.wait_until("three copies", |recording| recording.requests.len() == 3);
    for (line, body) in [("GET /x?q=1", ""), ("POST /y", "hello"), ("POST /z", "abcde")] {
        let request = recording.requests.iter().find(|request| request.line.starts_with(line));
        let request = request.unwrap_or_else(|| panic!("{line} in {recording:?}"));
        assert_eq!((request.body.as_slice(), request.values("x-gatewright-mirror")), (body.as_bytes(), vec!["all"]));
        assert!(request.values("transfer-encoding").is_empty(), "{request:?}");
    }
    let own = real.take().requests;
    assert!(own.iter().all(|request| request.values("x-gatewright-mirror").is_empty()), "{own:?}");
    eventually("three answers", || (copies(&gateway, "answered") == 3).then_some(()));
}

#[test]
fn a_body_past_the_bound_is_not_copied() {
    let (real, shadow) = (Origin::ok(), Origin::ok());
    let gateway = gateway_to(MIRROR, &[("real", &real), ("shadow", &shadow)], "");
    for (length, copied) in [(16, true), (17, false)] {
        let body = "x".repeat(length);
        assert_eq!(http_post(gateway.address(), "/x", "", &body).text(), "ok");
        let mut wire = Wire::connect(gateway.address());
        let half = length / 2;
        let (one, two) = body.split_at(half);
        wire.send(format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{half:x}\r\n{one}\r\n"
        ));
        wire.send(format!("{:x}\r\n{two}\r\n0\r\n\r\n", two.len()));
        assert_eq!(wire.reply().text(), "ok");
        if copied {
            eventually("both copies", || (copies(&gateway, "answered") == 2).then_some(()));
        } else {
            eventually("none", || (copies(&gateway, "body-too-large") == 2).then_some(()));
        }
    }
    assert_eq!(shadow.take().requests.len(), 2);
    assert_eq!(real.take().requests.len(), 4);
}

#[test]
fn a_copy_neither_delays_nor_fails_nor_piles_up() {
    let real = Origin::ok();
    // Takes every request and answers none.
    let shadow = Origin::talking(|conversation| while conversation.request().is_some() {});
    let gateway = gateway_to(MIRROR, &[("real", &real), ("shadow", &shadow)], "timeouts: { total: 2s }\n");
    let mut wire = Wire::connect(gateway.address());
    let start = Instant::now();
    for _ in 0..50 {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(wire.reply().text(), "ok");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(shadow.wait_until("two copies", |recording| recording.requests.len() == 2).requests.len(), 2);
    assert_eq!(copies(&gateway, "busy"), 48);
    // They end when the request's own time would have.
    eventually("both given up", || (copies(&gateway, "timeout") == 2).then_some(()));
    drop(shadow);
    assert_eq!(http_get(gateway.address(), "/x").text(), "ok");
}
