//! Calls out of a policy: to granted upstreams only, at once, bounded, cancelled with whoever waits.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};

use harness::{Client, Conversation, DEADLINE, Gateway, Origin, Protocol, Wire, gatewright};

use super::folder_with;

const GRANTS: &str = "http: [origin, dead], secrets: [token], kv: [news], limits: true";
const LIMITS: &str = "deadline: 10s";

fn config(origin: &Origin, grants: &str, limits: &str) -> String {
    format!(
        r#"plugins: {{ folder: plugins }}
kv: {{ news: {{}} }}
secrets: {{ token: {{ value: s3cret-value }}, hidden: {{ value: other }}, broken: {{ value: "a\nb" }} }}
policies:
  caller: {{ plugin: caller, grants: {{ {grants} }}, limits: {{ {limits} }} }}
upstreams:
  origin: {{ endpoints: [{{ url: {url:?} }}], headers: {{ x-credential: configured }} }}
  other: {{ endpoints: [{{ url: {url:?} }}] }}
  dead: {{ endpoints: [{{ url: "http://127.0.0.1:1" }}] }}
routes:
  - {{ name: all, policies: [caller], upstream: other }}
"#,
        url = origin.url()
    )
}

fn gateway_with(origin: &Origin, grants: &str, limits: &str) -> Gateway {
    Gateway::start_in(folder_with(&["caller"]), &config(origin, grants, limits))
}

fn gateway(origin: &Origin) -> Gateway {
    gateway_with(origin, GRANTS, LIMITS)
}

/// What the caller says to a deed.
#[track_caller]
fn told(client: &mut Client, deed: &str) -> String {
    let reply = client.get("/", &[("x-do", deed)]);
    assert_eq!(reply.status, 200, "{deed}: {}", reply.text());
    reply.text()
}

/// An origin that takes requests and never answers, and tells when a connection has ended.
fn silent() -> (Origin, Receiver<()>) {
    let (ended, ends) = mpsc::channel();
    let ended = Mutex::new(ended);
    let origin = Origin::talking(move |conversation: &mut Conversation| {
        while conversation.request().is_some() {}
        ended.lock().unwrap().send(()).unwrap();
    });
    (origin, ends)
}

#[test]
fn a_call_reaches_the_upstream_with_what_the_gateway_adds_and_comes_back_whole() {
    let origin = Origin::answering(
        "HTTP/1.1 207 Multi\r\nx-kind: test\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"n\": 1.50}",
    );
    let gateway = gateway(&origin);
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let deed = "send origin POST /v1/keys?a=b header=x-mine:1 header=x-credential:forged body=hello";
        let reply = client.get("/", &[("x-do", deed)]);
        assert_eq!(reply.text(), r#"207 {"n": 1.50}"#);
        let recording = origin.take();
        let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
        assert_eq!(request.line, "POST /v1/keys?a=b HTTP/1.1");
        assert_eq!(request.body, b"hello");
        assert_eq!(request.values("host"), [origin.address.to_string()]);
        assert_eq!(request.values("content-length"), ["5"]);
        assert_eq!(request.values("x-mine"), ["1"]);
        assert_eq!(request.values("x-credential"), ["configured"], "the operator's header wins");
        assert_eq!(request.values("x-request-id"), [reply.header("x-request-id").unwrap()]);
        assert_eq!(told(&mut client, "send origin GET / show=x-kind"), r#"207 Some("test") false"#);
        assert_eq!(told(&mut client, "send origin GET / json=/n"), r#"Ok([Some("1.50")])"#);
        drop(origin.take());
    }
}

/// The origin answers nobody before all are there: one after the other they would wait for ever.
#[test]
fn requests_of_one_call_run_at_once() {
    let barrier = Arc::new(Barrier::new(3));
    let origin = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            barrier.wait();
            let path = request.line.split(' ').nth(1).unwrap().to_owned();
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(told(&mut client, "parallel origin /p 3"), "200 /p0,200 /p1,200 /p2");
}

#[test]
fn requests_are_capped_in_one_call_and_over_all_calls() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let all = format!("{},too-many-calls", ["200 ok"; 8].join(","));
    assert_eq!(told(&mut client, "parallel origin / 9"), all);
    let tight = gateway_with(&origin, GRANTS, "deadline: 10s, http_requests: 2");
    let mut client = Client::connect(tight.address(), Protocol::Http1);
    for _ in 0..3 {
        assert_eq!(
            told(&mut client, "parallel origin / 3"),
            "200 ok,200 ok,too-many-calls",
            "and they come free again"
        );
    }
    for deed in ["flood origin", "twice origin /"] {
        assert_eq!(client.get("/", &[("x-do", deed)]).reason(), Some("policy-trapped"), "{deed}");
    }
    assert_eq!(told(&mut client, "send origin GET /"), "200 ok");
}

#[test]
fn what_is_not_granted_or_no_request_is_refused() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for (deed, answer) in [
        ("send other GET /", "not-granted"),
        ("send unheard-of GET /", "not-granted"),
        ("send origin GET http://elsewhere.test/", "invalid"),
        ("send origin GET no-slash", "invalid"),
        ("send origin GET /a#b", "invalid"),
        ("send origin GET /a\\b", "invalid"),
        ("send origin CONNECT /", "invalid"),
        ("send origin G,T /", "invalid"),
        ("send origin POST / body-bytes=524289", "too-large"),
        ("send origin GET / secret=authorization:hidden", "not-granted"),
        ("send origin GET / secret=host:token", "secret=host:token refused"),
        ("owned origin", "accepted: []"),
    ] {
        assert_eq!(told(&mut client, deed), answer, "{deed}");
    }
    assert!(origin.take().requests.is_empty());
    assert_eq!(told(&mut client, "send origin POST / body-bytes=524288"), "200 ok");
    assert_eq!(origin.take().requests[0].body.len(), 512 << 10);
}

#[test]
fn a_secret_reaches_the_upstream_and_neither_guest_nor_log() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(told(&mut client, "send origin GET / secret=authorization:token"), "200 ok");
    assert_eq!(origin.take().requests[0].values("authorization"), ["Bearer s3cret-value"]);
    let lines = [gateway.process.stderr.all(), gateway.process.stdout.all()].concat();
    assert!(!lines.iter().any(|line| line.contains("s3cret")), "{lines:?}");
    assert!(!gateway.admin_get("/metrics").text().contains("s3cret"));
}

#[test]
fn a_redirect_is_not_followed() {
    let origin = Origin::answering("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(told(&mut client, "send origin GET / show=location"), r#"302 Some("/elsewhere") false"#);
    assert_eq!(origin.take().requests.len(), 1);
}

#[test]
fn what_goes_wrong_at_the_upstream_is_told_to_the_policy() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nless", "protocol"),
        ("nonsense\r\n\r\n", "protocol"),
        ("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "protocol"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n", "too-large"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n", ""),
    ];
    for (answer, error) in cases {
        let origin = Origin::talking(move |conversation| {
            if conversation.request().is_some() {
                conversation.send(answer);
                if answer.contains(": 102") {
                    conversation.send("x".repeat(1025));
                }
            }
        });
        let gateway = gateway_with(&origin, GRANTS, "deadline: 10s, http_response: 1KiB");
        let mut client = Client::connect(gateway.address(), Protocol::Http1);
        let said = told(&mut client, "send origin GET /");
        let expected = if error.is_empty() { format!("200 {}", "x".repeat(1024)) } else { error.to_owned() };
        assert_eq!(said, expected, "{answer}");
        assert_eq!(told(&mut client, "send dead GET /"), "connect-failed");
    }
}

#[test]
fn a_call_that_takes_too_long_is_cancelled_and_the_policy_decides() {
    let (origin, ends) = silent();
    for (limits, deed) in [
        ("deadline: 10s", "send origin GET / timeout=30"),
        ("deadline: 10s, http_timeout: 30ms", "send origin GET / timeout=60000"),
        // A tenth of a second before the policy's own end.
        ("deadline: 1s", "send origin GET /"),
    ] {
        let gateway = gateway_with(&origin, GRANTS, limits);
        let mut client = Client::connect(gateway.address(), Protocol::Http1);
        assert_eq!(told(&mut client, deed), "timeout", "{limits}");
        ends.recv_timeout(DEADLINE).unwrap();
    }
}

#[test]
fn a_request_that_nobody_waits_for_is_cancelled() {
    let (origin, ends) = silent();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for _ in 0..70 {
        assert_eq!(told(&mut client, "forget origin /"), "forgotten", "what was let go no longer counts");
    }
    // The client goes while the policy waits.
    drop(origin.take());
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET / HTTP/1.1\r\nhost: a.test\r\nx-do: send origin GET /gone\r\n\r\n");
    let has_come = |requests: &[harness::Request]| requests.iter().any(|request| request.line.contains("/gone"));
    origin.wait_until("asked", |recording| has_come(&recording.requests));
    while ends.try_recv().is_ok() {}
    drop(wire);
    ends.recv_timeout(DEADLINE).unwrap();
    let line = gateway.access_line("client-gone", |line| line["reason"] == "client-gone");
    assert_eq!(line["blame"], "client");
}

#[test]
fn calls_are_counted_by_upstream_and_outcome() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    told(&mut client, "send origin GET /");
    told(&mut client, "send dead GET /");
    let metrics = gateway.admin_get("/metrics").text();
    for (upstream, outcome) in [("origin", "2xx"), ("dead", "upstream-unreachable")] {
        let labels = [format!("upstream=\"{upstream}\""), format!("outcome=\"{outcome}\"")];
        let counted = metrics.lines().any(|line| {
            line.starts_with("gatewright_upstream_attempts_total") && labels.iter().all(|label| line.contains(label))
        });
        assert!(counted, "{upstream} {outcome} in:\n{metrics}");
    }
}

#[test]
fn what_is_wrong_with_calls_is_said_with_its_line() {
    let origin = Origin::ok();
    let cases = [
        ("http: [orogin]", LIMITS, "", "unknown upstream \"orogin\" (did you mean \"origin\"?)"),
        ("crypto: true", LIMITS, "", "uses http, which is not granted: add `grants: { http: [UPSTREAM] }`"),
        (GRANTS, "http_timeout: 2m", "", "http_timeout must be from 1ms to 60s"),
        (GRANTS, "http_response: 1GiB", "", "http_response must be at most 16MiB"),
        (GRANTS, LIMITS, ", config: { call_early: origin }", "http cannot be used at load time"),
    ];
    for (grants, limits, more, said) in cases {
        let folder = folder_with(&["caller"]);
        let file = folder.path().join("gateway.yaml");
        let text = config(&origin, grants, limits).replace("plugin: caller,", &format!("plugin: caller{more},"));
        std::fs::write(&file, format!("listeners: [{{ address: \"127.0.0.1:0\" }}]\n{text}")).unwrap();
        let output = gatewright().arg("check").arg("--config").arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}: {text}");
        assert!(text.contains(said) && text.contains("gateway.yaml:"), "{said} is not in:\n{text}");
    }
    assert!(origin.take().requests.is_empty());
}
