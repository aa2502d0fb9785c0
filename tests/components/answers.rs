//! What a component answers reaches the client as an upstream's response does, and both bodies stream.

use std::time::Instant;

use harness::{Client, Gateway, Protocol, Wire, eventually, http_get, http_post};

use super::{folder, serving};

#[test]
fn a_request_reaches_it_whole_and_its_response_the_client() {
    let gateway = serving("");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let headers = [("x-told", "told"), ("x-forwarded-for", "1.2.3.4"), ("te", "trailers")];
        let reply = client.post("/echo?a=b%20c", &headers, b"a body");
        assert_eq!((reply.status, reply.text().as_str()), (200, "a body"), "{reply:?}");
        assert_eq!(reply.header("x-method"), Some("Method::Post"));
        assert_eq!(reply.header("x-target"), Some("/echo?a=b%20c"));
        assert_eq!(reply.header("x-scheme"), Some("Some(Scheme::Http)"));
        assert_eq!(reply.header("x-authority"), Some(gateway.address().to_string().as_str()));
        assert_eq!(reply.header("x-told"), Some("told"));
        // Only the gateway says this of an answer.
        assert_eq!(reply.reason(), None);
        let names = reply.header("x-names").unwrap();
        assert!(names.contains("x-request-id") && names.contains("x-forwarded-for"), "{names}");
        assert!(!names.contains("host") || names.contains("x-forwarded-host"), "{names}");
        for hop in ["connection", "te,", "transfer-encoding"] {
            assert!(!names.contains(hop), "{names}");
        }
        assert_eq!(client.get("/status?404", &[]).status, 404);
        let head = client.ask("HEAD", "/source?10", &[], b"");
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
    }
    let line = gateway.access_line("an echo", |line| line["path"] == "/echo");
    assert_eq!(line["upstream"], "service");
    assert_eq!(line["endpoint"], "component:service");
}

#[test]
fn ten_megabytes_stream_each_way_within_little_memory() {
    let gateway = serving("memory: 4MiB");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(client.get("/version", &[]).text(), "service-version-000000");
    let (before, _) = gateway.process.resident_bytes();
    let body = vec![b'y'; 10 << 20];
    assert_eq!(client.post("/count", &[], &body).text(), (10 << 20).to_string());
    let reply = client.get("/source?10485760", &[]);
    assert!(reply.body.len() == 10 << 20 && reply.body.iter().all(|byte| *byte == b'x'));
    let reply = client.post("/echo", &[], &body);
    assert!(reply.body == body, "{} bytes", reply.body.len());
    let (_, highest) = gateway.process.resident_bytes();
    assert!(highest.saturating_sub(before) < 8 << 20, "{before} {highest}");
}

#[test]
fn a_client_that_does_not_read_holds_the_component_back() {
    let gateway = serving("");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /source?1073741824 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(wire.read_head().unwrap().status, 200);
    let (before, _) = gateway.process.resident_bytes();
    // Another request is answered meanwhile, so that the first has had its turns.
    for _ in 0..20 {
        assert_eq!(http_get(gateway.address(), "/version").status, 200);
    }
    let (now, _) = gateway.process.resident_bytes();
    assert!(now.saturating_sub(before) < 16 << 20, "{before} {now}");
    drop(wire);
    eventually("the instance to end with its client", || (instances(&gateway) == 0.0).then_some(()));
}

fn instances(gateway: &Gateway) -> f64 {
    let metrics = gateway.admin_get("/metrics").text();
    let name = "gatewright_component_instances{upstream=\"service\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[test]
fn each_event_arrives_when_it_is_written() {
    let gateway = serving("");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /events?5 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let head = wire.read_head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut arrived = Vec::new();
    for number in 0..5 {
        assert_eq!(wire.chunk().unwrap(), format!("data: event {number}\n\n").into_bytes());
        arrived.push(Instant::now());
    }
    assert_eq!(wire.chunk(), None);
    // They were written 20 ms apart: together they would have come at once.
    assert!(arrived[4].duration_since(arrived[0]).as_millis() >= 60, "{arrived:?}");
}

#[test]
fn it_sees_the_environment_it_is_given_a_clock_and_nothing_else() {
    let gateway = serving("environment: { GREETING: hello, OTHER: '1' }");
    let reply = http_get(gateway.address(), "/environment");
    assert_eq!(reply.text(), "0 arguments, GREETING=hello OTHER=1");
    let [one, other] = [0, 1].map(|_| http_get(gateway.address(), "/clock").text());
    let (seconds, number) = one.split_once(' ').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000);
    assert_ne!(Some(number), other.split_once(' ').map(|(_, number)| number));
}

#[test]
fn what_it_prints_goes_to_the_log_and_is_bounded() {
    let gateway = serving("");
    assert_eq!(http_get(gateway.address(), "/print").text(), "printed");
    for said in ["said to the output", "said to the errors"] {
        let line = gateway.process.stderr.wait_for(said, |line| line.contains(said).then(|| line.to_owned()));
        assert!(line.contains("component says") && line.contains("\"upstream\":\"service\""), "{line}");
    }
    // 4 MiB.
    assert_eq!(http_get(gateway.address(), "/print?1024").text(), "printed");
    gateway.process.stderr.wait_for("the bound", |line| line.contains("the rest is dropped").then_some(()));
    assert_eq!(http_get(gateway.address(), "/version").status, 200);
    let written: usize = gateway.process.stderr.all().iter().map(String::len).sum();
    assert!(written < 256 << 10, "{written}");
}

#[test]
fn it_may_go_on_after_its_response() {
    let gateway = serving("");
    assert_eq!(http_get(gateway.address(), "/late").text(), "answered");
    gateway.process.stderr.wait_for("`worked on`", |line| line.contains("worked on").then_some(()));
}

#[test]
fn policies_around_it_work_as_around_any_upstream() {
    let more = r#"policies:
  keys:
    plugin: key-auth
    grants: { metadata: [auth] }
    config: { from: [{ header: authorization, scheme: Bearer }], keys: [{ principal: alice, sha256: [72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20] }] }
  stamp: { plugin: stamp, config: { label: "on" } }
plugins: { folder: plugins }
upstreams:
  service: { component: { plugin: service }, policies: [stamp], headers: { x-told: secret } }
routes:
  - { name: service, policies: [keys], upstream: service }
"#;
    let folder = folder();
    std::fs::copy(Gateway::plugins().join("key-auth.wasm"), folder.path().join("plugins/key-auth.wasm")).unwrap();
    let gateway = Gateway::start_with_components(folder, more);
    let refused = http_get(gateway.address(), "/echo");
    assert_eq!(refused.status, 401, "{refused:?}");
    let reply = http_post(gateway.address(), "/echo", "authorization: Bearer alice-key\r\n", "a body");
    assert_eq!((reply.status, reply.text().as_str()), (200, "a body"));
    assert_eq!(reply.header("x-stamp-answered"), Some("stamp-version-000000/on"));
    // What the upstream's own chain and its headers add is there; what `key-auth` took out is not.
    assert_eq!(reply.header("x-told"), Some("secret"));
    let names = reply.header("x-names").unwrap();
    assert!(names.contains("x-stamp,") && !names.contains("authorization"), "{names}");
    let mut client = Client::connect(gateway.address(), Protocol::Http2);
    let events = client.get("/events?2", &[("authorization", "Bearer alice-key")]).text();
    let stamped = |number: u32| format!("data: event {number} stamp-version-000000/on\n\n");
    assert_eq!(events, [stamped(0), stamped(1)].concat());
}
