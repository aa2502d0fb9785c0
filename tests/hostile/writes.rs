//! What a failed call wrote never was.

use harness::{Client, Origin, Protocol};

use super::gateway_to;

#[test]
fn nothing_that_a_failed_policy_wrote_reaches_the_upstream() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    for (deed, body) in [("write-then-panic", "{}"), ("on-request-body/write-then-panic", "{}")] {
        let mut client = Client::connect(gateway.address(), Protocol::Http1);
        let headers = [("x-do", deed), ("x-kept", "as it was")];
        let refused = client.post("/open", &[("x-do", "panic")], b"first");
        assert_eq!(refused.status, 200);
        drop(origin.take());
        let reply = client.post("/open/path?query=1", &headers, body.as_bytes());
        assert_eq!((reply.status, reply.header("x-written")), (200, None), "{deed}");
        let recording = origin.take();
        let [request] = recording.requests.as_slice() else { panic!("{deed}: {recording:?}") };
        assert_eq!(request.line, "POST /open/path?query=1 HTTP/1.1", "{deed}");
        assert_eq!(request.values("x-kept"), ["as it was"], "{deed}");
        assert_eq!(request.values("x-do"), [deed]);
        assert_eq!(request.values("host"), [gateway.address().to_string()], "{deed}");
        assert_eq!(String::from_utf8_lossy(&request.body), body, "{deed}");
        assert!(request.values("x-other").is_empty(), "{deed}: the upstream is another");
        assert!(!String::from_utf8_lossy(&recording.bytes).contains("written by"), "{deed}");
        assert!(request.values("x-written").is_empty(), "{deed}");
    }
}

#[test]
fn a_closed_failure_sends_the_upstream_nothing() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for deed in ["spin", "panic", "grow", "failure", "write-then-panic", "on-request-body/panic", "handles"] {
        assert_eq!(client.post("/", &[("x-do", deed)], b"{}").status, 500, "{deed}");
        let recording = origin.take();
        assert!(recording.bytes.is_empty(), "{deed}: {recording:?}");
    }
    assert_eq!(client.post("/", &[], b"{}").status, 200);
    assert_eq!(origin.take().requests.len(), 1);
}

#[test]
fn headers_for_a_response_that_is_not_there_yet_wait_for_it() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let ahead = Some("owned: refused, many: 63, asked: ahead");
    assert_eq!(client.get("/", &[("x-do", "ahead")]).header("x-ahead"), ahead);
    assert_eq!(client.get("/", &[]).header("x-ahead"), None);
    // An upstream that fails is answered for by the gateway, on the same way back.
    let broken = Origin::answering("what is this?");
    let gateway = gateway_to(&broken, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let failed = client.get("/", &[("x-do", "ahead")]);
    assert_eq!((failed.status, failed.header("x-ahead")), (502, ahead));
}
