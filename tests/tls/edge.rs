//! The edge of TLS: what is spoken, how a greeting may arrive, and what those cost who never finish theirs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use harness::{Authority, DEADLINE, Gateway, Origin, Wire};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::{ask, gateway_with_tls};

/// What `openssl s_client` says of a handshake with these options.
fn openssl(gateway: &Gateway, options: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &gateway.address().to_string(), "-servername", "a.test"]).args(options);
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn only_versions_and_ciphers_without_findings_are_spoken() {
    let origin = Origin::ok();
    let (gateway, _) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    let good = "Cipher is ";
    for options in [
        &["-tls1_3"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ] {
        let text = openssl(&gateway, options);
        assert!(text.contains(good) && !text.contains("Cipher is (NONE)"), "{options:?}: {text}");
    }
    for options in [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        // Without authentication of each record (CBC), without forward secrecy, without a key exchange on curves.
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-CCM8"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA:AES256-SHA"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ADH-AES128-SHA:NULL:@SECLEVEL=0"],
    ] {
        let text = openssl(&gateway, options);
        assert!(text.contains("Cipher is (NONE)"), "{options:?}: {text}");
    }
}

#[test]
fn nothing_is_read_before_the_handshake_is_over() {
    let origin = Origin::ok();
    let (gateway, _) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (session, early) = (folder.path().join("session"), folder.path().join("early"));
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &gateway.address().to_string(), "-servername", "a.test", "-tls1_3"]);
    command.args(["-ign_eof", "-sess_out"]).arg(&session).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let get = b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    child.stdin.take().unwrap().write_all(get).unwrap();
    let text = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
    assert!(text.contains("Max Early Data: 0") && !text.contains("Max Early Data: 1"), "{text}");
    // RFC 8446 §4.2.10: who was offered none may send none, and openssl does not even try.
    std::fs::write(&early, get).unwrap();
    let text =
        openssl(&gateway, &["-tls1_3", "-sess_in", session.to_str().unwrap(), "-early_data", early.to_str().unwrap()]);
    assert!(!text.contains("Early data was accepted"), "{text}");
    assert_eq!(origin.take().requests.len(), 1);
}

/// How a greeting is cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Into segments of so many bytes.
    Segments(usize),
    /// Into records of so many bytes (RFC 8446 §5.1).
    Records(usize),
}

/// A socket that cuts the first thing that is written.
struct Cutting {
    socket: TcpStream,
    cut: Option<Cut>,
}

impl Write for Cutting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.cut.take() {
            None => return self.socket.write(bytes),
            Some(Cut::Segments(size)) => {
                for piece in bytes.chunks(size) {
                    self.socket.write_all(piece)?;
                }
            }
            Some(Cut::Records(size)) => {
                let (head, greeting) = bytes.split_at(5);
                for piece in greeting.chunks(size) {
                    let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
                    self.socket.write_all(&[&head[..3], &length, piece].concat())?;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}

impl Read for Cutting {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.socket.read(bytes)
    }
}

#[test]
fn a_greeting_in_pieces_is_understood() {
    let origin = Origin::ok();
    let (gateway, authority) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    for cut in [Cut::Segments(1), Cut::Segments(7), Cut::Records(1), Cut::Records(3), Cut::Records(100)] {
        let socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from("a.test").unwrap();
        let connection = ClientConnection::new(authority.client(None, &["http/1.1"]), name).unwrap();
        let cutting = Cutting { socket: socket.try_clone().unwrap(), cut: Some(cut) };
        let mut wire = Wire::over(Box::new(StreamOwned::new(connection, cutting)), socket);
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(wire.reply().status, 200, "{cut:?}");
    }
}

/// The first bytes that a client of TLS sends.
fn greeting(authority: &Authority) -> Vec<u8> {
    let name = ServerName::try_from("a.test").unwrap();
    let mut connection = ClientConnection::new(authority.client(None, &[]), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_thousand_handshakes_that_are_never_finished_hold_little() {
    const HALF_OPEN: usize = 1_000;
    const BYTES_MAX: u64 = 64 << 20;
    let origin = Origin::ok();
    let (gateway, authority) =
        gateway_with_tls(&origin, "", "timeouts: { tls_handshake: 25s }", tempfile::tempdir().unwrap());
    assert_eq!(ask(&gateway, "a.test", &authority, None), 200);
    let (before, _) = gateway.process.resident_bytes();
    let greeting = greeting(&authority);
    // Half a greeting; and all of it, answered and left so.
    for (what, bytes) in [("half", &greeting[..greeting.len() / 2]), ("whole", &greeting)] {
        let mut sockets = Vec::new();
        for index in 0..HALF_OPEN {
            let mut socket = TcpStream::connect(gateway.address()).unwrap();
            socket.write_all(bytes).unwrap();
            if what == "whole" {
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                socket.read_exact(&mut [0; 5]).unwrap_or_else(|error| panic!("{error} at {index}"));
            }
            sockets.push(socket);
        }
        assert_eq!(ask(&gateway, "a.test", &authority, None), 200, "{what}");
        let held = gateway.process.resident_bytes().0.saturating_sub(before);
        assert!(held <= BYTES_MAX, "{what}: {held} bytes for {} handshakes", sockets.len());
    }
}

#[test]
fn each_of_a_thousand_names_is_shown_its_own_certificate() {
    const NAMES: usize = 1_000;
    let origin = Origin::ok();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let mut certificates = String::new();
    for index in 0..NAMES {
        authority.sign(&[&format!("n{index}.test")]).write(folder.path(), &format!("n{index}"));
        certificates.push_str(&format!("        - {{ cert: n{index}.crt, key: n{index}.key }}\n"));
    }
    let config = format!(
        "listeners:\n  - address: 127.0.0.1:0\n    tls:\n      certificates:\n{certificates}\
         upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    );
    let gateway = Gateway::start_in(folder, &config);
    // The client checks the name: an answer proves that the certificate fits.
    for index in [0, 1, 499, 998, 999] {
        assert_eq!(ask(&gateway, &format!("n{index}.test"), &authority, None), 200, "{index}");
    }
    assert_eq!(ask(&gateway, "n1000.test", &authority, None), 0);
}
