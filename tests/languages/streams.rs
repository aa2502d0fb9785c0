//! Events, and the log.

use harness::{Client, Gateway, Protocol};

/// A whole response with these events.
pub(super) fn stream(events: &[&str]) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let events = events.iter().map(|data| format!("data: {data}\n\n"));
    let chunks: String = events.map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect();
    format!("{head}{chunks}0\r\n\r\n")
}

/// Asks for streams, and compares their events.
pub(super) fn check_all(gateway: &Gateway, protocol: Protocol, context: &str) {
    let changed = "data: one\n\nevent: renamed\ndata: rename!\n\ndata: caf\u{e9}\n\ndata: last\n\ndata: complete\n\n";
    let whole = "data: one\n\ndata: swallow\n\ndata: rename\n\ndata: caf\u{e9}\n\ndata: last\n\n";
    let mut client = Client::connect(gateway.address(), protocol);
    for (path, case, expected) in [
        ("/stream", "events", changed),
        ("/stream", "events-detach", whole),
        ("/stream", "nothing", whole),
        ("/stopped", "events", "data: one\n\ndata: stopped\n\n"),
    ] {
        let reply = client.get(path, &[("x-case", case)]);
        assert_eq!((reply.status, reply.text().as_str()), (200, expected), "{context}: {case}");
        assert_eq!(reply.header("x-conformance"), Some("hello"), "{context}: {case}");
    }
    let cut = client.try_ask("GET", "/stream", &[("x-case", "events-failure")], b"");
    assert!(cut.is_err(), "{context}: {cut:?}");
}

/// Has it write to the log.
pub(super) fn check_log(gateway: &Gateway, language: &str) {
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(client.get("/", &[("x-case", "log")]).status, 200, "{language}");
    let wait = |text: &str, and: &str| {
        let found = |line: &str| line.contains("policy says") && line.contains(text) && line.contains(and);
        gateway.process.stderr.wait_for(&format!("line of {language}"), |line| found(line).then_some(()));
    };
    wait("\"said as told\"", "\"key=value\"");
    wait("\"over with 200\"", "INFO");
    if language == "c" {
        // C's own `printf`, which goes through WASI preview 1.
        assert_eq!(client.get("/", &[("x-case", "print")]).status, 200);
        wait("\"printed 1 to standard output\"", "INFO");
        wait("\"printed 2 to standard error\"", "WARN");
    }
}
