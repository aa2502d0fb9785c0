//! Everything ends: each wait by its own timer.

use std::sync::mpsc;

use harness::{Authority, DEADLINE, Gateway, Origin, Wire, http_get};

use super::gateway_to;

#[test]
fn a_client_that_is_slow_is_ended_by_the_timer_of_what_it_does_not_do() {
    let origin = Origin::ok();
    let timeouts = "timeouts: { first_byte: 1s, headers: 1s, body_idle: 1s, keep_alive: 1s }";
    let gateway = gateway_to(&origin.url(), "", timeouts);
    let cases = [
        ("says nothing", "", vec![]),
        ("stops in its first line", "GET /x HT", vec![0, 408]),
        ("stops in its headers", "GET /x HTTP/1.1\r\nHost: a.test\r\nA: ", vec![0, 408]),
        ("stops in the preface of HTTP/2", "PRI * HTTP/2.0\r\n", vec![0, 400, 408]),
        ("stops in its body", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello", vec![408]),
        (
            "stops in a chunk",
            "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
            vec![408],
        ),
        ("sends no second request", "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", vec![200]),
    ];
    for (name, bytes, statuses) in cases {
        let mut wire = Wire::connect(gateway.address());
        wire.send(bytes);
        if !statuses.is_empty() {
            let status = wire.reply_or_close().map_or(0, |reply| reply.status);
            assert!(statuses.contains(&status), "{name}: {status}");
        }
        assert!(wire.closes(), "{name}: stays open");
    }
    assert_eq!(http_get(gateway.address(), "/x").status, 200);
}

#[test]
fn a_client_that_takes_nothing_is_ended_and_its_upstream_freed() {
    let (freed, is_freed) = mpsc::channel();
    let origin = Origin::talking(move |conversation| {
        if conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 50 << 20));
            conversation.send(vec![b'x'; 50 << 20]);
            freed.send(conversation.wire.closes()).unwrap();
        }
    });
    let gateway = gateway_to(&origin.url(), "", "timeouts: { write_stall: 1s }");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(is_freed.recv_timeout(2 * DEADLINE).unwrap());
    drop(wire);
}

/// The status and reason of a request to an upstream that behaves so.
fn through(
    talk: impl Fn(&mut harness::Conversation) + Send + Sync + 'static,
    upstream: &str,
    more: &str,
) -> (u16, String) {
    let origin = Origin::talking(talk);
    let gateway = gateway_to(&origin.url(), upstream, more);
    let reply = http_get(gateway.address(), "/x");
    (reply.status, reply.reason().unwrap_or_default().to_owned())
}

#[test]
fn an_upstream_that_says_nothing_is_given_up() {
    let silent = |conversation: &mut harness::Conversation| {
        conversation.request();
        conversation.wire.closes();
    };
    let expected = (504, "upstream-timeout".to_owned());
    assert_eq!(through(silent, ", timeouts: { first_byte: 1s }", ""), expected);
    assert_eq!(through(silent, "", "timeouts: { total: 1s }").0, 504);
}

#[test]
fn a_response_that_stops_is_cut_and_not_completed() {
    let chunked = ("transfer-encoding: chunked\r\n\r\n", "4\r\nhalf\r\n");
    let declared = ("content-length: 100\r\n\r\n", "half");
    let stream = ("content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\nhalf\r\n");
    let cases = [
        (", timeouts: { idle: 1s }", "", chunked),
        (", timeouts: { idle: 1s }", "", declared),
        ("", "timeouts: { total: 1s }", declared),
        ("", "timeouts: { total: 1s }", chunked),
        ("", "timeouts: { stream_total: 1s }", stream),
    ];
    for (upstream, more, (framing, half)) in cases {
        let origin = Origin::talking(move |conversation| {
            if conversation.request().is_some() {
                conversation.send(format!("HTTP/1.1 200 OK\r\n{framing}{half}"));
                conversation.wire.closes();
            }
        });
        let gateway = gateway_to(&origin.url(), upstream, more);
        let mut wire = Wire::connect(gateway.address());
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(wire.read_head().unwrap().status, 200);
        let rest = String::from_utf8(wire.rest()).unwrap();
        assert_eq!(rest, half, "{upstream}{more}");
    }
}

#[test]
fn an_upstream_whose_handshake_never_ends_is_given_up() {
    let origin = Origin::talking(|conversation| assert!(conversation.wire.closes()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), Authority::new("ours").pem()).unwrap();
    let gateway = Gateway::start_in(
        folder,
        &format!(
            "upstreams: {{ origin: {{ endpoints: [{{ url: \"https://{}\" }}], tls: {{ ca: ca.pem }}, timeouts: {{ connect: 1s }} }} }}\n\
         routes: [{{ name: all, upstream: origin }}]\n",
            origin.address
        ),
    );
    let reply = http_get(gateway.address(), "/x");
    assert!(matches!(reply.status, 502 | 504), "{reply:?}");
}

#[test]
fn a_stream_outlives_the_timer_of_whole_responses() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::talking(move |conversation| {
        if conversation.request().is_some() {
            conversation
                .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
            gone.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            conversation.send("9\r\ndata: x\n\n\r\n0\r\n\r\n");
            conversation.wire.closes();
        }
    });
    let gateway = gateway_to(&origin.url(), "", "timeouts: { total: 1s, headers: 2s }");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(wire.read_head().unwrap().status, 200);
    // The clock: a connection whose own timer is longer than `total`.
    let mut clock = Wire::connect(gateway.address());
    clock.send("GET");
    assert!(clock.closes());
    go.send(()).unwrap();
    assert_eq!(wire.chunk().as_deref(), Some(b"data: x\n\n".as_slice()));
    assert_eq!(wire.chunk(), None);
}
