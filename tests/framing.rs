//! HTTP/1.1 byte for byte: what is ambiguous is refused, what is not passes unchanged.

mod ambiguous;

use harness::{Gateway, Origin, Wire};

use ambiguous::Case;

fn gateway_to(origin: &Origin) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ))
}

/// Sends each case on a connection of its own; gives what is not as it should be.
fn faults(gateway: &Gateway, cases: &[Case]) -> Vec<String> {
    let mut faults = Vec::new();
    for case in cases {
        let mut wire = Wire::connect(gateway.address());
        wire.send(&case.bytes);
        match wire.reply_or_close() {
            Some(reply) if !case.statuses.contains(&reply.status) => {
                faults.push(format!("{}: {} instead of {:?}", case.name, reply.status, case.statuses));
            }
            Some(reply) if reply.reason().is_none() => faults.push(format!("{}: no reason code", case.name)),
            Some(_) => {}
            None => faults.push(format!("{}: closed without an answer", case.name)),
        }
        if !wire.closes() {
            faults.push(format!("{}: the connection stays open", case.name));
        }
    }
    faults
}

#[test]
fn ambiguous_messages_forwarded_0() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let cases = ambiguous::heads();
    assert!(cases.len() >= 64, "{}", cases.len());
    let mut forwarded = Vec::new();
    for case in &cases {
        let mut wire = Wire::connect(gateway.address());
        wire.send(&case.bytes);
        assert!(wire.closes(), "{} stays open", case.name);
        let bytes = origin.take().bytes;
        if !bytes.is_empty() {
            forwarded.push(format!("{}: {:?}", case.name, String::from_utf8_lossy(&bytes)));
        }
    }
    assert!(forwarded.is_empty(), "{} of {}:\n{}", forwarded.len(), cases.len(), forwarded.join("\n"));
}

#[test]
fn an_ambiguous_message_gets_an_answer_with_a_reason_and_ends_the_connection() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let faults = faults(&gateway, &ambiguous::heads());
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_body_with_broken_chunks_is_refused_and_never_completed_upstream() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let cases = ambiguous::chunks();
    for case in &cases {
        let mut wire = Wire::connect(gateway.address());
        wire.send(&case.bytes);
        let reply = wire.reply();
        assert!(case.statuses.contains(&reply.status), "{}: {}", case.name, reply.status);
        assert!(wire.closes(), "{}", case.name);
    }
    assert_eq!(origin.take().requests.len(), 0);
}

#[test]
fn a_length_with_leading_zeros_is_refused_or_sent_on_plain() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    for fields in ["Content-Length: 005", "Content-Length: 5\r\nContent-Length: 5"] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\nhello"));
        let reply = wire.reply();
        let seen = origin.take();
        match reply.status {
            400 => assert!(seen.bytes.is_empty(), "{fields}"),
            status => {
                assert_eq!((status, seen.requests.len()), (200, 1), "{fields}");
                assert!(
                    seen.requests.iter().all(|request| request.values("content-length") == ["5"]),
                    "{fields}: {seen:?}"
                );
            }
        }
    }
}

#[test]
fn a_field_that_looks_like_transfer_encoding_is_never_sent_on_nor_obeyed() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n");
    let reply = wire.reply();
    let seen = origin.take();
    if reply.status == 400 {
        assert!(seen.bytes.is_empty());
    } else {
        let request = seen.requests.first().unwrap();
        assert_eq!(request.body, b"0\r\n\r\n");
        assert!(request.values("transfer_encoding").is_empty(), "{request:?}");
    }
}

#[test]
fn a_chunked_body_with_extensions_arrives_whole() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n");
    wire.send("5;a=b;c=\"d\"\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n");
    assert_eq!(wire.reply().status, 200);
    let seen = origin.take();
    let request = seen.requests.first().unwrap();
    assert_eq!(String::from_utf8_lossy(&request.body), "hello world");
    assert_eq!(request.values("content-length").len() + request.values("transfer-encoding").len(), 1);
    wire.send("GET /two HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(wire.reply().status, 200);
}

#[test]
fn trailers_pass_but_for_those_that_would_decide_something() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n5\r\nhello\r\n0\r\n");
    wire.send("Authorization: Bearer x\r\nContent-Length: 9\r\nX-Forwarded-For: 1.2.3.4\r\ngrpc-status: 0\r\n\r\n");
    assert_eq!(wire.reply().status, 200);
    let seen = origin.take();
    let request = seen.requests.first().unwrap();
    assert_eq!(request.body, b"hello");
    assert!(
        request.trailers.iter().any(|(name, value)| name.eq_ignore_ascii_case("grpc-status") && value == "0"),
        "{request:?}"
    );
    for name in ["authorization", "content-length", "x-forwarded-for"] {
        assert!(!request.trailers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)), "{name} in {request:?}");
    }
    let text = String::from_utf8_lossy(&seen.bytes).to_lowercase();
    assert!(!text.contains("bearer x") && !text.contains("1.2.3.4"), "{text}");
}

#[test]
fn trailers_of_a_response_pass_to_a_client_that_wants_them() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send(concat!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, set-cookie\r\n\r\n",
                "5\r\nhello\r\n0\r\nx-sum: 7\r\nset-cookie: a=b\r\n\r\n",
            ));
        }
    });
    let gateway = gateway_to(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    let reply = wire.reply();
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(reply.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            let path = request.line.split(' ').nth(1).unwrap().to_owned();
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let gateway = gateway_to(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send(concat!(
        "GET /one HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
        "GET /two HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST /three HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET /four HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ));
    let replies = [wire.reply(), wire.reply(), wire.reply(), wire.reply()].map(|reply| reply.text());
    assert_eq!(replies, ["/one", "/two", "/three", "/four"]);
    assert_eq!(origin.take().requests.len(), 4);
}

#[test]
fn an_early_answer_never_turns_the_unread_body_into_a_request() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&format!(
        "bounds: {{ body: 1KiB }}\nupstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\n\
         routes: [{{ name: all, match: {{ path: {{ prefix: /p }} }}, upstream: origin }}, \
                  {{ name: smuggled, match: {{ path: {{ prefix: /smuggled }} }}, upstream: origin }}]\n",
        origin.url()
    ));
    let body = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(1 << 14);
    for (path, status) in [("/nowhere", 404), ("/p", 413)] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len()));
        assert_eq!(wire.reply().status, status);
        wire.send(&body);
        wire.send("GET /p HTTP/1.1\r\nHost: a.test\r\n\r\n");
        wire.end();
        assert!(wire.closes());
    }
    let seen = origin.take();
    assert!(!String::from_utf8_lossy(&seen.bytes).contains("/smuggled"), "{seen:?}");
}

#[test]
fn expect_100_continue_is_answered_here_and_not_sent_on() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(wire.reply().status, 100);
    wire.send("hello");
    assert_eq!(wire.reply().status, 200);
    // Without a body there is nothing to continue, and the next request is one.
    wire.send(
        "GET /two HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n\r\nGET /three HTTP/1.1\r\nHost: a.test\r\n\r\n",
    );
    let finals = std::iter::from_fn(|| Some(wire.reply().status)).filter(|status| *status != 100).take(2);
    assert_eq!(finals.collect::<Vec<_>>(), [200, 200]);
    let seen = origin.take();
    assert_eq!(seen.requests.len(), 3);
    assert!(seen.requests.iter().all(|request| request.values("expect").is_empty()), "{seen:?}");
}

#[test]
fn too_much_of_a_head_is_refused_and_just_enough_passes() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let fields = |count: usize| (0..count).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let long = |length: usize| format!("x: {}\r\n", "y".repeat(length));
    let uri = |length: usize| format!("/{}", "u".repeat(length - 1));
    let cases = [
        ("300 fields", "/x".to_owned(), fields(300), 431),
        ("101 fields", "/x".to_owned(), fields(100), 431),
        ("100 fields", "/x".to_owned(), fields(99), 200),
        ("a field of 100 KB", "/x".to_owned(), long(100_000), 431),
        ("a field of 33 KB", "/x".to_owned(), long(33 << 10), 431),
        ("a field of 30 KB", "/x".to_owned(), long(30 << 10), 200),
        ("a target of 100 KB", uri(100_000), String::new(), 414),
        ("a target of 8 KiB and 1", uri((8 << 10) + 1), String::new(), 414),
        ("a target of 8 KiB", uri(8 << 10), String::new(), 200),
    ];
    for (name, uri, fields, status) in cases {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET {uri} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
        let reply = wire.reply();
        assert_eq!(reply.status, status, "{name}");
        assert_eq!(origin.take().requests.len(), usize::from(status == 200), "{name}");
        assert!(status == 200 || wire.closes(), "{name}");
    }
}

#[test]
fn an_upgrade_that_is_not_granted_opens_no_tunnel() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    for fields in ["Upgrade: foo", "Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET /one HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n{fields}\r\n\r\n"));
        wire.send("GET /two HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let statuses = [wire.reply().status, wire.reply().status];
        assert!(!statuses.contains(&101), "{fields}: {statuses:?}");
        let seen = origin.take();
        assert_eq!(seen.requests.len(), statuses.iter().filter(|status| **status == 200).count(), "{fields}");
        assert!(seen.requests.iter().all(|request| request.values("upgrade").is_empty()), "{fields}: {seen:?}");
    }
}
