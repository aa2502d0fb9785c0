//! gRPC's own library calls its own server through the gateway: messages, trailers, deadlines, failures.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use harness::{Client, Gateway, Protocol, fixture, python};

/// The script, once its server listens.
struct Calls {
    child: Child,
    told: BufReader<ChildStdout>,
    port: String,
}

impl Calls {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(python());
        command.arg(fixture("grpc_calls.py")).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        told.read_line(&mut port).unwrap();
        Self { child, told, port: port.trim().to_owned() }
    }

    fn gateway(&self) -> Gateway {
        gateway(&self.port)
    }

    /// Makes the calls, and tells the line that they end with.
    fn make(mut self, gateway: &Gateway, lonely: &Gateway) -> String {
        writeln!(self.child.stdin.take().unwrap(), "{} {}", gateway.address(), lonely.address()).unwrap();
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        self.child.wait().unwrap();
        line.trim().to_owned()
    }
}

/// A gateway in front of a server on this port.
fn gateway(port: &str) -> Gateway {
    Gateway::start(&format!(
        "policies: {{ keys: {{ plugin: key-auth, grants: {{ metadata: [auth] }}, config: {{ header: x-key, keys: [] }} }} }}\n\
         upstreams: {{ calls: {{ endpoints: [{{ url: \"http://127.0.0.1:{port}\" }}], protocol: http2 }} }}\n\
         routes:\n  \
         - {{ name: slow, match: {{ path: {{ prefix: /test.Calls }} }}, upstream: calls, total: 1s }}\n  \
         - {{ name: guarded, match: {{ path: {{ prefix: /guarded.Calls }} }}, policies: [keys], upstream: calls }}\n"
    ))
}

#[test]
fn calls_of_every_kind_pass_and_fail_in_grpcs_own_words() {
    let calls = Calls::start(&[]);
    let (gateway, lonely) = (calls.gateway(), gateway("1"));
    assert_eq!(calls.make(&gateway, &lonely), "done");
}

#[test]
fn a_server_that_dies_after_the_first_message_is_told_in_the_trailers() {
    let calls = Calls::start(&["--half"]);
    let gateway = calls.gateway();
    // Another process calls: the server takes its own down with it.
    let port = calls.port.clone();
    let mut caller = Calls::start(&["--half"]);
    writeln!(caller.child.stdin.take().unwrap(), "{0} {0}", gateway.address()).unwrap();
    let mut line = String::new();
    caller.told.read_line(&mut line).unwrap();
    caller.child.wait().unwrap();
    assert_eq!(line.trim(), "got [b'one'] StatusCode.UNAVAILABLE", "port {port}");
    let line = gateway.access_line("why", |line| line["route"] == "slow");
    assert_eq!(line["reason"], "upstream-broken");
}

#[test]
fn what_is_no_call_is_answered_as_ever() {
    let gateway = gateway("1");
    let call = &[("content-type", "application/grpc"), ("te", "trailers")][..];
    let other = &[("content-type", "application/grpc-web")][..];
    let mut client = Client::connect(gateway.address(), Protocol::Http2);
    let reply = client.post("/test.Calls/echo", call, b"");
    assert_eq!(
        (reply.status, reply.header("grpc-status"), reply.reason()),
        (200, Some("14"), Some("upstream-unreachable"))
    );
    assert!(reply.body.is_empty());
    assert_eq!(client.post("/test.Calls/echo", other, b"").status, 502);
    let slow = client.post("/test.Calls/echo", &[call, &[("grpc-timeout", "soon")]].concat(), b"");
    assert_eq!((slow.status, slow.reason()), (400, Some("malformed-request")));
    assert_eq!(Client::connect(gateway.address(), Protocol::Http1).post("/test.Calls/echo", call, b"").status, 502);
}
