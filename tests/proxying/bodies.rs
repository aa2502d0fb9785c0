//! Bodies are streamed: memory is bounded, and who does not take holds up who gives.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use harness::{DEADLINE, Gateway, Mock, Origin, Wire};

use super::gateway_to;

const LARGE: usize = 100 << 20;
/// What buffers of the kernel, on both sides, and of the gateway may hold together.
const HELD_MAX: usize = 48 << 20;
const RESIDENT_MAX: u64 = 64 << 20;
/// How long no progress is taken for none to come.
const STALL: Duration = Duration::from_secs(2);

fn mock_and_gateway() -> (Mock, Gateway) {
    let mock = Mock::start(&["--open"]);
    let gateway = gateway_to(&format!("http://{}", mock.address), "", "bounds: { body: 1GiB }");
    (mock, gateway)
}

#[test]
fn a_large_response_passes_in_bounded_memory() {
    let (_mock, gateway) = mock_and_gateway();
    let (before, _) = gateway.process.resident_bytes();
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("GET /bytes/{LARGE} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    assert_eq!(wire.read_head().unwrap().header("content-length"), Some(LARGE.to_string().as_str()));
    for _ in 0..LARGE >> 20 {
        assert_eq!(wire.exactly(1 << 20).len(), 1 << 20);
    }
    let (_, peak) = gateway.process.resident_bytes();
    assert!(peak - before < RESIDENT_MAX, "{} MiB", (peak - before) >> 20);
}

#[test]
fn a_large_request_passes_in_bounded_memory() {
    let (_mock, gateway) = mock_and_gateway();
    let (before, _) = gateway.process.resident_bytes();
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"100000\r\n", vec![b'x'; 1 << 20].as_slice(), b"\r\n"].concat();
    for _ in 0..LARGE >> 20 {
        wire.send(&chunk);
    }
    wire.send("0\r\n\r\n");
    let (_, peak) = gateway.process.resident_bytes();
    assert_eq!(wire.read_head().unwrap().status, 200);
    assert!(peak - before < RESIDENT_MAX, "{} MiB", (peak - before) >> 20);
}

#[test]
fn a_client_that_does_not_read_holds_up_the_upstream() {
    let (sent, received) = mpsc::channel();
    let origin = Origin::talking(move |conversation| {
        if conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"));
            let count = write_until_stalled(conversation.wire.socket(), LARGE);
            sent.send(count).unwrap();
            conversation.send(vec![b'x'; LARGE - count]);
            conversation.wire.closes();
        }
    });
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let count = received.recv_timeout(2 * DEADLINE).unwrap();
    assert!(count < HELD_MAX, "{} MiB were taken", count >> 20);
    assert_eq!(wire.reply().body.len(), LARGE);
}

#[test]
fn an_upstream_that_does_not_read_holds_up_the_client() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::talking(move |conversation| {
        if conversation.request_head().is_some() {
            gone.lock().unwrap().recv_timeout(2 * DEADLINE).unwrap();
            assert_eq!(conversation.wire.exactly(LARGE).len(), LARGE);
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            conversation.wire.closes();
        }
    });
    let gateway = gateway_to(&origin.url(), "", "bounds: { body: 1GiB }");
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LARGE}\r\n\r\n"));
    let count = write_until_stalled(wire.socket(), LARGE);
    assert!(count < HELD_MAX, "{} MiB were taken", count >> 20);
    go.send(()).unwrap();
    wire.send(vec![b'x'; LARGE - count]);
    assert_eq!(wire.reply().status, 200);
}

/// Writes until the peer takes nothing for a while, or all is written; how much that was.
fn write_until_stalled(mut socket: &std::net::TcpStream, count: usize) -> usize {
    socket.set_write_timeout(Some(STALL)).unwrap();
    let bytes = vec![b'x'; 64 << 10];
    let mut written = 0;
    while written < count {
        let piece = bytes.get(..bytes.len().min(count - written)).unwrap();
        match socket.write(piece) {
            Ok(more) => written += more,
            Err(_) => break,
        }
    }
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    written
}

#[test]
fn a_response_may_come_before_the_request_ends() {
    let origin = Origin::talking(|conversation| {
        if conversation.request_head().is_some() {
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
            conversation.wire.closes();
        }
    });
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nbeginning");
    assert_eq!(wire.reply().text(), "early");
}

#[test]
fn a_client_that_ends_amid_its_body_completes_nothing_upstream() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "");
    for framing in ["Content-Length: 1000\r\n\r\nbeginning", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{framing}"));
        wire.end();
        let mut rest = Vec::new();
        assert!(wire.socket().read_to_end(&mut rest).is_ok() || rest.is_empty());
        assert_eq!(origin.take().requests.len(), 0, "{framing}");
    }
}
