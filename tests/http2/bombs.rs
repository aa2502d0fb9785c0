//! Many cheap streams on one connection: what a client makes the gateway hold for each byte it sends.

use std::time::Duration;

use harness::{Flags, Frame, FrameKind, Frames, Gateway, Origin, header_block, within};

use super::{gateway_to, get};

const CONNECTIONS: u64 = 40;
/// As many as the gateway takes.
const STREAMS: u32 = 100;
/// From the end of an attack until its memory is given back.
const RETURNED_WITHIN: Duration = Duration::from_secs(60);

/// What of the memory of a process that has just started may stay beyond it: the allocator's pages with something in them.
const LEFT_PERCENT_MAX: u64 = 30;

/// What an attack cost.
#[derive(Debug)]
struct Cost {
    sent: u64,
    held: u64,
}

impl Cost {
    fn for_each_byte(&self) -> u64 {
        self.held / self.sent
    }

    fn for_each_connection(&self) -> u64 {
        self.held / CONNECTIONS
    }
}

/// Opens streams with this block on many connections that take no data.
fn attack(gateway: &Gateway, block: &[u8]) -> Cost {
    // What the first request costs once is no attack's.
    let mut first = Frames::connect(gateway.address(), &[]);
    assert!(first.send(&[Frame::headers(1, Flags::END_STREAM, &[(":method", "GET")])]));
    first.outcomes(&[1]);
    let (before, _) = gateway.process.resident_bytes();
    let mut sent = 0;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut frames = Frames::connect(gateway.address(), &[(4, 0)]);
        let flags = Flags::END_HEADERS | Flags::END_STREAM;
        let streams = (0..STREAMS).map(|number| Frame::new(FrameKind::Headers, flags, 2 * number + 1, block));
        let bytes: Vec<u8> = streams.flat_map(|frame| frame.encode()).collect();
        if frames.send_bytes(&bytes) {
            sent += bytes.len() as u64;
        }
        connections.push(frames);
    }
    for frames in &mut connections {
        // A PING is answered after what came before it; a connection that was cut has no answer to give.
        if frames.send(&[Frame::new(FrameKind::Ping, Flags::NONE, 0, [7; 8])]) {
            frames.find(|frame| frame.kind == FrameKind::Ping && frame.flags == Flags::END_STREAM);
        }
    }
    let (_, peak) = gateway.process.resident_bytes();
    drop(connections);
    within(RETURNED_WITHIN, "the memory", || {
        let (now, _) = gateway.process.resident_bytes();
        (now <= before + before * LEFT_PERCENT_MAX / 100).then_some(())
    });
    Cost { sent, held: peak - before }
}

/// One entry put into the table, then 450 references of one byte to it.
fn references(name: &str) -> Vec<u8> {
    let mut block = header_block(&get(&[]));
    block.extend([0x40, u8::try_from(name.len()).unwrap()]);
    block.extend(name.as_bytes());
    block.extend([4]);
    block.extend(b"a=bc");
    block.extend([0xbe; 450]);
    block
}

#[test]
fn references_to_the_table_are_not_worth_their_bytes() {
    for name in ["cookie", "x"] {
        let origin = Origin::talking(|conversation| while conversation.request_head().is_some() {});
        let gateway = gateway_to(&origin, "");
        let cost = attack(&gateway, &references(name));
        assert!(cost.for_each_byte() <= 16, "{name}: {cost:?}");
        assert!(origin.take().bytes.is_empty(), "{name}");
    }
}

#[test]
fn streams_that_take_no_data_are_held_in_little() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 20));
            conversation.send(vec![b'x'; 1 << 20]);
        }
    });
    let gateway = gateway_to(&origin, "");
    let cost = attack(&gateway, &header_block(&get(&[])));
    assert!(cost.for_each_connection() < HELD_MAX, "{cost:?}");
}

#[test]
fn streams_that_wait_for_an_answer_are_held_in_little() {
    let origin = Origin::talking(|conversation| while conversation.request_head().is_some() {});
    let gateway = gateway_to(&origin, "");
    let cost = attack(&gateway, &header_block(&get(&[])));
    assert!(cost.for_each_connection() < HELD_MAX, "{cost:?}");
}

/// What a hundred streams may hold, each with a connection to the origin and what was read of it.
const HELD_MAX: u64 = 8 << 20;
