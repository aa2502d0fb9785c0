//! The PROXY protocol: believed of the proxies that are named, and read strictly.

use std::io::Write as _;
use std::net::TcpStream;

use harness::{Authority, Gateway, Origin, Wire};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// A version 2 header of these parts.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}

/// A gateway whose listener has these settings.
fn gateway(origin: &Origin, listener: &str, more: &str) -> Gateway {
    Gateway::start(&format!(
        "{more}\nlisteners: [{{ address: 127.0.0.1:0, {listener} }}]\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ))
}

/// Sends a header and a request, and tells whom the upstream takes for the client; nobody if there was no answer.
fn ask(gateway: &Gateway, origin: &Origin, header: &[u8], request: &str) -> Option<String> {
    let mut wire = Wire::connect(gateway.address());
    wire.send([header, request.as_bytes()].concat());
    let reply = wire.reply_or_close();
    let seen = origin.take();
    assert_eq!(seen.requests.len(), usize::from(reply.is_some()), "{seen:?}");
    reply.map(|_| seen.requests.first().unwrap().values("x-forwarded-for").join("|"))
}

#[test]
fn the_address_behind_a_proxy_is_the_clients() {
    let origin = Origin::ok();
    let gateway = gateway(&origin, "proxy_protocol: { from: [127.0.0.0/8] }", "trusted_proxies: [192.0.2.0/24]");
    let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x04, 0xd2, 1, 0xbb];
    let mut v6 = [0; 36];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    v6[15] = 9;
    for (header, client) in [
        (V1.to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x21, 0x11, &v4), "192.0.2.7"),
        (binary(0x21, 0x11, &[&v4[..], &[4, 0, 3, 1, 2, 3]].concat()), "192.0.2.7"),
        (binary(0x21, 0x21, &v6), "2001::9"),
        (binary(0x20, 0x00, &[]), "127.0.0.1"),
        (binary(0x21, 0x00, &[]), "127.0.0.1"),
    ] {
        assert_eq!(ask(&gateway, &origin, &header, GET).as_deref(), Some(client), "{header:?}");
    }
    // The proxy's word on who connected to it decides whose `x-forwarded-for` is believed.
    let told = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&gateway, &origin, V1, told).as_deref(), Some("203.0.113.9, 192.0.2.7"));
    let other = b"PROXY TCP4 198.51.100.9 198.51.100.1 1 2\r\n";
    assert_eq!(ask(&gateway, &origin, other, told).as_deref(), Some("198.51.100.9"));
    // Logs name the client.
    let line = gateway.access_line("the client's address", |line| line["client"] == "203.0.113.9");
    assert_eq!(line["status"], 200, "{line}");
}

#[test]
fn what_is_no_header_ends_the_connection() {
    let origin = Origin::ok();
    let gateway = gateway(&origin, "proxy_protocol: { from: [127.0.0.0/8] }", "timeouts: { first_byte: 1s }");
    let long = binary(0x21, 0x11, &[0; 2049]);
    for header in [
        b"".as_slice(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1234\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 1234 443\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 1234 443\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 1234 443\r\n",
        b" PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n",
        &binary(0x21, 0x12, &[0; 12]),
        &binary(0x21, 0x11, &[0; 11]),
        &binary(0x31, 0x11, &[0; 12]),
        &binary(0x21, 0x11, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 9, 1]),
        &long,
    ] {
        assert_eq!(ask(&gateway, &origin, header, GET), None, "{header:?}");
    }
    // One that is never finished is not waited for.
    let mut wire = Wire::connect(gateway.address());
    wire.send(&V1[..20]);
    assert!(wire.closes());
    // A second header is no request.
    let twice = [V1, V1].concat();
    let mut wire = Wire::connect(gateway.address());
    wire.send([&twice, GET.as_bytes()].concat());
    assert_eq!(wire.reply().status, 400);
    assert!(origin.take().bytes.is_empty());
}

#[test]
fn who_is_none_of_the_proxies_is_refused_or_not_read() {
    let origin = Origin::ok();
    let refusing = gateway(&origin, "proxy_protocol: { from: [192.0.2.0/24] }", "");
    assert_eq!(ask(&refusing, &origin, V1, GET), None);
    assert_eq!(ask(&refusing, &origin, b"", GET), None);
    let serving = gateway(&origin, "proxy_protocol: { from: [192.0.2.0/24], others: serve }", "");
    assert_eq!(ask(&serving, &origin, b"", GET).as_deref(), Some("127.0.0.1"));
    let mut wire = Wire::connect(serving.address());
    wire.send([V1, GET.as_bytes()].concat());
    assert_eq!(wire.reply().status, 400);
    assert!(origin.take().bytes.is_empty());
}

#[test]
fn the_header_comes_before_tls() {
    let origin = Origin::ok();
    let authority = Authority::new("servers");
    let folder = tempfile::tempdir().unwrap();
    authority.sign(&["a.test"]).write(folder.path(), "a");
    let config = format!(
        "listeners:\n  - address: 127.0.0.1:0\n    proxy_protocol: {{ from: [127.0.0.1/32] }}\n    \
         tls: {{ certificates: [{{ cert: a.crt, key: a.key }}] }}\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    );
    let gateway = Gateway::start_in(folder, &config);
    let mut socket = TcpStream::connect(gateway.address()).unwrap();
    socket.write_all(V1).unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let connection = ClientConnection::new(authority.client(None, &["http/1.1"]), name).unwrap();
    let mut wire = Wire::over(Box::new(StreamOwned::new(connection, socket.try_clone().unwrap())), socket);
    wire.send(GET);
    assert_eq!(wire.reply().status, 200);
    assert_eq!(origin.take().requests.first().unwrap().values("x-forwarded-for"), ["192.0.2.7"]);
}
