//! A policy that misbehaves on a stream.

use harness::{Client, DEADLINE, Gateway, Origin, Protocol};

use super::gateway_to;

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                      b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n";

fn streaming() -> (Origin, Gateway) {
    let origin = Origin::answering(STREAM);
    let gateway = gateway_to(&origin, "");
    (origin, gateway)
}

#[test]
fn a_failure_on_an_event_cuts_that_stream_and_no_other() {
    let (_origin, gateway) = streaming();
    for protocol in Protocol::ALL {
        for deed in ["spin", "panic", "recurse", "grow", "failure", "bloat", "many"] {
            let mut client = Client::connect(gateway.address(), protocol);
            let told = format!("on-event/{deed}");
            let cut = client.try_ask("GET", "/", &[("x-do", &told)], b"");
            assert!(cut.is_err(), "{deed} over {protocol:?}: {cut:?}");
            // HTTP/1.1 has no other way to say that a response broke off than to close.
            if protocol == Protocol::Http1 {
                client = Client::connect(gateway.address(), protocol);
            }
            let calm = client.get("/", &[]);
            assert_eq!((calm.status, calm.text().as_str()), (200, "data: one\n\ndata: two\n\n"), "after {deed}");
        }
    }
}

#[test]
fn a_failure_on_an_event_that_fails_open_passes_the_stream_as_it_came() {
    let (_origin, gateway) = streaming();
    for deed in ["on-event/panic", "on-event/failure", "on-event/bloat"] {
        let reply = Client::connect(gateway.address(), Protocol::Http1).get("/open", &[("x-do", deed)]);
        assert_eq!((reply.status, reply.text().as_str()), (200, "data: one\n\ndata: two\n\n"), "{deed}");
    }
}

#[test]
fn an_event_cannot_be_made_into_two() {
    let (_origin, gateway) = streaming();
    for protocol in Protocol::ALL {
        let reply = Client::connect(gateway.address(), protocol).get("/", &[("x-do", "on-event/forge")]);
        let text = reply.text();
        assert!(text.contains("first") && text.contains("last"), "{text}");
        // Each event is one block, and in it every line that the guest wrote is data or the one name.
        for block in text.split_terminator("\n\n") {
            let names = block.lines().filter(|line| line.starts_with("event: ")).count();
            let is_plain = |line: &str| line.starts_with("event: ") || line.starts_with("data: ");
            assert!(names == 1 && block.lines().all(is_plain), "{block:?} in {text:?}");
        }
        assert!(!text.contains('\r'), "{text:?}");
    }
}

#[test]
fn a_finished_stream_ends_as_it_should() {
    let (_origin, gateway) = streaming();
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let reply = client.get("/", &[("x-do", "on-event/finish")]);
        assert_eq!((reply.status, reply.text().as_str()), (200, "data: the end\n\n"), "{protocol:?}");
        assert_eq!(client.get("/", &[]).status, 200);
    }
}

/// An origin whose stream never ends by itself.
fn endless(event: &'static str) -> Origin {
    Origin::talking(move |conversation| {
        if conversation.request().is_none() {
            return;
        }
        conversation.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len()).repeat(16);
        let started = std::time::Instant::now();
        while !conversation.wire.closes_within(std::time::Duration::from_millis(1)) {
            assert!(started.elapsed() < DEADLINE, "the gateway takes a stream without an end");
            conversation.send(&chunk);
        }
    })
}

#[test]
fn an_event_that_never_stops_growing_ends_its_stream() {
    // One whole event after the other, which the guest swallows into its state; and one event that has no end.
    for (event, deed) in [("data: 0123456789abcdef\n\n", "on-event/swell"), ("data: 0123456789abcdef\n", "count")] {
        let origin = endless(event);
        let gateway = gateway_to(&origin, "");
        for protocol in Protocol::ALL {
            let mut client = Client::connect(gateway.address(), protocol);
            let cut = client.try_ask("GET", "/", &[("x-do", deed)], b"");
            assert!(cut.is_err(), "{deed} over {protocol:?}: {cut:?}");
        }
        let (_, highest) = gateway.process.resident_bytes();
        assert!(highest < 512 << 20, "{deed}: {} MiB", highest >> 20);
    }
}

#[test]
fn a_compressed_stream_does_not_get_past_a_policy_that_reads_events() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send(STREAM.replace("content-type", "content-encoding: gzip\r\ncontent-type"));
        }
    });
    let gateway = gateway_to(&origin, "");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let reply = client.get("/", &[("accept-encoding", "gzip, br")]);
        assert_eq!((reply.status, reply.reason()), (500, Some("policy-encoded-body")), "{protocol:?}");
        let recording = origin.take();
        assert_eq!(recording.requests[0].values("accept-encoding"), ["identity"]);
    }
}
