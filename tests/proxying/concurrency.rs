//! So many requests at once, on a route and to an upstream: the rest waits its turn, or is turned away.

use std::time::{Duration, Instant};

use harness::{Conversation, Gateway, Origin, Wire, eventually};

/// Answers a request as soon as the test lets it: by the path `/now`, or by closing what it waits for.
fn held_origin(gate: std::sync::mpsc::Receiver<()>) -> Origin {
    let gate = std::sync::Mutex::new(gate);
    Origin::talking(move |conversation: &mut Conversation| {
        while let Some(request) = conversation.request() {
            if !request.line.contains("/now") {
                let _closed = gate.lock().unwrap().recv();
            }
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })
}

fn gateway_to(origin: &Origin, upstream: &str, routes: &str) -> Gateway {
    start(origin, upstream, routes, "")
}

fn start(origin: &Origin, upstream: &str, routes: &str, policies: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}]{upstream} }} }}\n{policies}routes:\n{routes}",
        origin.url()
    ))
}

fn ask(gateway: &Gateway, path: &str) -> Wire {
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    wire
}

/// Waits until so many are under way and so many wait.
fn settled(gateway: &Gateway, scope: &str, running: usize, waiting: usize) {
    let figure = |state: &str| {
        let metrics = gateway.admin_get("/metrics").text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("gatewright_concurrency{") && line.contains(scope) && line.contains(state));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
    };
    eventually(&format!("{running} running and {waiting} waiting"), || {
        (figure("running") == Some(running) && figure("waiting") == Some(waiting)).then_some(())
    });
}

#[test]
fn past_the_queue_requests_are_turned_away_at_once_and_the_rest_goes_in_its_order() {
    for (upstream, route, scope) in [
        ("", "concurrency: { max: 1, queue: 2, wait: 20s }", "route"),
        (", concurrency: { max: 1, queue: 2, wait: 20s }", "", "upstream"),
    ] {
        let (open, gate) = std::sync::mpsc::channel();
        let origin = held_origin(gate);
        let comma = if route.is_empty() { "" } else { ", " };
        let gateway = gateway_to(&origin, upstream, &format!("  - {{ name: all, upstream: origin{comma}{route} }}\n"));
        let mut wires = Vec::new();
        for (path, running, waiting) in [("/a", 1, 0), ("/b", 1, 1), ("/c", 1, 2)] {
            wires.push(ask(&gateway, path));
            settled(&gateway, scope, running, waiting);
        }
        let start = Instant::now();
        for _ in 0..20 {
            let reply = ask(&gateway, "/d").reply();
            assert_eq!((reply.status, reply.reason()), (503, Some("concurrency-limited")));
            assert_eq!(reply.header("retry-after"), Some("1"));
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        for wire in &mut wires {
            open.send(()).unwrap();
            assert_eq!(wire.reply().text(), "ok");
        }
        let lines: Vec<String> = origin.take().requests.into_iter().map(|request| request.line).collect();
        assert_eq!(lines, ["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /c HTTP/1.1"]);
        settled(&gateway, scope, 0, 0);
    }
}

#[test]
fn a_permit_is_held_to_the_last_byte_and_given_back_when_the_client_goes() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
            // The other half never comes.
            conversation.request();
        }
    });
    let gateway = gateway_to(&origin, "", "  - { name: all, upstream: origin, concurrency: { max: 1 } }\n");
    let mut first = ask(&gateway, "/x");
    assert_eq!(first.read_head().unwrap().status, 200);
    assert_eq!(ask(&gateway, "/x").reply().reason(), Some("concurrency-limited"));
    drop(first);
    settled(&gateway, "route", 0, 0);
    assert_eq!(ask(&gateway, "/x").read_head().unwrap().status, 200);
}

#[test]
fn a_reload_neither_frees_nor_takes_a_permit() {
    let (open, gate) = std::sync::mpsc::channel();
    let origin = held_origin(gate);
    let gateway = gateway_to(&origin, "", "  - { name: all, upstream: origin, concurrency: { max: 1 } }\n");
    let mut first = ask(&gateway, "/a");
    settled(&gateway, "route", 1, 0);
    let generation = || gateway.admin_get("/status").json()["generation"].as_u64().unwrap();
    let (before, file) = (generation(), gateway.folder().join("gateway.yaml"));
    let changed = std::fs::read_to_string(&file).unwrap().replace("max: 1", "max: 2");
    std::fs::write(&file, changed).unwrap();
    eventually("the new configuration", || (generation() > before).then_some(()));
    // What began before the reload still counts against the new bound.
    let mut second = ask(&gateway, "/b");
    settled(&gateway, "route", 2, 0);
    assert_eq!(ask(&gateway, "/c").reply().reason(), Some("concurrency-limited"));
    for wire in [&mut first, &mut second] {
        open.send(()).unwrap();
        assert_eq!(wire.reply().text(), "ok");
    }
    settled(&gateway, "route", 0, 0);
    assert_eq!(ask(&gateway, "/now").reply().text(), "ok");
}

#[test]
fn a_tunnel_holds_its_permit_until_it_ends() {
    let origin = Origin::talking(|conversation| {
        if conversation.request().is_some() {
            conversation.send(super::upgrades::ACCEPTED);
            let bytes = conversation.wire.exactly(5);
            conversation.send(bytes);
            conversation.wire.closes();
        }
    });
    let gateway =
        gateway_to(&origin, "", "  - { name: all, upstream: origin, websocket: true, concurrency: { max: 1 } }\n");
    let mut tunnel = Wire::connect(gateway.address());
    tunnel.send(super::upgrades::HANDSHAKE);
    assert_eq!(tunnel.read_head().unwrap().status, 101);
    tunnel.send("hello");
    assert_eq!(tunnel.exactly(5), b"hello");
    settled(&gateway, "route", 1, 0);
    assert_eq!(ask(&gateway, "/x").reply().reason(), Some("concurrency-limited"));
    drop(tunnel);
    settled(&gateway, "route", 0, 0);
}

#[test]
fn a_wait_in_the_queue_ends() {
    let (_open, gate) = std::sync::mpsc::channel();
    let origin = held_origin(gate);
    let gateway = gateway_to(
        &origin,
        "",
        "  - { name: all, upstream: origin, concurrency: { max: 1, queue: 9, wait: 300ms } }\n",
    );
    let _first = ask(&gateway, "/x");
    settled(&gateway, "route", 1, 0);
    let start = Instant::now();
    let reply = ask(&gateway, "/x").reply();
    assert_eq!((reply.status, reply.reason()), (503, Some("concurrency-limited")));
    let waited = start.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&waited), "{waited:?}");
}

#[test]
fn a_higher_priority_goes_first_and_takes_the_place_of_a_lower() {
    let (open, gate) = std::sync::mpsc::channel();
    let origin = held_origin(gate);
    let limited = ", concurrency: { max: 1, queue: 2, wait: 20s }";
    let gateway = gateway_to(
        &origin,
        limited,
        "  - { name: low, match: { path: { prefix: /low } }, upstream: origin, priority: low }\n\
         \x20 - { name: normal, match: { path: { prefix: /normal } }, upstream: origin }\n\
         \x20 - { name: high, match: { path: { prefix: /high } }, upstream: origin, priority: high }\n",
    );
    let mut first = ask(&gateway, "/normal/1");
    settled(&gateway, "upstream", 1, 0);
    let mut low = ask(&gateway, "/low");
    settled(&gateway, "upstream", 1, 1);
    let mut normal = ask(&gateway, "/normal/2");
    settled(&gateway, "upstream", 1, 2);
    let mut high = ask(&gateway, "/high");
    assert_eq!(low.reply().reason(), Some("concurrency-limited"));
    settled(&gateway, "upstream", 1, 2);
    for wire in [&mut first, &mut high, &mut normal] {
        open.send(()).unwrap();
        assert_eq!(wire.reply().text(), "ok");
    }
}

/// Tenants, one of them named after a priority; their keys; and the SHA-256 of those.
const KEYS: [(&str, &str, &str); 2] = [
    ("high", "alice-key", "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20"),
    ("nobody", "bob-key", "9b94dc1a51a38769f135edf04033ad7f2f487b6c25929be7a861cfc1ab10cf98"),
];

#[test]
fn metadata_of_a_policy_says_the_priority_and_any_other_value_leaves_the_routes() {
    let (open, gate) = std::sync::mpsc::channel();
    let origin = held_origin(gate);
    let keys =
        KEYS.map(|(tenant, _, sha256)| format!("{{ principal: someone, tenant: {tenant}, sha256: [{sha256}] }}"));
    let policies = format!(
        "policies: {{ keys: {{ plugin: key-auth, grants: {{ metadata: [auth] }}, limits: {{ deadline: 2s }}, \
         config: {{ from: [{{ header: x-api-key }}], keys: [{}] }} }} }}\n",
        keys.join(", ")
    );
    let routes = "  - { name: all, upstream: origin, policies: [keys], priority_from: auth.tenant, priority: low,\n      \
                  concurrency: { max: 1, queue: 9, wait: 20s } }\n";
    let gateway = start(&origin, "", routes, &policies);
    let ask_as = |number: usize, path: &str| {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nX-Api-Key: {}\r\n\r\n", KEYS[number].1));
        wire
    };
    let mut wires = Vec::new();
    for (waiting, (number, path)) in [(1, "/first"), (1, "/third"), (0, "/second")].into_iter().enumerate() {
        wires.push(ask_as(number, path));
        settled(&gateway, "route", 1, waiting);
    }
    for _ in &wires {
        open.send(()).unwrap();
    }
    for wire in &mut wires {
        assert_eq!(wire.reply().text(), "ok");
    }
    let lines: Vec<String> = origin.take().requests.into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /first HTTP/1.1", "GET /second HTTP/1.1", "GET /third HTTP/1.1"]);
}

#[test]
fn what_gets_no_turn_falls_back_to_another_upstream() {
    let (open, gate) = std::sync::mpsc::channel();
    let origin = held_origin(gate);
    let other = Origin::ok();
    let gateway = Gateway::start(&format!(
        "upstreams:\n  narrow: {{ endpoints: [{{ url: {:?} }}], concurrency: {{ max: 1 }} }}\n  \
         wide: {{ endpoints: [{{ url: {:?} }}] }}\n\
         routes: [{{ name: all, upstream: narrow, fallback: {{ to: [wide] }} }}]\n",
        origin.url(),
        other.url()
    ));
    let mut first = ask(&gateway, "/first");
    settled(&gateway, "upstream", 1, 0);
    assert_eq!(ask(&gateway, "/second").reply().status, 200);
    assert_eq!(other.take().requests[0].line, "GET /second HTTP/1.1");
    open.send(()).unwrap();
    assert_eq!(first.reply().text(), "ok");
    settled(&gateway, "upstream", 0, 0);
}
