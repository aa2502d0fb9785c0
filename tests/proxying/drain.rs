//! SIGTERM: what began is finished, what is new goes elsewhere, and then it ends.

use std::net::TcpStream;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use harness::{DEADLINE, Gateway, Origin, Wire};

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
