//! Who is asking: what a client says of itself in headers that only proxies may write reaches no upstream.

use harness::{Flags, Frame, FrameKind, Frames, Gateway, Origin, Outcome, Wire};

use super::gateway_to;

/// Headers by which proxies tell who is asking.
const NAMES: [&str; 20] = [
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-user",
    "x-forwarded-email",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-ssl-client-cert",
    "ssl-client-subject-dn",
    "x-gw-tenant",
    "x-gatewright-principal",
    "x-envoy-external-address",
    "x-request-id",
];

const CANARY: &str = "spoofed";

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at_checked(1).unwrap();
    first.to_uppercase() + rest
}

/// Heads that carry a name with the canary, each in another guise.
fn heads(name: &str) -> Vec<String> {
    let capitals: Vec<String> = name.split('-').map(capital).collect();
    let folded = name.replace('-', "_");
    let first = name.replacen('-', "_", 1);
    let shout = name.to_uppercase();
    let fields = [
        format!("{name}: {CANARY}\r\n"),
        format!("{}: {CANARY}\r\n", capitals.join("-")),
        format!("{shout}: {CANARY}\r\n"),
        format!("{folded}: {CANARY}\r\n"),
        format!("{first}: {CANARY}\r\n"),
        format!("{}: {CANARY}\r\n", folded.to_uppercase()),
        format!("{name}: a\r\n{name}: {CANARY}\r\n"),
        format!("{name}: \t {CANARY} \r\n"),
        format!("{name} : {CANARY}\r\n"),
        format!("{name}: a\r\n {CANARY}\r\n"),
        format!("connection: {name}\r\n{name}: {CANARY}\r\n"),
        format!("connection: close, {folded}\r\n{folded}: {CANARY}\r\n"),
        format!("te: trailers\r\ntrailer: {name}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{name}: {CANARY}\r\n"),
        format!("transfer-encoding: chunked\r\n\r\n0\r\n{folded}: {CANARY}\r\n"),
    ];
    fields.into_iter().map(|fields| format!("POST /x HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")).collect()
}

/// Asks in plain words, to know that what came before is over.
fn ask_plainly(gateway: &Gateway) {
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.reply().status, 200);
}

#[test]
fn what_only_a_proxy_may_say_reaches_no_upstream() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "");
    let mut variants = 0;
    for name in NAMES {
        for head in heads(name) {
            let mut wire = Wire::connect(gateway.address());
            wire.send(&head);
            let status = wire.reply().status;
            assert!(matches!(status, 200 | 400), "{status} to {head:?}");
            variants += 1;
            let seen = String::from_utf8_lossy(&origin.take().bytes).into_owned();
            assert!(!seen.to_lowercase().contains(CANARY), "{head:?} became {seen:?}");
        }
    }
    assert!(variants >= 60, "{variants}");
    ask_plainly(&gateway);
}

#[test]
fn nor_by_http2() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "");
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")];
    let mut variants = 0;
    for name in NAMES {
        let folded = name.replace('-', "_");
        for (field, count) in [(name, 1), (name, 2), (folded.as_str(), 1)] {
            for trailing in [false, true] {
                let mut frames = Frames::connect(gateway.address(), &[]);
                let spoofs = vec![(field, CANARY); count];
                let sent = if trailing {
                    let end = Flags::END_HEADERS | Flags::END_STREAM;
                    let trailers = Frame::new(FrameKind::Headers, end, 1, harness::header_block(&spoofs));
                    frames.send(&[Frame::headers(1, Flags::NONE, &pseudo), trailers])
                } else {
                    frames.send(&[Frame::headers(1, Flags::END_STREAM, &[&pseudo[..], &spoofs].concat())])
                };
                assert!(sent);
                let outcome = frames.outcomes(&[1]);
                assert_eq!(outcome, [(1, Outcome::Status(200))], "{field}, {trailing}");
                variants += 1;
                let seen = String::from_utf8_lossy(&origin.take().bytes).into_owned();
                assert!(!seen.to_lowercase().contains(CANARY), "{field} became {seen:?}");
            }
        }
    }
    assert!(variants >= 60, "{variants}");
}
