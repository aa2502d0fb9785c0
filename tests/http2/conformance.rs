//! RFC 9113 section by section: what is an error of the connection, what of one stream, and what is none.
//!
//! Where the RFC names another code, `PROTOCOL_ERROR` is right as well: it is the one for what has no code that fits
//! better (RFC 9113 §7).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use harness::{DEADLINE, Flags, Frame, FrameKind, Frames, Gateway, Origin, Outcome, header_block};

use super::{gateway_to, get, post};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// What must come of some frames.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// GOAWAY with the code, and the end.
    Connection(u32),
    /// The stream is reset with the code, and the next stream is served.
    Stream(u32, u32),
    /// As `Stream`, or the connection ends with the code: the RFC has it either way.
    Either(u32, u32),
    /// The stream is answered 400 or reset, and the next one is served.
    Malformed(u32),
    /// The next stream is served.
    Nothing,
}
use Expected::{Connection, Either, Malformed, Nothing, Stream};

/// An origin that answers everything but `/held`.
fn holding() -> (mpsc::Sender<()>, Origin) {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            if request.line.contains("/held") {
                // Until the test is over.
                gone.lock().unwrap().recv_timeout(DEADLINE).unwrap_or_default();
            }
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    (go, origin)
}

/// The stream that asks whether the connection still serves.
const LAST: u32 = 1001;

fn outcome(gateway: &Gateway, frames: &[Frame], expected: Expected) -> Result<(), String> {
    let mut connection = Frames::connect(gateway.address(), &[]);
    assert!(connection.send(frames));
    let fits = |wanted: u32, code: u32| code == wanted || code == PROTOCOL;
    let next = |connection: &mut Frames| {
        let sent = connection.send(&[Frame::headers(LAST, Flags::END_STREAM, &get(&[]))]);
        let served = connection.outcomes(&[LAST]);
        let is_served = sent && served == [(LAST, Outcome::Status(200))];
        is_served.then_some(()).ok_or_else(|| format!("the next stream: {served:?}"))
    };
    match expected {
        Connection(wanted) => match connection.end_within(DEADLINE) {
            Some(Some(code)) if fits(wanted, code) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Nothing => next(&mut connection),
        Malformed(stream) => match connection.outcomes(&[stream]).as_slice() {
            [(_, Outcome::Status(400) | Outcome::Reset(PROTOCOL))] => next(&mut connection),
            other => Err(format!("{other:?}")),
        },
        Stream(stream, wanted) | Either(stream, wanted) => {
            let frame = connection.find(|frame| {
                frame.kind == FrameKind::GoAway || (frame.kind == FrameKind::Reset && frame.stream == stream)
            });
            let code = frame.as_ref().and_then(Frame::error_code);
            match frame {
                Some(frame) if frame.kind == FrameKind::Reset && code.is_some_and(|code| fits(wanted, code)) => {
                    next(&mut connection)
                }
                Some(_) if matches!(expected, Either(..)) && code.is_some_and(|code| fits(wanted, code)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    }
}

fn check(cases: Vec<(&str, Vec<Frame>, Expected)>) {
    let mut faults = Vec::new();
    let count = cases.len();
    for (name, frames, expected) in cases {
        let (_go, origin) = holding();
        let gateway = gateway_to(&origin, "bounds: { streams: 20 }");
        if let Err(error) = outcome(&gateway, &frames, expected) {
            faults.push(format!("{name}: {expected:?}, not {error}"));
        }
    }
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
}

fn frame(kind: FrameKind, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(kind, flags, stream, payload)
}

fn settings(name: u16, value: u32) -> Frame {
    frame(FrameKind::Settings, 0, 0, [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A GET that is never answered.
fn held(stream: u32) -> Frame {
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/held")];
    Frame::headers(stream, Flags::END_STREAM, &fields)
}

/// A POST whose body is to come.
fn open(stream: u32) -> Frame {
    Frame::headers(stream, Flags::NONE, &post(&[]))
}

/// A GET whose block ends elsewhere.
fn begun(stream: u32) -> Frame {
    frame(FrameKind::Headers, Flags::END_STREAM, stream, header_block(&get(&[])))
}

const HEADERS_END: u8 = Flags::END_HEADERS | Flags::END_STREAM;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

#[test]
fn frames_have_their_sizes_and_blocks_their_order() {
    use FrameKind::{Continuation, Data, Headers, Ping, Priority, Unknown};
    let after = |first: Frame, second: Frame| vec![first, second];
    let more = |flags| frame(Continuation, flags, 1, header_block(&[("x", "y")]));
    check(vec![
        ("4.1 an unknown type", vec![frame(Unknown, 0, 0, [0; 8])], Nothing),
        ("4.1 unknown flags", vec![frame(Ping, 0x16, 0, [0; 8])], Nothing),
        ("4.1 the reserved bit", vec![frame(Ping, 0, 1 << 31, [0; 8])], Nothing),
        ("4.2 DATA of 2^14", after(open(1), Frame::data(1, Flags::END_STREAM, &[b'x'; 16384])), Nothing),
        ("4.2 DATA beyond", after(open(1), Frame::data(1, Flags::END_STREAM, &[b'x'; 16385])), Either(1, FRAME_SIZE)),
        ("4.2 HEADERS beyond", vec![frame(Headers, HEADERS_END, 1, vec![0; 16385])], Connection(FRAME_SIZE)),
        ("4.3 a broken block", vec![frame(Headers, HEADERS_END, 1, [0x40, 0x85])], Connection(COMPRESSION)),
        ("4.3 an index that there is not", vec![frame(Headers, HEADERS_END, 1, [0xff, 0x20])], Connection(COMPRESSION)),
        ("4.3 PRIORITY in a block", after(begun(1), frame(Priority, 0, 1, [0, 0, 0, 3, 1])), Connection(PROTOCOL)),
        ("4.3 another stream in a block", after(begun(1), Frame::headers(3, 1, &get(&[]))), Connection(PROTOCOL)),
        ("5.5 an unknown type in a block", after(begun(1), frame(Unknown, 0, 0, [0; 8])), Connection(PROTOCOL)),
        ("6.2 HEADERS of stream 0", vec![Frame::headers(0, 1, &get(&[]))], Connection(PROTOCOL)),
        ("6.2 padding beyond", vec![frame(Headers, HEADERS_END | PADDED, 1, [9, 0x82, 0x86])], Connection(PROTOCOL)),
        ("6.10 two CONTINUATION", vec![begun(1), more(0), more(Flags::END_HEADERS)], Nothing),
        ("6.10 CONTINUATION after the end", vec![begun(1), more(Flags::END_HEADERS), more(0)], Connection(PROTOCOL)),
        ("6.10 CONTINUATION after HEADERS", after(held(1), more(Flags::END_HEADERS)), Connection(PROTOCOL)),
        ("6.10 CONTINUATION after DATA", vec![open(1), Frame::data(1, 0, b"x"), more(4)], Connection(PROTOCOL)),
        ("6.10 of stream 0", after(begun(1), frame(Continuation, 4, 0, [])), Connection(PROTOCOL)),
        ("6.10 of another stream", after(begun(1), frame(Continuation, 4, 3, [])), Connection(PROTOCOL)),
        ("6.1 DATA of stream 0", vec![frame(Data, 0, 0, [0; 8])], Connection(PROTOCOL)),
        ("6.1 padding beyond", after(open(1), frame(Data, PADDED, 1, [9, 0, 0])), Connection(PROTOCOL)),
        ("6.1 padding", after(open(1), frame(Data, PADDED | 1, 1, [2, b'x', 0, 0])), Nothing),
    ]);
}

#[test]
fn streams_have_their_states_and_numbers() {
    use FrameKind::{Continuation, Data, Headers, Priority, Reset, WindowUpdate};
    let data = |stream| Frame::data(stream, Flags::END_STREAM, b"x");
    let one = [0, 0, 0, 1];
    let reset = frame(Reset, 0, 1, 8_u32.to_be_bytes());
    // One that is over makes room for the last.
    let many = (0..21).map(|number| held(2 * number + 1)).chain([reset.clone()]).collect::<Vec<_>>();
    let depends = |stream: u32| [&stream.to_be_bytes()[..], &[15]].concat();
    let prior = [depends(1), header_block(&get(&[]))].concat();
    check(vec![
        ("5.1 idle: DATA", vec![data(1)], Connection(PROTOCOL)),
        ("5.1 idle: RST_STREAM", vec![reset.clone()], Connection(PROTOCOL)),
        ("5.1 idle: WINDOW_UPDATE", vec![frame(WindowUpdate, 0, 1, one)], Connection(PROTOCOL)),
        ("5.1 idle: CONTINUATION", vec![frame(Continuation, 4, 1, [])], Connection(PROTOCOL)),
        ("5.1 idle: PRIORITY", vec![frame(Priority, 0, 3, [0, 0, 0, 1, 1])], Nothing),
        ("5.1 half-closed: DATA", vec![held(1), data(1)], Either(1, CLOSED)),
        ("5.1 half-closed: HEADERS", vec![held(1), held(1)], Either(1, CLOSED)),
        ("5.1 half-closed: CONTINUATION", vec![held(1), frame(Continuation, 4, 1, [])], Connection(PROTOCOL)),
        ("5.1 half-closed: WINDOW_UPDATE", vec![held(1), frame(WindowUpdate, 0, 1, one)], Nothing),
        ("5.1 closed: DATA", vec![open(1), reset.clone(), data(1)], Either(1, CLOSED)),
        ("5.1 closed: HEADERS", vec![open(1), reset.clone(), held(1)], Either(1, CLOSED)),
        ("5.1 closed: CONTINUATION", vec![open(1), reset.clone(), frame(Continuation, 4, 1, [])], Connection(PROTOCOL)),
        ("5.1 closed: PRIORITY", vec![open(1), reset.clone(), frame(Priority, 0, 1, [0, 0, 0, 3, 1])], Nothing),
        ("5.1 closed: WINDOW_UPDATE", vec![open(1), reset.clone(), frame(WindowUpdate, 0, 1, one)], Nothing),
        ("5.1 closed: RST_STREAM", vec![open(1), reset.clone(), reset.clone()], Nothing),
        ("5.1.1 an even number", vec![Frame::headers(2, 1, &get(&[]))], Connection(PROTOCOL)),
        ("5.1.1 a smaller number", vec![held(5), held(3)], Connection(PROTOCOL)),
        ("5.1.2 too many", many, Stream(41, REFUSED)),
        ("5.3.1 on itself", vec![frame(Headers, HEADERS_END | PRIORITY, 1, prior)], Stream(1, PROTOCOL)),
        ("6.3 on itself", vec![held(1), frame(Priority, 0, 1, depends(1))], Stream(1, PROTOCOL)),
        ("6.3 PRIORITY of stream 0", vec![frame(Priority, 0, 0, depends(1))], Connection(PROTOCOL)),
        ("6.3 PRIORITY of 4 bytes", vec![held(1), frame(Priority, 0, 1, [0; 4])], Stream(1, FRAME_SIZE)),
        ("6.4 RST_STREAM of stream 0", vec![frame(Reset, 0, 0, one)], Connection(PROTOCOL)),
        ("6.4 RST_STREAM of 3 bytes", vec![open(1), frame(Reset, 0, 1, [0; 3])], Connection(FRAME_SIZE)),
        ("7 an unknown code", vec![open(1), frame(Reset, 0, 1, 99_u32.to_be_bytes())], Nothing),
        ("8.1 HEADERS in a body", vec![open(1), Frame::headers(1, 0, &[("x", "y")])], Malformed(1)),
        ("6.1 DATA after the body", vec![open(1), data(1), frame(Data, 0, 1, [1])], Either(1, CLOSED)),
    ]);
}

#[test]
fn settings_pings_and_windows_are_kept_to() {
    use FrameKind::{GoAway, Ping, PushPromise, Settings, WindowUpdate};
    let most = (1_u32 << 31) - 1;
    let push = [&2_u32.to_be_bytes()[..], &header_block(&get(&[]))].concat();
    check(vec![
        ("6.5 an acknowledgement with a payload", vec![frame(Settings, 1, 0, [0; 6])], Connection(FRAME_SIZE)),
        ("6.5 of a stream", vec![frame(Settings, 0, 1, [])], Connection(PROTOCOL)),
        ("6.5 of 3 bytes", vec![frame(Settings, 0, 0, [0; 3])], Connection(FRAME_SIZE)),
        ("6.5.2 push 2", vec![settings(2, 2)], Connection(PROTOCOL)),
        ("6.5.2 a window beyond", vec![settings(4, 1 << 31)], Connection(FLOW_CONTROL)),
        ("6.5.2 frames too small", vec![settings(5, 16_383)], Connection(PROTOCOL)),
        ("6.5.2 frames too large", vec![settings(5, 1 << 24)], Connection(PROTOCOL)),
        ("6.5.2 an unknown one", vec![settings(99, 1)], Nothing),
        ("6.6 PUSH_PROMISE", vec![open(1), frame(PushPromise, 4, 1, push)], Connection(PROTOCOL)),
        ("6.7 an acknowledgement", vec![frame(Ping, 1, 0, [0; 8])], Nothing),
        ("6.7 of a stream", vec![frame(Ping, 0, 1, [0; 8])], Connection(PROTOCOL)),
        ("6.7 of 6 bytes", vec![frame(Ping, 0, 0, [0; 6])], Connection(FRAME_SIZE)),
        ("6.8 GOAWAY of a stream", vec![frame(GoAway, 0, 1, [0; 8])], Connection(PROTOCOL)),
        ("6.9 0 for the connection", vec![frame(WindowUpdate, 0, 0, [0; 4])], Connection(PROTOCOL)),
        ("6.9 0 for a stream", vec![open(1), frame(WindowUpdate, 0, 1, [0; 4])], Stream(1, PROTOCOL)),
        ("6.9 of 3 bytes", vec![frame(WindowUpdate, 0, 0, [0; 3])], Connection(FRAME_SIZE)),
        ("6.9.1 beyond", vec![frame(WindowUpdate, 0, 0, most.to_be_bytes())], Connection(FLOW_CONTROL)),
        (
            "6.9.1 beyond, for a stream",
            vec![open(1), frame(WindowUpdate, 0, 1, most.to_be_bytes())],
            Stream(1, FLOW_CONTROL),
        ),
        (
            "6.9.2 beyond by settings",
            vec![open(1), frame(WindowUpdate, 0, 1, 100_u32.to_be_bytes()), settings(4, most)],
            Connection(FLOW_CONTROL),
        ),
    ]);
}

#[test]
fn settings_and_pings_are_acknowledged_and_windows_opened_by_them() {
    let (_go, origin) = holding();
    let gateway = gateway_to(&origin, "");
    let mut frames = Frames::connect(gateway.address(), &[(4, 0)]);
    assert!(frames.send(&[Frame::new(FrameKind::Ping, 0, 0, *b"whatever")]));
    let answer = frames.find(|frame| frame.kind == FrameKind::Ping).unwrap();
    assert_eq!((answer.flags, answer.payload.as_slice()), (1, b"whatever".as_slice()));
    assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &get(&[]))]));
    assert_eq!(frames.outcomes(&[1]), [(1, Outcome::Status(200))]);
    // RFC 9113 §6.9.2: a window that was none is opened for streams that are there already; the last value counts.
    assert!(frames.send(&[Frame::new(FrameKind::Settings, 0, 0, [0, 4, 0, 0, 0, 9, 0, 4, 0, 0, 0, 1])]));
    assert!(frames.find(|frame| frame.kind == FrameKind::Settings && frame.flags == 1).is_some());
    let data = frames.find(|frame| frame.kind == FrameKind::Data).unwrap();
    assert_eq!(data.payload, b"o");
    assert!(frames.send(&[Frame::new(FrameKind::WindowUpdate, 0, 1, [0, 0, 0, 1])]));
    let data = frames.find(|frame| frame.kind == FrameKind::Data && !frame.payload.is_empty()).unwrap();
    assert_eq!(data.payload, b"k");
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "timeouts: { headers: 1s, first_byte: 1s }");
    let ping = Frame::new(FrameKind::Ping, 0, 0, [0; 8]).encode();
    let good = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for (name, bytes) in [
        ("3.4 another one", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("3.4 half of it", b"PRI * HTTP/2.0\r\n".to_vec()),
        ("3.4 no SETTINGS first", [good, ping].concat()),
    ] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let ended = socket.read_to_end(&mut answer);
        assert!(ended.is_ok_and(|_| answer.len() < 1024), "{name}");
        assert!(origin.take().bytes.is_empty(), "{name}");
    }
}

/// As a peer that codes everything does: each text by Huffman's code (RFC 7541 §5.2), and entered into the table.
fn indexed(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            let mut coded = Vec::new();
            httlib_huffman::encode(text.as_bytes(), &mut coded).unwrap();
            assert!(coded.len() < 127);
            block.push(0x80 | u8::try_from(coded.len()).unwrap());
            block.extend(coded);
        }
    }
    block
}

#[test]
fn a_malformed_field_ends_its_stream_and_no_other() {
    let (_go, origin) = holding();
    let gateway = gateway_to(&origin, "");
    let fields = [
        ("X-Upper", "y"),
        ("x", "a\r\nb: c"),
        ("x", "a\nb: c"),
        ("x", "a\0b"),
        ("x", "a\u{7f}b"),
        ("x", " a"),
        ("x", "a "),
        ("x", "a\t"),
        ("x y", "z"),
        ("x:y", "z"),
        ("x\0", "z"),
        ("", "z"),
        (":x", "y"),
        (":status", "200"),
        (":path", "/twice"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
    ];
    let mut faults = Vec::new();
    // One connection for all: what is entered into the table stays in step.
    let mut frames = Frames::connect(gateway.address(), &[]);
    let mut stream = 1;
    for field in fields {
        for (form, block) in [("plain", header_block(&get(&[field]))), ("coded", indexed(&get(&[field])))] {
            let good = indexed(&get(&[("x-good", "good"), ("x-tab", "a\tb c~[]@$<>{}|")]));
            let blocks = [block, good.clone(), vec![0xc0 | 3, 0xc0 | 2, 0xc0 | 1, 0xc0, 0xbf, 0xbe]];
            let streams = [stream, stream + 2, stream + 4];
            for (stream, block) in streams.iter().zip(blocks) {
                assert!(frames.send(&[Frame::new(FrameKind::Headers, HEADERS_END, *stream, block)]));
            }
            stream += 6;
            let mut outcomes = frames.outcomes(&streams);
            outcomes.sort_by_key(|(stream, _)| *stream);
            let as_wanted = matches!(
                outcomes.as_slice(),
                [
                    (_, Outcome::Status(400) | Outcome::Reset(PROTOCOL)),
                    (_, Outcome::Status(200)),
                    (_, Outcome::Status(200))
                ]
            );
            if !as_wanted {
                faults.push(format!("{field:?}, {form}: {outcomes:?}"));
                frames = Frames::connect(gateway.address(), &[]);
                stream = 1;
            }
            for request in origin.take().requests {
                let values = [request.values("x-good"), request.values("x-tab")].concat();
                assert_eq!(values, ["good", "a\tb c~[]@$<>{}|"], "{field:?}, {form}: {request:?}");
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_malformed_request_ends_its_stream_and_no_other() {
    let without = |name: &str| {
        let mut fields = get(&[]);
        fields.retain(|(other, _)| *other != name);
        Frame::headers(1, Flags::END_STREAM, &fields)
    };
    let with = |name: &str, value: &'static str| {
        let fields: Vec<_> =
            get(&[]).iter().map(|(other, old)| (*other, if *other == name { value } else { *old })).collect();
        Frame::headers(1, Flags::END_STREAM, &fields)
    };
    let late: Vec<_> = [("x", "y")].into_iter().chain(get(&[])).collect();
    let length = |value: &'static str| Frame::headers(1, Flags::NONE, &post(&[("content-length", value)]));
    let data = |end: u8| Frame::data(1, end, b"test");
    check(vec![
        ("8.3 pseudo-headers last", vec![Frame::headers(1, Flags::END_STREAM, &late)], Malformed(1)),
        ("8.3 pseudo-headers in trailers", vec![open(1), Frame::headers(1, 1, &[(":method", "GET")])], Malformed(1)),
        ("8.3.1 no method", vec![without(":method")], Malformed(1)),
        ("8.3.1 no scheme", vec![without(":scheme")], Malformed(1)),
        ("8.3.1 no path", vec![without(":path")], Malformed(1)),
        ("8.3.1 an empty path", vec![with(":path", "")], Malformed(1)),
        ("8.3.1 a path with a blank", vec![with(":path", "/a b")], Malformed(1)),
        ("8.3.1 a relative path", vec![with(":path", "x")], Malformed(1)),
        ("8.3.1 a method that is none", vec![with(":method", "G T")], Malformed(1)),
        ("8.3.1 an empty method", vec![with(":method", "")], Malformed(1)),
        ("8.3.1 method twice", vec![Frame::headers(1, 1, &get(&[(":method", "GET")]))], Malformed(1)),
        ("8.3.1 scheme twice", vec![Frame::headers(1, 1, &get(&[(":scheme", "http")]))], Malformed(1)),
        ("8.1.1 less than announced", vec![length("9"), data(1)], Malformed(1)),
        ("8.1.1 more than announced", vec![length("1"), data(1)], Malformed(1)),
        ("8.1.1 more in all", vec![length("5"), data(0), data(1)], Malformed(1)),
        ("8.2.2 trailers may be asked for", vec![Frame::headers(1, 1, &get(&[("te", "trailers")]))], Nothing),
        ("8.1 trailers", vec![open(1), data(0), Frame::headers(1, 1, &[("x", "y")])], Nothing),
    ]);
}
