//! Endpoints that are told of the client by the PROXY protocol.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use harness::{Client, Protocol, Wire};

use super::{endpoint, gateway, gateway_with};

/// A server that reads a header of version 1 or 2 and one request, and tells what the header was.
fn listening() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, headers) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Some(header) = serve(stream) else { continue };
            if told.send(header).is_err() {
                return;
            }
        }
    });
    (address, headers)
}

fn serve(mut stream: TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut header = vec![0; 6];
    reader.read_exact(&mut header).ok()?;
    if header == b"PROXY " {
        reader.read_until(b'\n', &mut header).unwrap();
    } else {
        header.resize(16, 0);
        reader.read_exact(&mut header[6..]).unwrap();
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.resize(16 + length, 0);
        reader.read_exact(&mut header[16..]).unwrap();
    }
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let is_request = line.starts_with("GET ");
    while is_request && line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    if is_request {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere").unwrap();
    }
    Some(header)
}

#[test]
fn each_request_has_a_connection_that_tells_of_its_client() {
    for version in ["v1", "v2"] {
        let (address, headers) = listening();
        let endpoints = [endpoint(&format!("http://{address}"), "")];
        let upstream = format!("    proxy_protocol: {version}");
        let gateway = gateway_with(&endpoints, &upstream, "trusted_proxies: [127.0.0.1/32]");
        let mut wire = Wire::connect(gateway.address());
        let (peer, local) = (wire.socket().local_addr().unwrap(), gateway.address());
        for client in ["", "192.0.2.7", "2001:db8::7"] {
            let told = if client.is_empty() { String::new() } else { format!("X-Forwarded-For: {client}\r\n") };
            wire.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{told}\r\n"));
            assert_eq!(wire.reply().text(), "there");
            let header = headers.recv().unwrap();
            let (family, length, ends) = match client {
                "" => (0x11, 12, format!("TCP4 127.0.0.1 127.0.0.1 {}", peer.port())),
                "192.0.2.7" => (0x11, 12, "TCP4 192.0.2.7 127.0.0.1 0".to_owned()),
                _ => (0x21, 36, "TCP6 2001:db8::7 ::ffff:127.0.0.1 0".to_owned()),
            };
            if version == "v1" {
                assert_eq!(String::from_utf8(header).unwrap(), format!("PROXY {ends} {}\r\n", local.port()));
            } else {
                let head = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, family, 0, length]].concat();
                assert!(header.starts_with(&head) && header.ends_with(&local.port().to_be_bytes()), "{header:?}");
            }
        }
    }
}

#[test]
fn checks_tell_that_they_have_no_client() {
    let (address, headers) = listening();
    let check = "    proxy_protocol: v1\n    health: { check: tcp, interval: 100ms }";
    let gateway = gateway(&[endpoint(&format!("http://{address}"), "")], check);
    assert_eq!(headers.recv().unwrap(), b"PROXY UNKNOWN\r\n");
    assert_eq!(Client::connect(gateway.address(), Protocol::Http2).get("/x", &[]).body, b"there");
    assert!(headers.iter().any(|header| header.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")));
}
