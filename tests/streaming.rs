//! Server-sent events through the gateway: each at once, cancelled at once, never ended falsely.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use harness::{DEADLINE, Flags, Frame, FrameKind, Frames, Gateway, Mock, Origin, Wire};

fn gateway_to(url: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {url:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n"
    ))
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// An origin that sends an event each time it is told its text, and ends the stream when there is nobody to tell it.
fn paced_origin() -> (mpsc::Sender<&'static str>, Origin) {
    let (tell, told) = mpsc::channel::<&'static str>();
    let told = Mutex::new(told);
    let origin = Origin::talking(move |conversation| {
        let told = told.lock().unwrap_or_else(PoisonError::into_inner);
        while conversation.request().is_some() {
            conversation.send(HEAD);
            for text in told.iter() {
                conversation.send(chunk(text));
            }
            conversation.send("0\r\n\r\n");
        }
    });
    (tell, origin)
}

#[test]
fn each_event_arrives_before_the_next_one_is_sent() {
    let (tell, origin) = paced_origin();
    let gateway = gateway_to(&origin.url());
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = wire.read_head().unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    for text in ["data: one\n\n", ": comment\r\nid: 2\r\ndata: \u{4e8c}\r\n\r\n", "data: half ", "an event\n\n"] {
        tell.send(text).unwrap();
        let mut arrived = Vec::new();
        while arrived.len() < text.len() {
            arrived.extend(wire.chunk().unwrap());
        }
        assert_eq!(String::from_utf8(arrived).unwrap(), text);
    }
    drop(tell);
    assert_eq!(wire.chunk(), None);
}

#[test]
fn each_event_arrives_at_once_over_http2() {
    let (tell, origin) = paced_origin();
    let gateway = gateway_to(&origin.url());
    let mut frames = Frames::connect(gateway.address(), &[]);
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/events")];
    assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &fields)]));
    for text in ["data: one\n\n", "data: two\n\n"] {
        tell.send(text).unwrap();
        let data = frames.find(|frame| frame.kind == FrameKind::Data).unwrap();
        assert_eq!(String::from_utf8_lossy(&data.payload), text);
    }
    drop(tell);
    let last = frames.find(|frame| frame.kind == FrameKind::Data).unwrap();
    assert_eq!((last.payload.len(), last.flags & Flags::END_STREAM), (0, Flags::END_STREAM));
}

/// The places where a client may go away.
const WINDOWS: [&str; 3] = ["/before-headers", "/mid-stream", "/mid-body"];

/// An origin that stops at the place the path names, and reports when its client is gone.
fn stopping_origin() -> (mpsc::Receiver<bool>, mpsc::Receiver<()>, Origin) {
    let (gone, is_gone) = mpsc::channel();
    let (stop, has_stopped) = mpsc::channel();
    let origin = Origin::talking(move |conversation| {
        let Some(request) = conversation.request() else {
            return;
        };
        if request.line.contains("/mid-stream") {
            conversation.send(format!("{HEAD}{}", chunk("data: one\n\n")));
        } else if request.line.contains("/mid-body") {
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        }
        stop.send(()).unwrap();
        gone.send(conversation.wire.closes()).unwrap();
    });
    (is_gone, has_stopped, origin)
}

#[test]
fn a_client_that_leaves_ends_the_upstream_request_in_every_window() {
    let (is_gone, has_stopped, origin) = stopping_origin();
    let gateway = gateway_to(&origin.url());
    for window in WINDOWS {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET {window} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        if window != "/before-headers" {
            assert_eq!(wire.read_head().unwrap().status, 200, "{window}");
        }
        has_stopped.recv_timeout(DEADLINE).unwrap();
        drop(wire);
        assert!(is_gone.recv_timeout(2 * DEADLINE).unwrap(), "{window}");
    }
}

#[test]
fn a_reset_stream_ends_the_upstream_request_in_every_window() {
    let (is_gone, has_stopped, origin) = stopping_origin();
    let gateway = gateway_to(&origin.url());
    let mut frames = Frames::connect(gateway.address(), &[]);
    for (window, stream) in WINDOWS.into_iter().zip([1, 3, 5]) {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", window)];
        assert!(frames.send(&[Frame::headers(stream, Flags::END_STREAM, &fields)]));
        has_stopped.recv_timeout(DEADLINE).unwrap();
        assert!(frames.send(&[Frame::new(FrameKind::Reset, Flags::NONE, stream, 8_u32.to_be_bytes())]));
        assert!(is_gone.recv_timeout(2 * DEADLINE).unwrap(), "{window}");
    }
}

#[test]
fn a_client_that_leaves_is_seen_by_the_mock() {
    let mock = Mock::start(&["--open"]);
    let gateway = gateway_to(&format!("http://{}", mock.address));
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /sse?count=1000 HTTP/1.1\r\nHost: a.test\r\nx-mock-interval-ms: 60000\r\n\r\n");
    assert_eq!(wire.read_head().unwrap().status, 200);
    assert!(wire.chunk().is_some());
    drop(wire);
    assert_eq!(mock.requests(1), serde_json::json!({ "received": 1, "completed": 0, "aborted": 1 }));
}

#[test]
fn a_cut_stream_is_not_ended_as_if_it_were_whole() {
    let mock = Mock::start(&["--open"]);
    let gateway = gateway_to(&format!("http://{}", mock.address));
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /sse?count=5 HTTP/1.1\r\nHost: a.test\r\nx-mock-cut-after: 2\r\n\r\n");
    let text = String::from_utf8(wire.rest()).unwrap();
    assert!(text.contains("{\"number\":1}") && !text.contains("{\"number\":2}"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    let mut frames = Frames::connect(gateway.address(), &[]);
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/sse?count=5"),
        ("x-mock-cut-after", "2"),
    ];
    assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &fields)]));
    let is_end = |frame: &Frame| {
        frame.kind == FrameKind::Reset || frame.kind == FrameKind::Data && frame.flags & Flags::END_STREAM != 0
    };
    assert_eq!(frames.find(is_end).map(|frame| frame.kind), Some(FrameKind::Reset));
}

#[test]
fn events_cut_at_every_odd_place_arrive_byte_for_byte() {
    let mock = Mock::start(&["--open"]);
    let gateway = gateway_to(&format!("http://{}", mock.address));
    let ask = |address, split: &str| {
        let mut wire = Wire::connect(address);
        wire.send(format!("GET /sse?count=16 HTTP/1.1\r\nHost: a.test\r\n{split}\r\n"));
        wire.reply().text()
    };
    let whole = ask(mock.address, "");
    assert_eq!(ask(gateway.address(), "x-mock-split: 1\r\n"), whole);
    assert_eq!(ask(gateway.address(), "x-mock-split: 2\r\n"), whole);
}
