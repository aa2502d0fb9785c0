//! What a client may use: just enough passes, one more does not.

use harness::{Gateway, Origin, Wire};

use super::gateway_to;

#[test]
fn a_body_at_the_bound_passes_and_one_byte_more_is_refused() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&format!(
        "bounds: {{ body: 1KiB }}\nupstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\n\
         routes: [{{ name: all, upstream: origin }}, \
                  {{ name: own, match: {{ path: {{ prefix: /own }} }}, upstream: origin, body: 2KiB }}]\n",
        origin.url()
    ));
    for (path, max) in [("/x", 1024), ("/own", 2048)] {
        for (length, status) in [(max, 200), (max + 1, 413)] {
            let body = "x".repeat(length);
            let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
            for framed in [format!("Content-Length: {length}\r\n\r\n{body}"), chunked] {
                let mut wire = Wire::connect(gateway.address());
                wire.send(format!("POST {path} HTTP/1.1\r\nHost: a.test\r\n{framed}"));
                let reply = wire.reply();
                assert_eq!(reply.status, status, "{path} {length}");
                assert!(status == 200 || reply.reason() == Some("body-too-large"), "{reply:?}");
                assert_eq!(origin.take().requests.len(), usize::from(status == 200), "{path} {length}");
            }
        }
    }
}

#[test]
fn connections_past_the_bound_are_closed_and_room_is_made_again() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "bounds: { connections: 4 }");
    let ask = |wire: &mut Wire| {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        wire.reply_or_close().map_or(0, |reply| reply.status)
    };
    // At the bound a connection is not kept alive after its answer: what holds these four is a request under way.
    let mut wires: Vec<Wire> = (0..4).map(|_| Wire::connect(gateway.address())).collect();
    for wire in &mut wires {
        wire.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n1");
    }
    origin.wait_until("four requests", |recording| {
        recording.bytes.windows(4).filter(|bytes| bytes == b"POST").count() == wires.len()
    });
    assert!(matches!(ask(&mut Wire::connect(gateway.address())), 0 | 503));
    for wire in &mut wires {
        wire.send("2");
        assert_eq!(wire.reply().status, 200);
    }
    drop(wires);
    // The ends of the four connections are noticed soon, not at once.
    let until = std::time::Instant::now() + harness::DEADLINE;
    while ask(&mut Wire::connect(gateway.address())) != 200 {
        assert!(std::time::Instant::now() < until, "no room is made");
    }
}

#[test]
fn a_method_that_asks_for_a_tunnel_is_not_allowed() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    let reply = wire.reply();
    assert_eq!((reply.status, reply.reason()), (405, Some("method-not-allowed")));
    assert!(origin.take().bytes.is_empty());
}
