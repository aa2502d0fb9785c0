//! SIGTERM: what began is finished, what is new goes elsewhere, and then it ends.

use std::net::TcpStream;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use harness::{DEADLINE, Flags, Frame, FrameKind, Frames, Gateway, Origin, Outcome, Wire};

use super::gateway_to;

/// An origin whose paths `/stream` and `/slow` finish when they are told to.
fn held_origin() -> (mpsc::Sender<()>, mpsc::Receiver<()>, Origin) {
    let (go, gone) = mpsc::channel::<()>();
    let (held, is_held) = mpsc::channel();
    let gone = Mutex::new(gone);
    let origin = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            let is_stream = request.line.contains("/stream");
            if is_stream {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                conversation.send(format!("{head}9\r\ndata: 1\n\n\r\n"));
            }
            held.send(()).unwrap();
            gone.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            conversation.send(if is_stream {
                "9\r\ndata: 2\n\n\r\n0\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            });
        }
    });
    (go, is_held, origin)
}

fn wait_until_no_connection_is_accepted(gateway: &Gateway) {
    let until = Instant::now() + DEADLINE;
    while let Ok(socket) = TcpStream::connect(gateway.address()) {
        drop(socket);
        assert!(Instant::now() < until, "connections are still accepted");
    }
}

#[test]
fn what_began_before_sigterm_is_finished() {
    let (go, is_held, origin) = held_origin();
    let mut gateway = gateway_to(&origin.url(), "", "");
    let mut stream = Wire::connect(gateway.address());
    stream.send("GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(stream.read_head().unwrap().status, 200);
    assert_eq!(stream.chunk().as_deref(), Some(b"data: 1\n\n".as_slice()));
    is_held.recv_timeout(DEADLINE).unwrap();
    let mut slow = Wire::connect(gateway.address());
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    is_held.recv_timeout(DEADLINE).unwrap();
    let mut idle = Wire::connect(gateway.address());

    gateway.process.terminate();
    wait_until_no_connection_is_accepted(&gateway);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(stream.chunk().as_deref(), Some(b"data: 2\n\n".as_slice()));
    assert_eq!(stream.chunk(), None);
    let reply = slow.reply();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(slow.closes() && stream.closes() && idle.closes());
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn what_does_not_finish_is_cut_at_the_deadline() {
    let (_go, is_held, origin) = held_origin();
    let mut gateway = gateway_to(&origin.url(), "", "timeouts: { drain: 1s }");
    let mut stream = Wire::connect(gateway.address());
    stream.send("GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(stream.read_head().unwrap().status, 200);
    is_held.recv_timeout(DEADLINE).unwrap();
    gateway.process.terminate();
    let rest = String::from_utf8(stream.rest()).unwrap();
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    gateway.process.wait();
}

#[test]
fn a_request_that_crosses_the_end_on_its_way_is_answered() {
    let origin = Origin::ok();
    let mut gateway = gateway_to(&origin.url(), "", "timeouts: { drain_idle: 20s }");
    let get = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut used = Wire::connect(gateway.address());
    used.send(get);
    assert_eq!(used.reply().header("connection"), None);
    let mut fresh = Wire::connect(gateway.address());
    gateway.process.terminate();
    wait_until_no_connection_is_accepted(&gateway);
    for wire in [&mut used, &mut fresh] {
        wire.send(get);
        let reply = wire.reply();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
        assert!(wire.closes());
    }
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn http2_is_told_twice_and_what_comes_between_is_answered() {
    let (go, is_held, origin) = held_origin();
    let mut gateway = gateway_to(&origin.url(), "", "");
    let mut frames = Frames::connect(gateway.address(), &[]);
    let get = |stream| {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/slow")];
        Frame::headers(stream, Flags::END_STREAM, &fields)
    };
    assert!(frames.send(&[get(1)]));
    is_held.recv_timeout(DEADLINE).unwrap();
    gateway.process.terminate();
    let last_stream = |frame: &Frame| u32::from_be_bytes(frame.payload.get(..4).unwrap().try_into().unwrap());
    // RFC 9113 §6.8: the first one refuses nothing, and a PING tells when the client has it.
    let first = frames.find(|frame| frame.kind == FrameKind::GoAway).unwrap();
    assert_eq!((last_stream(&first), first.error_code()), ((1 << 31) - 1, Some(0)));
    let ping = frames.find(|frame| frame.kind == FrameKind::Ping).unwrap();
    assert!(frames.send(&[get(3), Frame::new(FrameKind::Ping, Flags::END_STREAM, 0, ping.payload)]));
    is_held.recv_timeout(DEADLINE).unwrap();
    let second = frames.find(|frame| frame.kind == FrameKind::GoAway).unwrap();
    assert_eq!((last_stream(&second), second.error_code()), (3, Some(0)));
    go.send(()).unwrap();
    go.send(()).unwrap();
    let mut outcomes = frames.outcomes(&[1, 3]);
    outcomes.sort_by_key(|(stream, _)| *stream);
    assert_eq!(outcomes, [(1, Outcome::Status(200)), (3, Outcome::Status(200))]);
    assert!(frames.end_within(DEADLINE).is_some());
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn a_tunnel_that_began_before_sigterm_is_finished() {
    let origin = super::upgrades::echoing_origin();
    let mut gateway = gateway_to(&origin.url(), "", "timeouts: { drain_idle: 10ms }");
    let mut wire = Wire::connect(gateway.address());
    wire.send(super::upgrades::HANDSHAKE);
    assert_eq!(wire.read_head().unwrap().status, 101);
    gateway.process.terminate();
    wait_until_no_connection_is_accepted(&gateway);
    for text in ["hello", "again", "world"] {
        wire.send(text);
        assert_eq!(wire.exactly(5), text.as_bytes());
    }
    assert!(wire.closes());
    drop(wire);
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let origin = Origin::ok();
    let mut gateway = gateway_to(&origin.url(), "", "timeouts: { drain: 300s }");
    let mut idle = Wire::connect(gateway.address());
    idle.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(idle.reply().status, 200);
    gateway.process.terminate();
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}
