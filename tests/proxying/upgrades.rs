//! WebSocket: a tunnel only when both the route and the upstream say so.

use harness::{Gateway, Origin, Wire};

use super::gateway_to;

pub(crate) const HANDSHAKE: &str = concat!(
    "GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
);
pub(crate) const ACCEPTED: &str = concat!(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
);

/// Accepts, then sends back what comes, in pieces of five bytes.
pub(super) fn echoing_origin() -> Origin {
    Origin::talking(|conversation| {
        if conversation.request().is_some() {
            conversation.send(ACCEPTED);
            for _ in 0..3 {
                let bytes = conversation.wire.exactly(5);
                conversation.send(bytes);
            }
        }
    })
}

#[test]
fn bytes_pass_both_ways_once_the_upstream_agreed() {
    let origin = echoing_origin();
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send(HANDSHAKE);
    let reply = wire.read_head().unwrap();
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for text in ["hello", "\u{0}\u{1}\u{2}\u{3}\u{4}", "world"] {
        wire.send(text);
        assert_eq!(wire.exactly(5), text.as_bytes());
    }
    assert!(wire.closes());
}

#[test]
fn a_client_that_leaves_its_socket_ends_it_upstream() {
    let (gone, is_gone) = std::sync::mpsc::channel();
    let origin = Origin::talking(move |conversation| {
        if conversation.request().is_some() {
            conversation.send(ACCEPTED);
            gone.send(conversation.wire.closes()).unwrap();
        }
    });
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send(HANDSHAKE);
    assert_eq!(wire.read_head().unwrap().status, 101);
    drop(wire);
    assert!(is_gone.recv_timeout(2 * harness::DEADLINE).unwrap());
}

#[test]
fn an_upstream_that_does_not_agree_answers_as_always() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send(HANDSHAKE);
    assert_eq!(wire.reply().status, 200);
    wire.send("GET /two HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(wire.reply_or_close().map_or(200, |reply| reply.status), 200);
    let smuggled = origin.take().requests.iter().filter(|request| !request.line.starts_with("GET /")).count();
    assert_eq!(smuggled, 0);
}

#[test]
fn a_route_without_the_permission_opens_no_socket() {
    let origin = echoing_origin();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ));
    let mut wire = Wire::connect(gateway.address());
    wire.send(HANDSHAKE);
    let reply = wire.reply_or_close();
    assert!(reply.is_none_or(|reply| reply.status != 101));
    let asked = origin.take().requests;
    assert!(asked.iter().all(|request| request.values("upgrade").is_empty()), "{asked:?}");
}
