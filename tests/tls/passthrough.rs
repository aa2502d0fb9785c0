//! TLS that goes through as it comes: the greeting's name decides, and the bytes are the other side's.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use harness::{Authority, DEADLINE, Gateway, Origin, Wire, eventually};

/// The bytes of a greeting for a name.
fn greeting(name: &str, authority: &Authority) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(authority.client(None, &["http/1.1"]), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// A gateway that passes `a.test` and `*.b.test` on, and the authority of the certificate that the origin shows.
fn passing(origin: &Origin, more: &str) -> Gateway {
    Gateway::start(&format!(
        r#"listeners: [{{ address: "127.0.0.1:0", passthrough: {{ a.test: origin, "*.b.test": origin }} }}]
timeouts: {{ tls_handshake: 1s }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] {more} }} }}
routes: []
"#,
        origin.url()
    ))
}

/// An origin with TLS of its own, that answers requests.
fn with_tls(authority: &Authority) -> Origin {
    let identity = authority.sign(&["a.test", "x.b.test"]);
    Origin::talking_tls(identity.server(&["http/1.1"]), |conversation| {
        while conversation.request().is_some() {
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })
}

fn count(gateway: &Gateway, upstream: &str, outcome: &str) -> u64 {
    let metrics = gateway.admin_get("/metrics").text();
    let name = format!("gatewright_passthroughs_total{{upstream=\"{upstream}\",outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_name_goes_through_to_its_upstream_and_any_other_gets_an_alert() {
    let authority = Authority::new("servers");
    let origin = with_tls(&authority);
    let gateway = passing(&origin, "");
    for name in ["a.test", "A.TEST", "x.b.test"] {
        // The certificate is the origin's: the gateway has none.
        let client = authority.client(None, &["http/1.1"]);
        let (mut wire, _) = Wire::connect_tls(gateway.address(), name, client).unwrap();
        wire.send(format!("GET /x HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(wire.reply().status, 200, "{name}");
    }
    assert_eq!(count(&gateway, "origin", "passed"), 3);
    let before = origin.take().connections;
    for name in ["b.test", "x.y.b.test", "c.test", "127.0.0.1"] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.write_all(&greeting(name, &authority)).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        // RFC 6066 §3: unrecognized_name, fatal.
        assert_eq!(answer, [21, 3, 3, 0, 2, 2, 112], "{name}");
    }
    assert_eq!((count(&gateway, "", "unknown-name"), count(&gateway, "", "no-name")), (3, 1));
    assert_eq!(origin.take().connections, 0, "{before}");
}

#[test]
fn a_greeting_may_come_in_pieces_but_not_for_ever_and_nothing_else_is_one() {
    let authority = Authority::new("servers");
    let origin = Origin::talking(|conversation| drop(conversation.wire.rest()));
    let gateway = passing(&origin, "");
    let whole = greeting("a.test", &authority);
    let (head, hello) = whole.split_at(5);
    // Records of 7 bytes (RFC 8446 §5.1), each in a segment of its own.
    let records = hello.chunks(7).map(|piece| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&head[..3], &length, piece].concat()
    });
    let mut socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut sent = Vec::new();
    for record in records {
        socket.write_all(&record).unwrap();
        sent.extend(record);
    }
    socket.write_all(b"and what follows\r\n\r\n").unwrap();
    sent.extend(b"and what follows\r\n\r\n");
    origin.wait_until("the bytes", |recording| recording.bytes == sent);
    drop((socket, origin.take()));
    for (name, bytes) in [
        ("silence", Vec::new()),
        ("half of it", whole.get(..whole.len() / 2).unwrap().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec()),
        ("zeros", vec![0; 70_000]),
        ("an endless greeting", [&[22, 3, 1, 64, 0, 1, 255, 255, 255][..], &[0; 16380]].concat()),
    ] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = Vec::new();
        // It may be closed before everything is sent.
        let sent = socket.write_all(&bytes);
        let ended = sent.and_then(|()| socket.read_to_end(&mut answer));
        let is_timeout = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!is_timeout && answer.len() < 16, "{name}");
        assert_eq!(origin.take().connections, 0, "{name}");
    }
}

#[test]
fn each_side_ends_for_itself_and_silence_ends_both() {
    let authority = Authority::new("servers");
    // It answers once the client has ended.
    let origin = Origin::talking(|conversation| {
        conversation.wire.rest();
        conversation.send("goodbye");
    });
    let gateway = passing(&origin, ", timeouts: { idle: 1s }");
    let mut socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(&greeting("a.test", &authority)).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"goodbye");
    let mut silent = TcpStream::connect(gateway.address()).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    silent.write_all(&greeting("a.test", &authority)).unwrap();
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_tunnel_that_began_before_sigterm_is_finished_and_a_dead_endpoint_is_told() {
    let authority = Authority::new("servers");
    let origin = with_tls(&authority);
    let mut gateway = passing(&origin, "");
    let client = authority.client(None, &["http/1.1"]);
    let (mut wire, _) = Wire::connect_tls(gateway.address(), "a.test", Arc::clone(&client)).unwrap();
    gateway.process.terminate();
    eventually("the end of the listener", || TcpStream::connect(gateway.address()).is_err().then_some(()));
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(wire.reply().status, 200);
    drop(wire);
    assert!(gateway.process.wait().success());

    let gateway = passing(&origin, "");
    origin.stop();
    let mut socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(&greeting("a.test", &authority)).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    // RFC 8446 §6.2: internal_error, fatal.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 80]);
    assert_eq!(count(&gateway, "origin", "upstream-unreachable"), 1);
}

#[test]
fn names_that_are_not_passed_on_are_served_where_there_are_certificates() {
    let (authority, others) = (Authority::new("servers"), Authority::new("others"));
    let folder = tempfile::tempdir().unwrap();
    others.sign(&["c.test"]).write(folder.path(), "c.test");
    let (origin, plain) = (with_tls(&authority), Origin::ok());
    let config = format!(
        r#"listeners:
  - address: 127.0.0.1:0
    passthrough: {{ a.test: there }}
    tls: {{ certificates: [{{ cert: c.test.crt, key: c.test.key }}] }}
upstreams:
  there: {{ endpoints: [{{ url: {:?} }}] }}
  here: {{ endpoints: [{{ url: {:?} }}] }}
routes: [{{ name: all, upstream: here }}]
"#,
        origin.url(),
        plain.url()
    );
    let gateway = Gateway::start_in(folder, &config);
    for (name, authority, passed) in [("a.test", &authority, true), ("c.test", &others, false)] {
        let client = authority.client(None, &["http/1.1"]);
        let (mut wire, _) = Wire::connect_tls(gateway.address(), name, client).unwrap();
        wire.send(format!("GET /x HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(wire.reply().status, 200, "{name}");
        assert_eq!(plain.take().requests.is_empty(), passed, "{name}");
    }
}
