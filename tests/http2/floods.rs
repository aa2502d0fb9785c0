//! Frames that cost the sender nothing: the connection is closed, and another one does not notice.

use std::io::Write as _;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use harness::{DEADLINE, Flags, Frame, FrameKind, Frames, Gateway, Origin, Outcome, header_block};

use super::{gateway_to, get};

/// Sends a flood while a healthy connection goes on; the flooding one must be told why, and closed in time.
fn check(name: &str, flood: impl Iterator<Item = Vec<Frame>> + Send) {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut healthy = Frames::connect(gateway.address(), &[]);
    ask(&mut healthy, 1);
    let mut attacker = Frames::connect(gateway.address(), &[]);
    let mut reader = attacker.reader();
    let mut passed = Instant::now();
    let (code, closed) = std::thread::scope(|scope| {
        let reading = scope.spawn(move || (reader.end_within(DEADLINE), Instant::now()));
        for (index, frames) in flood.enumerate() {
            let is_open = attacker.send(&frames);
            if index < BOUND_BATCHES {
                passed = Instant::now();
            }
            if !is_open {
                break;
            }
        }
        for number in 1..20 {
            ask(&mut healthy, 1 + 2 * number);
        }
        reading.join().unwrap()
    });
    assert_eq!(code, Some(Some(ENHANCE_YOUR_CALM)), "{name}");
    let took = closed.saturating_duration_since(passed);
    assert!(took < CLOSE_MAX, "{name}: {took:?}");
    ask(&mut healthy, 101);
    still_serves(&gateway);
}

fn ask(frames: &mut Frames, stream: u32) {
    assert!(frames.send(&[Frame::headers(stream, Flags::END_STREAM, &get(&[]))]));
    assert_eq!(frames.outcomes(&[stream]), [(stream, Outcome::Status(200))]);
}

fn still_serves(gateway: &Gateway) {
    ask(&mut Frames::connect(gateway.address(), &[]), 1);
}

/// Batches of frames made from their number, from 0.
fn batches(count: u32, frames: impl Fn(u32) -> Vec<Frame> + Send) -> impl Iterator<Item = Vec<Frame>> + Send {
    let batch = move |start: u32| (start..(start + BATCH).min(count)).flat_map(&frames).collect();
    (0..count).step_by(BATCH as usize).map(batch)
}

#[test]
fn rapid_resets_end_the_connection() {
    let cancel = 8_u32.to_be_bytes();
    check(
        "rapid reset",
        batches(20_000, move |number| {
            let stream = 2 * number + 1;
            vec![Frame::headers(stream, Flags::END_STREAM, &get(&[])), Frame::new(FrameKind::Reset, 0, stream, cancel)]
        }),
    );
}

#[test]
fn resets_provoked_from_the_gateway_end_the_connection() {
    check(
        "window update of 0",
        batches(20_000, |number| {
            let stream = 2 * number + 1;
            let zero = Frame::new(FrameKind::WindowUpdate, 0, stream, 0_u32.to_be_bytes());
            vec![Frame::headers(stream, Flags::NONE, &get(&[])), zero]
        }),
    );
}

#[test]
fn endless_header_blocks_end_the_connection() {
    check(
        "continuation",
        batches(20_000, |number| match number {
            0 => vec![Frame::new(FrameKind::Headers, Flags::END_STREAM, 1, header_block(&get(&[])))],
            _ => vec![Frame::new(FrameKind::Continuation, 0, 1, header_block(&[("x", "y")]))],
        }),
    );
}

#[test]
fn endless_settings_end_the_connection() {
    check("settings", batches(50_000, |_| vec![Frame::new(FrameKind::Settings, 0, 0, [])]));
}

#[test]
fn endless_pings_end_the_connection() {
    check("ping", batches(100_000, |_| vec![Frame::new(FrameKind::Ping, 0, 0, [0; 8])]));
}

#[test]
fn endless_priorities_end_the_connection() {
    check("priority", batches(100_000, |_| vec![Frame::new(FrameKind::Priority, 0, 1, [0, 0, 0, 3, 16])]));
}

#[test]
fn endless_window_updates_end_the_connection() {
    check("window update of 1", batches(100_000, |_| vec![Frame::new(FrameKind::WindowUpdate, 0, 0, [0, 0, 0, 1])]));
}

#[test]
fn endless_empty_data_ends_the_connection() {
    check(
        "empty data",
        batches(100_000, |number| match number {
            0 => {
                let mut fields = get(&[]);
                fields.retain(|(name, _)| *name != ":method");
                fields.insert(0, (":method", "POST"));
                vec![Frame::headers(1, Flags::NONE, &fields)]
            }
            _ => vec![Frame::data(1, Flags::NONE, b"")],
        }),
    );
}

/// There is no room for a GOAWAY then, and no wait for any.
#[test]
fn a_flood_whose_sender_reads_nothing_ends_the_connection() {
    let (blocked, is_blocked) = mpsc::channel();
    let blocked = Mutex::new(blocked);
    let origin = Origin::talking(move |conversation| {
        conversation.request();
        conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let mut socket = conversation.wire.socket();
        socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        while socket.write_all(&[b'x'; 64 << 10]).is_ok() {}
        blocked.lock().unwrap().send(()).unwrap();
        conversation.wire.closes();
    });
    let gateway = gateway_to(&origin, "");
    let mut attacker = Frames::connect(gateway.address(), &[(4, WINDOW)]);
    let grown = Frame::new(FrameKind::WindowUpdate, 0, 0, (WINDOW - 65_535).to_be_bytes());
    assert!(attacker.send(&[grown, Frame::headers(1, Flags::END_STREAM, &get(&[]))]));
    is_blocked.recv_timeout(DEADLINE).unwrap();
    let started = Instant::now();
    for frames in batches(10_000_000, |_| vec![Frame::new(FrameKind::Priority, 0, 1, [0, 0, 0, 3, 16])]) {
        if !attacker.send(&frames) {
            break;
        }
    }
    let took = started.elapsed();
    assert!(took < 2 * CLOSE_MAX, "{took:?}");
    assert_eq!(gateway.admin_get("/ready").status, 200);
}

/// The largest there is (RFC 9113 §6.9.1).
const WINDOW: u32 = (1 << 31) - 1;

/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 11;
const BATCH: u32 = 500;
/// Each of these floods has passed its bound in as many batches: the highest is 1,000 control frames.
const BOUND_BATCHES: usize = 3;
/// From there on.
const CLOSE_MAX: Duration = Duration::from_secs(1);
