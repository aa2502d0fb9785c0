//! HTTP/2 frame for frame: floods are cut, one bad stream harms no other, authority and cookies are one.

mod bombs;
mod conformance;
mod floods;

use harness::{Flags, Frame, FrameKind, Frames, Gateway, Origin, Outcome, header_block};

fn gateway_to(origin: &Origin, more: &str) -> Gateway {
    Gateway::start(&format!(
        "{more}\nupstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ))
}

/// The pseudo-headers of a GET, and more.
fn get<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")];
    fields.extend(more);
    fields
}

fn post<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = get(more);
    if let Some(first) = fields.first_mut() {
        *first = (":method", "POST");
    }
    fields
}

#[test]
fn two_authorities_in_one_request_are_refused() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let authority =
        |value: &'static str| vec![(":method", "GET"), (":scheme", "http"), (":authority", value), (":path", "/x")];
    let cases = [
        ("another host", get(&[("host", "b.test")])),
        ("two hosts", get(&[("host", "a.test"), ("host", "a.test")])),
        ("userinfo", authority("u@a.test")),
        ("a path", authority("a.test/x")),
        ("a comma", authority("a.test,b.test")),
        ("a space", authority("a test")),
        ("nothing", vec![(":method", "GET"), (":scheme", "http"), (":path", "/x")]),
    ];
    for (name, fields) in cases {
        let mut frames = Frames::connect(gateway.address(), &[]);
        assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &fields)]));
        let outcomes = frames.outcomes(&[1]);
        assert!(matches!(outcomes.as_slice(), [(1, Outcome::Status(400) | Outcome::Reset(_))]), "{name}: {outcomes:?}");
        assert!(origin.take().bytes.is_empty(), "{name}");
    }
    let mut frames = Frames::connect(gateway.address(), &[]);
    assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &get(&[("host", "a.test")]))]));
    assert_eq!(frames.outcomes(&[1]), [(1, Outcome::Status(200))]);
}

/// Streams of one connection, of which the middle one is malformed.
fn siblings(bad: &[Frame]) -> Vec<Frame> {
    let mut sent = Vec::new();
    for stream in (1..=BAD).step_by(2) {
        sent.push(Frame::headers(stream, Flags::END_STREAM, &get(&[])));
    }
    sent.pop();
    sent.extend(bad.iter().cloned());
    for stream in (BAD + 2..=2 * BAD - 1).step_by(2) {
        sent.push(Frame::headers(stream, Flags::END_STREAM, &get(&[])));
    }
    sent
}

/// The malformed stream among 51.
const BAD: u32 = 51;

#[test]
fn a_malformed_stream_is_refused_and_its_50_siblings_finish() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let head = |fields: &[(&str, &str)]| Frame::headers(BAD, Flags::NONE, &post(fields));
    let whole = |fields: &[(&str, &str)]| vec![Frame::headers(BAD, Flags::END_STREAM, &get(fields))];
    let cases = [
        (
            "more data than announced",
            vec![head(&[("content-length", "3")]), Frame::data(BAD, Flags::END_STREAM, b"hello")],
        ),
        (
            "less data than announced",
            vec![head(&[("content-length", "9")]), Frame::data(BAD, Flags::END_STREAM, b"hello")],
        ),
        (
            "two lengths",
            vec![
                head(&[("content-length", "5"), ("content-length", "6")]),
                Frame::data(BAD, Flags::END_STREAM, b"hello"),
            ],
        ),
        ("transfer-encoding", whole(&[("transfer-encoding", "chunked")])),
        ("connection", whole(&[("connection", "close")])),
        ("te", whole(&[("te", "gzip")])),
        ("a second path", whole(&[(":path", "/y")])),
    ];
    let mut faults = Vec::new();
    for (name, bad) in cases {
        let mut frames = Frames::connect(gateway.address(), &[]);
        assert!(frames.send(&siblings(&bad)));
        let streams: Vec<u32> = (1..=2 * BAD - 1).step_by(2).collect();
        let outcomes = frames.outcomes(&streams);
        let good =
            outcomes.iter().filter(|(stream, outcome)| *stream != BAD && *outcome == Outcome::Status(200)).count();
        let refused = outcomes.iter().find(|(stream, _)| *stream == BAD).map(|(_, outcome)| *outcome);
        if good != streams.len() - 1 || !matches!(refused, Some(Outcome::Status(400) | Outcome::Reset(_))) {
            faults.push(format!("{name}: {good} siblings, {refused:?}"));
        }
        let sent_on = origin.take().requests.iter().filter(|request| !request.line.starts_with("GET /x ")).count();
        assert_eq!(sent_on, 0, "{name}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_field_that_no_message_may_have_is_never_sent_on() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let fields = [
        ("X-Upper", "y"),
        ("x", "a\r\nb: c"),
        ("x", "a\nb: c"),
        ("x", "a\0b"),
        ("x y", "z"),
        ("x:y", "z"),
        ("", "z"),
        (":x", "y"),
    ];
    let mut healthy = Frames::connect(gateway.address(), &[]);
    for (number, field) in (0..).zip(fields) {
        let mut frames = Frames::connect(gateway.address(), &[]);
        assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &get(&[field]))]));
        let outcomes = frames.outcomes(&[1]);
        assert!(
            matches!(outcomes.as_slice(), [(1, Outcome::Status(400) | Outcome::Reset(_))]),
            "{field:?}: {outcomes:?}"
        );
        assert!(origin.take().bytes.is_empty(), "{field:?}");
        let stream = 2 * number + 1;
        assert!(healthy.send(&[Frame::headers(stream, Flags::END_STREAM, &get(&[]))]));
        assert_eq!(healthy.outcomes(&[stream]), [(stream, Outcome::Status(200))]);
        assert_eq!(origin.take().requests.len(), 1);
    }
}

#[test]
fn cookie_crumbs_become_one_cookie_and_are_all_counted() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let crumbs: Vec<String> = (0..120).map(|number| format!("c{number}={number}")).collect();
    let crumbs: Vec<(&str, &str)> = crumbs.iter().map(|crumb| ("cookie", crumb.as_str())).collect();
    let mut frames = Frames::connect(gateway.address(), &[]);
    assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &get(crumbs.get(..40).unwrap()))]));
    assert_eq!(frames.outcomes(&[1]), [(1, Outcome::Status(200))]);
    let seen = origin.take();
    let joined = crumbs.iter().take(40).map(|(_, crumb)| *crumb).collect::<Vec<_>>().join("; ");
    assert_eq!(seen.requests.first().unwrap().values("cookie"), [joined]);
    assert!(frames.send(&[Frame::headers(3, Flags::END_STREAM, &get(&crumbs))]));
    let outcomes = frames.outcomes(&[3]);
    assert!(matches!(outcomes.as_slice(), [(3, Outcome::Status(431) | Outcome::Reset(_))]), "{outcomes:?}");
    assert!(origin.take().bytes.is_empty());
}

#[test]
fn header_blocks_that_unfold_to_much_are_refused_in_bounded_memory() {
    let origin = Origin::talking(|conversation| while conversation.request_head().is_some() {});
    let gateway = gateway_to(&origin, "");
    // One entry put into the table, then 450 references of one byte to it.
    let mut block = header_block(&get(&[]));
    block.extend([0x40, 6]);
    block.extend(b"cookie");
    block.extend([4]);
    block.extend(b"a=bc");
    block.extend([0xbe; 450]);
    let (before, _) = gateway.process.resident_bytes();
    let mut connections = Vec::new();
    for _ in 0..BOMB_CONNECTIONS {
        let mut frames = Frames::connect(gateway.address(), &[(4, 0)]);
        for stream in (1..=199).step_by(2) {
            let flags = Flags::END_HEADERS | Flags::END_STREAM;
            if !frames.send(&[Frame::new(FrameKind::Headers, flags, stream, block.clone())]) {
                break;
            }
        }
        connections.push(frames);
    }
    for frames in &mut connections {
        // A PING is answered after what came before it; a connection that was cut has no answer to give.
        if frames.send(&[Frame::new(FrameKind::Ping, Flags::NONE, 0, [7; 8])]) {
            frames.find(|frame| frame.kind == FrameKind::Ping);
        }
    }
    let (_, peak) = gateway.process.resident_bytes();
    assert!(peak - before < BOMB_BYTES_MAX, "{} MiB", (peak - before) >> 20);
    assert!(origin.take().bytes.is_empty());
}

const BOMB_CONNECTIONS: usize = 40;
/// A hundred open streams cost a connection 1.6 MiB whatever is in their headers; unfolded, these would cost 12 more.
const BOMB_BYTES_MAX: u64 = 40 * (3 << 20);

#[test]
fn a_stream_whose_client_takes_nothing_is_ended() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 20));
            conversation.send(vec![b'x'; 1 << 20]);
        }
    });
    let gateway = gateway_to(&origin, "timeouts: { write_stall: 1s }");
    let mut frames = Frames::connect(gateway.address(), &[(4, 0)]);
    assert!(frames.send(&[Frame::headers(1, Flags::END_STREAM, &get(&[]))]));
    // The headers need no window; after them nothing may be sent until the stream is reset or the connection ends.
    let ended = frames.find(|frame| frame.kind == FrameKind::Reset || frame.kind == FrameKind::GoAway);
    assert!(ended.is_none_or(|frame| frame.stream == 1 || frame.kind == FrameKind::GoAway));
}

#[test]
fn a_silent_connection_is_ended_and_a_used_one_is_not() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "timeouts: { keep_alive: 1s }");
    let mut idle = Frames::connect(gateway.address(), &[]);
    assert!(idle.end_within(harness::DEADLINE).is_some());
    let mut used = Frames::connect(gateway.address(), &[]);
    assert!(used.send(&[Frame::headers(1, Flags::END_STREAM, &get(&[]))]));
    assert_eq!(used.outcomes(&[1]), [(1, Outcome::Status(200))]);
    assert!(used.end_within(harness::DEADLINE).is_some());
}
