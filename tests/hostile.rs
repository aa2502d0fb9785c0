//! Policies that misbehave: each ends its own request and nothing else.

mod files;
mod load;
pub(crate) mod raw;
mod streams;
mod writes;

pub(crate) use files::no_plugins;

use harness::{Client, Gateway, Origin, Protocol, Reply, eventually, guest};
use tempfile::TempDir;

/// A folder whose drop folder holds one plugin.
pub(crate) fn folder_with(name: &str, bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), bytes).unwrap();
    folder
}

/// A gateway whose every request passes the hostile guest, in mode `open` below `/open`. Deadlines are longer than by
/// default, so that a busy machine is not taken for a hostile guest.
fn gateway_to(origin: &Origin, more: &str) -> Gateway {
    let policy = "plugin: hostile, grants: { limits: true, crypto: true, secrets: [flood], metadata: [hostile] }, \
                  limits: { deadline: 250ms, body_deadline: 500ms, memory: 16MiB }";
    let config = format!(
        r#"plugins: {{ folder: plugins, quarantine: {{ faults: 0 }} }}
secrets: {{ flood: {{ value: open sesame }} }}
policies:
  hostile: {{ {policy} }}
  lenient: {{ {policy}, on_failure: open }}
upstreams:
  origin: {{ endpoints: [{{ url: {url:?} }}], pass_host: true }}
  other: {{ endpoints: [{{ url: {url:?} }}], pass_host: true, headers: {{ x-other: yes }} }}
routes:
  - {{ name: all, policies: [hostile], upstream: {{ default: origin, choices: [other] }} }}
  - {{ name: open, match: {{ path: {{ prefix: /open }} }}, policies: [lenient],
       upstream: {{ default: origin, choices: [other] }} }}
{more}
"#,
        url = origin.url()
    );
    Gateway::start_in(folder_with("hostile", &guest("hostile")), &config)
}

/// Sends a deed, then asks in peace on the same connection.
fn suffer(client: &mut Client, deed: &str) -> Reply {
    let suffered = client.post("/suffer", &[("x-do", deed)], br#"{"a":[1,2,3]}"#);
    let calm = client.post("/calm", &[], b"{}");
    assert_eq!((calm.status, calm.text().as_str()), (200, "ok"), "after {deed}: {suffered:?}");
    suffered
}

/// Deeds that fail, with their reason codes.
const FAILING: [(&str, &str); 30] = [
    ("spin", "policy-deadline"),
    ("panic", "policy-trapped"),
    ("recurse", "policy-trapped"),
    ("grow", "policy-memory"),
    ("random", "policy-trapped"),
    ("failure", "policy-failed"),
    ("garbage-failure", "policy-failed"),
    ("unknown-deed", "policy-failed"),
    ("write-then-panic", "policy-trapped"),
    ("headers", "policy-deadline"),
    ("handles", "policy-trapped"),
    ("replies", "policy-trapped"),
    ("secrets", "policy-trapped"),
    ("names", "policy-trapped"),
    ("huge-reply", "policy-trapped"),
    ("on-request-body/spin", "policy-deadline"),
    ("on-request-body/panic", "policy-trapped"),
    ("on-request-body/grow", "policy-memory"),
    ("on-request-body/failure", "policy-failed"),
    ("on-request-body/slow-pointers", "policy-deadline"),
    ("on-request-body/slow-patch", "policy-deadline"),
    ("on-response/spin", "policy-deadline"),
    ("on-response/panic", "policy-trapped"),
    ("on-response/grow", "policy-memory"),
    ("on-response/failure", "policy-failed"),
    ("on-response/headers", "policy-deadline"),
    ("on-response-body/spin", "policy-deadline"),
    ("on-response-body/panic", "policy-trapped"),
    ("on-response-body/grow", "policy-memory"),
    ("on-response-body/failure", "policy-failed"),
];

#[test]
fn each_deed_ends_only_its_own_request() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (deed, code) in FAILING {
            let reply = suffer(&mut client, deed);
            assert_eq!((reply.status, reply.reason()), (500, Some(code)), "{deed} over {protocol:?}");
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{deed}");
            let told = reply.text();
            let leaks = ["told to", "detail-for", "told-to", "hostile", "wasm", "x-forged"];
            assert!(!leaks.iter().any(|leak| told.contains(leak)), "{deed}: {told}");
        }
    }
}

#[test]
fn deeds_within_their_bounds_let_the_request_pass() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for deed in ["dropped-reply", "logs", "series", "charges", "on-log/spin", "on-log/panic", "on-log/grow"] {
            let reply = suffer(&mut client, deed);
            assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{deed} over {protocol:?}");
        }
    }
    let flood = gateway.process.stderr.all().into_iter().filter(|line| line.contains("flood")).collect::<Vec<_>>();
    // A hundred lines a second, and the deed may reach into a second one, twice.
    assert!((1..=400).contains(&flood.len()), "{} lines", flood.len());
    assert!(flood.iter().all(|line| line.len() < 2_000), "{:?}", flood.first());
    let metrics = gateway.admin_get("/metrics").text();
    let series = metrics.matches("gatewright_policy_hostile_series_total{").count();
    assert_eq!(series, 201, "200 of its own and one for the rest");
}

#[test]
fn what_the_gateway_should_refuse_it_refuses() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let cases = [
        ("large-header", "refused"),
        ("owned-headers", "18 tried, accepted: []"),
        ("bad-paths", "11 tried, accepted: []"),
        ("unknown-upstream", "refused"),
        ("state", "large: false, keys: 32"),
        ("metadata", "foreign: false, nameless: false, large: false, names: 64"),
        ("on-request-body/patch-bomb", "refused"),
        ("on-request-body/pointers", "refused"),
        ("on-request-body/large-body", "refused"),
    ];
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (deed, answer) in cases {
            let reply = suffer(&mut client, deed);
            assert_eq!((reply.status, reply.text().as_str()), (200, answer), "{deed} over {protocol:?}");
        }
        assert_eq!(suffer(&mut client, "huge-page").body.len(), 900 << 10);
    }
}

#[test]
fn a_deadline_holds_while_others_are_served() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let address = gateway.address();
    std::thread::scope(|scope| {
        let started = std::time::Instant::now();
        for _ in 0..4 {
            scope.spawn(move || {
                let reply = Client::connect(address, Protocol::Http1).get("/", &[("x-do", "spin")]);
                assert_eq!(reply.reason(), Some("policy-deadline"));
            });
        }
        let calm = Client::connect(address, Protocol::Http2).get("/", &[]);
        assert_eq!(calm.status, 200);
        // Four calls of 250 ms each, all behind one another in the worst case; the rest is a slow machine's.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    });
}

#[test]
fn a_policy_that_fails_open_lets_the_request_go_on_and_is_counted() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let deeds = ["spin", "panic", "grow", "failure", "on-request-body/panic", "on-response/failure"];
    for deed in deeds {
        let reply = client.post("/open", &[("x-do", deed)], b"{}");
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{deed}");
    }
    let metrics = gateway.admin_get("/metrics").text();
    for (phase, count) in [("on-request", 4), ("on-request-body", 1), ("on-response", 1)] {
        let failed = metrics.lines().find(|line| {
            let labels = [format!("phase=\"{phase}\""), "policy=\"lenient\"".to_owned(), "\"failed\"".to_owned()];
            line.starts_with("gatewright_policy_calls_total") && labels.iter().all(|label| line.contains(label))
        });
        let failed = failed.unwrap_or_else(|| panic!("no count for {phase} in:\n{metrics}"));
        assert!(failed.ends_with(&format!(" {count}")), "{failed}");
    }
}

#[test]
fn each_phase_is_called_once_a_request() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for _ in 0..5 {
        assert_eq!(client.post("/", &[("x-do", "count")], b"{}").status, 200);
    }
    let phases = ["on-request", "on-request-body", "on-response", "on-response-body", "on-log"];
    let counted = |metrics: &str, phase: &str| {
        metrics.lines().any(|line| {
            let is_series = line.starts_with("gatewright_policy_hostile_calls_total{");
            is_series && line.contains(&format!("phase=\"{phase}\"")) && line.ends_with(" 5")
        })
    };
    // `on-log` comes after the response.
    eventually("every phase is counted", || {
        let metrics = gateway.admin_get("/metrics").text();
        phases.iter().all(|phase| counted(&metrics, phase)).then_some(())
    });
}

#[test]
fn the_operators_log_says_what_failed_and_the_client_is_not_told() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for (deed, said) in [
        ("failure", "told-to-fail: detail-for-the-operator"),
        ("garbage-failure", "unnamed: detail-for-the-operator"),
        ("spin", "hostile"),
    ] {
        suffer(&mut client, deed);
        gateway.access_line(said, |line| line["why"].as_str().is_some_and(|why| why.contains(said)));
    }
    suffer(&mut client, "panic");
    gateway.process.stderr.wait_for("the panic's message", |line| line.contains("told to panic").then_some(()));
}

/// An answer that comes before the request's end resets the stream, and a thousand resets end a connection.
#[test]
fn early_answers_to_requests_with_bodies_do_not_use_a_connection_up() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for _ in 0..2_000 {
            assert_eq!(client.post("/", &[("x-do", "failure")], &[b'x'; 20_000]).status, 500, "{protocol:?}");
        }
        assert_eq!(client.post("/", &[], b"{}").status, 200, "{protocol:?}");
    }
}

#[test]
fn memory_stays_bounded_over_ten_thousand_hostile_calls() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "access_log: { to: off }");
    let address = gateway.address();
    let deeds = ["panic", "failure", "handles", "replies", "huge-reply", "write-then-panic", "huge-page", "names"];
    let rounds = |count: usize| {
        std::thread::scope(|scope| {
            for protocol in Protocol::ALL {
                scope.spawn(move || {
                    let mut client = Client::connect(address, protocol);
                    for round in 0..count {
                        let deed = deeds.iter().cycle().nth(round).unwrap();
                        let status = client.post("/", &[("x-do", deed)], b"{}").status;
                        assert_eq!(status, if *deed == "huge-page" { 200 } else { 500 }, "{deed}");
                    }
                    // Touches a memory of 16 MiB each.
                    for _ in 0..5 {
                        assert_eq!(client.get("/", &[("x-do", "grow")]).reason(), Some("policy-memory"));
                    }
                });
            }
        });
    };
    rounds(500);
    let (before, _) = gateway.process.resident_bytes();
    rounds(5_000);
    let (after, _) = gateway.process.resident_bytes();
    assert!(after < before + (48 << 20), "{} MiB before, {} MiB after", before >> 20, after >> 20);
}
