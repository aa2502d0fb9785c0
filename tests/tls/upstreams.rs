//! TLS towards upstreams: a good certificate for the right name, or no request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Authority, Gateway, Identity, Origin, Reply, eventually, http_get};
use rustls::ServerConfig;

/// A gateway whose upstream is at this address, under TLS.
fn gateway(address: SocketAddr, trusted: &Authority, tls: &str, own: Option<&Identity>) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), trusted.pem()).unwrap();
    if let Some(identity) = own {
        identity.write(folder.path(), "own");
    }
    Gateway::start_in(
        folder,
        &format!(
            "upstreams: {{ origin: {{ endpoints: [{{ url: \"https://{address}\" }}], tls: {{ ca: ca.pem{tls} }} }} }}\n\
         routes: [{{ name: all, upstream: origin }}]\n"
        ),
    )
}

fn told(reply: &Reply) -> (u16, Option<&str>) {
    (reply.status, reply.reason())
}

fn origin_with(tls: Arc<ServerConfig>) -> Origin {
    Origin::talking_tls(tls, |conversation| {
        while conversation.request().is_some() {
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn an_upstream_must_show_a_good_certificate_for_its_name() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let api = ", server_name: api.test";
    let cases = [
        ("its address", ours.sign(&["127.0.0.1"]), "", true),
        ("the name that is expected", ours.sign(&["api.test"]), api, true),
        ("one of several names", ours.sign(&["other.test", "api.test"]), api, true),
        ("a wildcard for the name", ours.sign(&["*.api.test"]), ", server_name: eu.api.test", true),
        ("another name", ours.sign(&["api.test"]), "", false),
        ("another name than expected", ours.sign(&["127.0.0.1"]), api, false),
        ("a wildcard for a deeper name", ours.sign(&["*.api.test"]), ", server_name: a.eu.api.test", false),
        ("the name as its subject alone", ours.sign_names("api.test", &[], &[], &[]), api, false),
        ("another authority", other.sign(&["127.0.0.1"]), "", false),
        ("no authority", Identity::self_signed(&["127.0.0.1"]), "", false),
        ("an old one", ours.sign_expired(&["127.0.0.1"]), "", false),
        ("one of tomorrow", ours.sign_early(&["127.0.0.1"]), "", false),
        ("a client's", ours.sign_for_clients(&["127.0.0.1"]), "", false),
    ];
    for (name, identity, more, is_good) in cases {
        let origin = origin_with(identity.server(&["http/1.1"]));
        let gateway = gateway(origin.address, &ours, more, None);
        let expected = if is_good { (200, None) } else { (502, Some("upstream-tls")) };
        assert_eq!(told(&http_get(gateway.address(), "/x")), expected, "{name}");
        assert_eq!(origin.take().requests.len(), usize::from(is_good), "{name}: no request without trust");
    }
}

/// A server that reads once from each connection, answers with these bytes and closes; and how many there were.
fn broken(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            // A peer that is gone by then is none of this test's.
            drop(stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(answer)));
        }
    });
    (address, connections)
}

#[test]
fn a_handshake_that_fails_costs_few_connections() {
    let ours = Authority::new("ours");
    let answers: [(&str, &[u8], &str); 5] = [
        ("nothing", b"", "upstream-unreachable"),
        ("half a record", b"\x16\x03\x03\x00\x7a\x02\x00", "upstream-unreachable"),
        ("an alert", b"\x15\x03\x03\x00\x02\x02\x28", "upstream-tls"),
        ("noise", b"\x99\x98\x97\x96\x95\x94\x93\x92\x91\x90", "upstream-tls"),
        ("clear text", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "upstream-tls"),
    ];
    for (name, bytes, reason) in answers {
        let (address, connections) = broken(bytes);
        let gateway = gateway(address, &ours, "", None);
        for _ in 0..100 {
            assert_eq!(told(&http_get(gateway.address(), "/x")), (502, Some(reason)), "{name}");
        }
        // Each request, a tenth of them again, and the ten that are free.
        let connections = connections.load(Ordering::SeqCst);
        assert!(connections <= 120, "{name}: {connections}");
    }
}

#[test]
fn an_old_version_is_not_spoken() {
    let ours = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = ours.sign(&["127.0.0.1"]).write(folder.path(), "server");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-accept", &port.to_string()]);
    command
        .arg("-cert")
        .arg(cert)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = command.spawn().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("openssl listens", || TcpStream::connect(address).ok());
    let gateway = gateway(address, &ours, "", None);
    assert_eq!(told(&http_get(gateway.address(), "/x")), (502, Some("upstream-tls")));
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn the_gateways_own_certificate_is_shown_where_it_is_asked_for() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let origin = origin_with(ours.sign(&["127.0.0.1"]).server_asking(&clients, &["http/1.1"]));
    let own = ", client_certificate: { cert: own.crt, key: own.key }";
    let good = gateway(origin.address, &ours, own, Some(&clients.sign_for_clients(&["gateway.test"])));
    assert_eq!(told(&http_get(good.address(), "/x")), (200, None));
    assert_eq!(origin.take().requests.len(), 1);
    for (tls, identity) in [("", None), (own, Some(ours.sign(&["gateway.test"])))] {
        let gateway = gateway(origin.address, &ours, tls, identity.as_ref());
        assert_eq!(http_get(gateway.address(), "/x").status, 502, "{tls}");
        assert!(origin.take().requests.is_empty());
    }
}
