//! Frames that cost the sender nothing: the connection is closed, and another one does not notice.

use std::time::Duration;

use harness::{Flags, Frame, FrameKind, Frames, Gateway, Origin, Outcome, header_block};

use super::{gateway_to, get};

/// Sends a flood while a healthy connection goes on; the flooding one must be closed in time.
fn check(name: &str, flood: impl Iterator<Item = Vec<Frame>> + Send) {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut healthy = Frames::connect(gateway.address(), &[]);
    ask(&mut healthy, 1);
    let mut attacker = Frames::connect(gateway.address(), &[]);
    let mut reader = attacker.reader();
    let closed = std::thread::scope(|scope| {
        let reading = scope.spawn(move || reader.end_within(CLOSE_MAX));
        for frames in flood {
            if !attacker.send(&frames) {
                break;
            }
        }
        for number in 1..20 {
            ask(&mut healthy, 1 + 2 * number);
        }
        reading.join().unwrap()
    });
    assert!(closed.is_some(), "{name}: the connection stays open");
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
    (0..count).step_by(500).map(move |start| (start..(start + 500).min(count)).flat_map(&frames).collect())
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

/// The aim is one second; slow machines get more.
const CLOSE_MAX: Duration = Duration::from_secs(10);
