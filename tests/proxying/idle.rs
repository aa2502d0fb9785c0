//! Connections on which nothing is asked for a while: they are parked, and nobody notices.

use std::time::{Duration, Instant};

use harness::{Gateway, Origin, Wire};

const ASK: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
/// Longer than it takes until a connection is parked.
const PAUSE: Duration = Duration::from_millis(800);

fn gateway(origin: &Origin, timeouts: &str) -> Gateway {
    Gateway::start(&format!(
        "timeouts: {{ {timeouts} }}\nupstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\n\
         routes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ))
}

#[test]
fn a_connection_is_served_after_any_pause() {
    let origin = Origin::ok();
    let gateway = gateway(&origin, "");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..3 {
        wire.send(ASK);
        assert_eq!(wire.reply().status, 200);
        std::thread::sleep(PAUSE);
    }
    // In pieces, with a pause in which it must not be taken for idle; and two at once.
    let (first, rest) = ASK.split_at(9);
    wire.send(first);
    std::thread::sleep(PAUSE);
    wire.send(rest);
    assert_eq!(wire.reply().status, 200);
    std::thread::sleep(PAUSE);
    wire.send([ASK, ASK].concat());
    assert_eq!([wire.reply().status, wire.reply().status], [200, 200]);
    std::thread::sleep(PAUSE);
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    assert_eq!(wire.reply().reason(), Some("ambiguous-host"));
    assert!(wire.closes());
}

#[test]
fn an_answer_that_a_client_reads_late_is_whole() {
    const LENGTH: usize = 16 << 20;
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"));
            conversation.send(vec![b'x'; LENGTH]);
        }
    });
    let gateway = gateway(&origin, "");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..2 {
        wire.send(ASK);
        // Both sockets are full, and the rest waits.
        std::thread::sleep(PAUSE * 2);
        assert_eq!(wire.reply().body.len(), LENGTH);
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn a_parked_connection_ends_when_it_is_time() {
    let origin = Origin::ok();
    let gateway = gateway(&origin, "keep_alive: 2s");
    let mut wire = Wire::connect(gateway.address());
    wire.send(ASK);
    assert_eq!(wire.reply().status, 200);
    let start = Instant::now();
    assert!(wire.closes());
    let waited = start.elapsed();
    assert!((Duration::from_millis(1800)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
}

#[test]
fn a_thousand_idle_connections_hold_little() {
    const COUNT: u64 = 1_000;
    const EACH: u64 = 20 << 10;
    let origin = Origin::ok();
    let gateway = gateway(&origin, "");
    let ask = || {
        let mut wire = Wire::connect(gateway.address());
        wire.send(ASK);
        assert_eq!(wire.reply().status, 200);
        wire
    };
    let few: Vec<Wire> = (0..50).map(|_| ask()).collect();
    std::thread::sleep(PAUSE);
    let (before, _) = gateway.process.resident_bytes();
    let each = |count: u64| gateway.process.resident_bytes().0.saturating_sub(before) / count;
    let many: Vec<Wire> = (0..COUNT).map(|_| ask()).collect();
    std::thread::sleep(PAUSE);
    let first = each(COUNT);
    // What the burst left free serves the next ones.
    let more: Vec<Wire> = (0..COUNT / 2).map(|_| ask()).collect();
    std::thread::sleep(PAUSE);
    let both = each(COUNT + COUNT / 2);
    println!("{first} bytes an idle connection, {both} with half as many more");
    assert!(both <= EACH, "{both}");
    drop((few, many, more));
}
