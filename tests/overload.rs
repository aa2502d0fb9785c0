//! More than the gateway can take: it turns away what it must, quickly and with a reason, and recovers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use harness::{
    Conversation, Flags, Frame, FrameKind, Frames, Gateway, Origin, Reply, Wire, eventually, header_block, within,
};
use tempfile::TempDir;

fn folder_with_keeper() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/keeper.wasm"), harness::guest("keeper")).unwrap();
    folder
}

/// A policy that reads bodies whole, with these bounds, and the gateway's own answers.
fn gateway(overload: &str) -> Gateway {
    let config = format!(
        r#"plugins: {{ folder: plugins }}
bounds: {{ body: 32MiB, buffered_body: 32MiB }}
overload: {overload}
kv: {{ store: {{}} }}
policies: {{ reader: {{ plugin: keeper, grants: {{ kv: [store] }}, limits: {{ body_deadline: 10s }} }} }}
routes:
  - {{ name: read, match: {{ path: {{ prefix: /read }} }}, policies: [reader], respond: {{ status: 200, body: ok }} }}
  - {{ name: low, match: {{ path: {{ prefix: /low }} }}, priority: low, respond: {{ status: 200, body: ok }} }}
  - {{ name: rest, respond: {{ status: 200, body: ok }} }}
"#
    );
    Gateway::start_in(folder_with_keeper(), &config)
}

fn ask(gateway: &Gateway, path: &str) -> Reply {
    harness::http_get(gateway.address(), path)
}

/// What `/status` says of the pressure.
fn pressure(gateway: &Gateway, name: &str) -> u64 {
    gateway.admin_get("/status").json()["overload"][name].as_u64().unwrap()
}

const MIB: usize = 1 << 20;
const BODY: usize = 20 * MIB;

#[test]
fn bodies_that_find_no_room_are_turned_away_at_once_and_those_that_do_are_served() {
    let gateway = gateway("{ bodies: 64MiB }");
    let most = vec![b'x'; BODY - MIB];
    let mut held: Vec<Wire> = (0..3).map(|_| Wire::connect(gateway.address())).collect();
    for wire in &mut held {
        wire.send(format!("POST /read HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BODY}\r\n\r\n"));
        wire.send(&most);
    }
    eventually("57 MiB held", || (pressure(&gateway, "body_bytes") >= 57 * MIB as u64).then_some(()));
    // The bodies are counted at once, what is done about them is looked at every 20 ms.
    eventually("something is done about it", || {
        gateway.admin_get("/status").json()["overload"]["shed"].as_bool().unwrap().then_some(())
    });
    let mut took: Vec<Duration> = (0..61)
        .map(|_| {
            let mut wire = Wire::connect(gateway.address());
            let start = Instant::now();
            wire.send(format!("POST /read HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BODY}\r\n\r\n"));
            let reply = wire.reply();
            assert_eq!((reply.status, reply.reason()), (503, Some("overloaded")));
            assert_eq!(reply.header("retry-after"), Some("1"));
            start.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[30] <= REFUSED_WITHIN, "{took:?}");
    // 89 % of the room is taken: low priority is turned away, and nobody else who needs none of it.
    assert_eq!(ask(&gateway, "/low").reason(), Some("overloaded"));
    assert_eq!(ask(&gateway, "/x").text(), "ok");
    for wire in &mut held {
        wire.send(vec![b'x'; MIB]);
        assert_eq!(wire.reply().status, 200);
    }
    eventually("all room free", || (pressure(&gateway, "body_bytes") == 0).then_some(()));
    within(RECOVERED_WITHIN, "low priority is served", || (ask(&gateway, "/low").status == 200).then_some(()));
}

/// The aim; half of the requests must reach it on a machine that does other things as well.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn sixty_four_bodies_at_once_stay_in_their_room_and_their_memory_is_given_back() {
    let gateway = gateway("{ memory: 256MiB }");
    assert_eq!(pressure(&gateway, "body_bytes_max"), 64 << 20);
    // So that what a first body costs is not counted.
    assert_eq!(post_chunked(&gateway, BODY), Some(200));
    let (before, _) = gateway.process.resident_bytes();
    let counts = Mutex::new((0, 0));
    let barrier = Barrier::new(64);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                barrier.wait();
                let status = post_chunked(&gateway, BODY);
                let mut counts = counts.lock().unwrap();
                match status {
                    Some(200) => counts.0 += 1,
                    // A refusal amid a body may be lost with the connection.
                    Some(503) | None => counts.1 += 1,
                    other => panic!("{other:?}"),
                }
            });
        }
    });
    let (served, refused) = counts.into_inner().unwrap();
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
    let (_, peak) = gateway.process.resident_bytes();
    println!("{served} served, {refused} refused; {} MiB before, {} at most", before >> 20, peak >> 20);
    assert!(peak <= (256 << 20) * 21 / 20, "{} MiB before, {} at most", before >> 20, peak >> 20);
    given_back(&gateway, before);
    eventually("all room free", || (pressure(&gateway, "body_bytes") == 0).then_some(()));
    assert_eq!(post_chunked(&gateway, BODY), Some(200));
}

/// Sends a body whose length is not announced; the status, if there is one.
fn post_chunked(gateway: &Gateway, length: usize) -> Option<u16> {
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /read HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"40000\r\n", vec![b'x'; 0x40000].as_slice(), b"\r\n"].concat();
    for _ in 0..length / 0x40000 {
        wire.send(&chunk);
    }
    wire.send("0\r\n\r\n");
    wire.reply_or_close().map(|reply| reply.status)
}

/// Memory is back at what it was, and a tenth, within a minute.
fn given_back(gateway: &Gateway, before: u64) {
    within(MEMORY_BACK_WITHIN, "memory is given back", || {
        let (now, _) = gateway.process.resident_bytes();
        (now <= before + before / 10).then_some(())
    });
}

const MEMORY_BACK_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn the_memory_of_an_attack_is_given_back() {
    let origin = Origin::talking(|conversation| while conversation.request_head().is_some() {});
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ));
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")];
    let attack = || {
        let mut connections = Vec::new();
        for _ in 0..40 {
            let mut frames = Frames::connect(gateway.address(), &[(4, 0)]);
            let flags = Flags::END_HEADERS | Flags::END_STREAM;
            let streams = (1..=199).step_by(2);
            let all: Vec<Frame> =
                streams.map(|stream| Frame::new(FrameKind::Headers, flags, stream, header_block(&fields))).collect();
            frames.send(&all);
            frames.send(&[Frame::new(FrameKind::Ping, Flags::NONE, 0, [7; 8])]);
            connections.push(frames);
        }
        for frames in &mut connections {
            frames.find(|frame| frame.kind == FrameKind::Ping);
        }
        gateway.process.resident_bytes().0
    };
    // A first one, so that what serving costs once is not counted: code that is read from its file, stacks, pools.
    let (cold, _) = gateway.process.resident_bytes();
    attack();
    let is_over = || gateway.admin_get("/metrics").text().contains("\ngatewright_connections 0\n").then_some(());
    eventually("the first attack is over", is_over);
    within(MEMORY_BACK_WITHIN, "the first attack's memory is given back", || {
        (gateway.process.resident_bytes().0 <= cold + (32 << 20)).then_some(())
    });
    let (before, _) = gateway.process.resident_bytes();
    let under = attack();
    println!("{} MiB cold, {} before, {} under attack", cold >> 20, before >> 20, under >> 20);
    assert!(under > before + (16 << 20), "{} MiB before, {} under attack", before >> 20, under >> 20);
    given_back(&gateway, before);
}

#[test]
fn at_the_bound_of_memory_everything_is_turned_away_until_there_is_more() {
    let gateway = gateway("{ memory: 1MiB }");
    let mut wire = Wire::connect(gateway.address());
    let mut took = Vec::new();
    for _ in 0..50 {
        let mut wire = Wire::connect(gateway.address());
        let start = Instant::now();
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let reply = wire.reply();
        took.push(start.elapsed());
        assert_eq!((reply.status, reply.reason()), (503, Some("overloaded")));
        assert_eq!((reply.header("retry-after"), reply.header("connection")), (Some("1"), Some("close")));
    }
    took.sort();
    assert!(took[25] <= REFUSED_WITHIN, "{took:?}");
    wire.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BODY}\r\n\r\n"));
    assert_eq!(wire.reply().reason(), Some("overloaded"));
    let status = gateway.admin_get("/status").json();
    assert_eq!(status["overload"]["refuse"], true, "{status}");
    let metrics = gateway.admin_get("/metrics").text();
    assert!(metrics.contains("gatewright_overload{measure=\"refuse\"} 1"), "{metrics}");
    let file = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("memory: 1MiB", "memory: 4GiB");
    std::fs::write(&file, text).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    within(RECOVERED_WITHIN, "requests are served", || (ask(&gateway, "/x").status == 200).then_some(()));
    assert_eq!(gateway.admin_get("/status").json()["overload"]["refuse"], false);
}

#[test]
fn near_the_bound_of_connections_none_is_kept_alive() {
    let gateway = Gateway::start("bounds: { connections: 10 }\nroutes: [{ name: all, respond: { status: 204 } }]\n");
    let mut wires: Vec<Wire> = (0..8).map(|_| Wire::connect(gateway.address())).collect();
    let get = |wires: &mut Vec<Wire>, index: usize| {
        let wire = &mut wires[index];
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        wire.reply().header("connection").map(str::to_owned)
    };
    for index in 0..8 {
        assert_eq!(get(&mut wires, index), None);
    }
    wires.push(Wire::connect(gateway.address()));
    eventually("a connection is closed", || (get(&mut wires, 8).as_deref() == Some("close")).then_some(()));
    assert!(wires.pop().unwrap().rest().is_empty());
    let mut frames = Frames::connect(gateway.address(), &[]);
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")];
    let flags = Flags::END_HEADERS | Flags::END_STREAM;
    frames.send(&[Frame::new(FrameKind::Headers, flags, 1, header_block(&fields))]);
    assert!(frames.find(|frame| frame.kind == FrameKind::GoAway).is_some());
}

/// Capacity of the origin in the test below: so many at once, each for so long.
const AT_ONCE: usize = 8;
const EACH: Duration = Duration::from_millis(20);

#[test]
fn at_five_times_capacity_what_is_admitted_is_served_in_time_and_the_rest_is_told_at_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (now, most.clone());
    let origin = Origin::talking(move |conversation: &mut Conversation| {
        while conversation.request().is_some() {
            counts.1.fetch_max(counts.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let (_sender, receiver) = std::sync::mpsc::channel::<()>();
            let _timed_out = receiver.recv_timeout(EACH);
            counts.0.fetch_sub(1, Ordering::SeqCst);
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}], concurrency: {{ max: {AT_ONCE}, queue: {AT_ONCE}, wait: 200ms }} }} }}\n\
         routes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ));
    let until = Instant::now() + Duration::from_secs(3);
    let results = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..5 * AT_ONCE {
            scope.spawn(|| {
                let mut wire = Wire::connect(gateway.address());
                while Instant::now() < until {
                    let start = Instant::now();
                    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    let reply = wire.reply();
                    let took = start.elapsed();
                    match (reply.status, reply.reason()) {
                        (200, None) => results.lock().unwrap().0.push(took),
                        (503, Some("concurrency-limited")) => {
                            results.lock().unwrap().1.push(took);
                            // A client that is told to come back later waits, if only a little.
                            std::thread::sleep(EACH);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let (mut served, mut refused) = results.into_inner().unwrap();
    served.sort();
    refused.sort();
    let at = |times: &[Duration], percent: usize| times[times.len() * percent / 100];
    let summary = format!(
        "{} served, p50 {:?}, p99 {:?}; {} refused, p50 {:?}, p99 {:?}",
        served.len(),
        at(&served, 50),
        at(&served, 99),
        refused.len(),
        at(&refused, 50),
        at(&refused, 99)
    );
    println!("{summary}");
    // Half of what the origin could serve, and twice its time with the queue before it, on a machine that is busy itself.
    assert!(served.len() >= 3 * 50 * AT_ONCE / 2, "{summary}");
    assert!(at(&served, 99) <= 5 * 2 * EACH && at(&refused, 50) <= REFUSED_WITHIN, "{summary}");
    within(RECOVERED_WITHIN, "the load is gone", || (ask(&gateway, "/x").status == 200).then_some(()));
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
}
