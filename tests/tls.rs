//! TLS on both sides: who is shown which certificate, who is let in, and what an upstream must show.

mod clients;
mod edge;
mod passthrough;
mod sessions;
mod upstreams;

use std::sync::Arc;

use harness::{Authority, DEADLINE, Gateway, Identity, Origin, Wire};
use tempfile::TempDir;

/// A gateway with TLS in front of an origin, and the authority that signed its certificates (`a.test`, `b.test`).
fn gateway_with_tls(origin: &Origin, more_tls: &str, more: &str, folder: TempDir) -> (Gateway, Authority) {
    gateway_with_routes(origin, more_tls, more, folder, "  - { name: all, upstream: origin }\n")
}

/// As `gateway_with_tls`, with these routes to `origin`.
fn gateway_with_routes(
    origin: &Origin,
    more_tls: &str,
    more: &str,
    folder: TempDir,
    routes: &str,
) -> (Gateway, Authority) {
    let authority = Authority::new("servers");
    for name in ["a.test", "b.test"] {
        authority.sign(&[name]).write(folder.path(), name);
    }
    let config = format!(
        r#"{more}
listeners:
  - address: 127.0.0.1:0
    tls:
      certificates: [{{ cert: a.test.crt, key: a.test.key }}, {{ cert: b.test.crt, key: b.test.key }}]
      {more_tls}
upstreams: {{ origin: {{ endpoints: [{{ url: "{}" }}] }} }}
routes:
{routes}"#,
        origin.url()
    );
    (Gateway::start_in(folder, &config), authority)
}

/// The status of one request, 0 if the connection ended without an answer.
fn ask(gateway: &Gateway, name: &str, authority: &Authority, identity: Option<&Identity>) -> u16 {
    let Ok((mut wire, _)) = Wire::connect_tls(gateway.address(), name, authority.client(identity, &["http/1.1"]))
    else {
        return 0;
    };
    wire.send(format!("GET /x HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"));
    wire.reply_or_close().map_or(0, |reply| reply.status)
}

#[test]
fn alpn_settles_the_protocol() {
    let origin = Origin::ok();
    let (gateway, authority) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    for (offered, settled) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"][..], "http/1.1"), (&[][..], "")] {
        let (_, protocol) = Wire::connect_tls(gateway.address(), "a.test", authority.client(None, offered)).unwrap();
        assert_eq!(protocol, settled, "{offered:?}");
    }
    assert_eq!(ask(&gateway, "a.test", &authority, None), 200);
    assert_eq!(ask_http2(&gateway, authority.client(None, &["h2"])), 200);
    let seen = origin.take();
    assert!(seen.requests.iter().all(|request| request.values("x-forwarded-proto") == ["https"]), "{seen:?}");
}

/// The status of one request of an honest HTTP/2 client.
#[tokio::main(flavor = "current_thread")]
async fn ask_http2(gateway: &Gateway, config: Arc<rustls::ClientConfig>) -> u16 {
    let asked = async {
        let socket = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://a.test/x").body(()).unwrap();
        let (response, _) = sender.ready().await.unwrap().send_request(request, true).unwrap();
        response.await.unwrap().status().as_u16()
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap()
}

#[test]
fn the_certificate_follows_the_name_that_is_asked_for() {
    let origin = Origin::ok();
    let (gateway, authority) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    // The client checks the name: an answer proves that the certificate fits.
    for name in ["a.test", "b.test"] {
        assert_eq!(ask(&gateway, name, &authority, None), 200, "{name}");
    }
    let refused = Wire::connect_tls(gateway.address(), "c.test", authority.client(None, &[])).err().unwrap();
    assert!(refused.contains("a.test") || refused.contains("not valid for name"), "{refused}");
}

#[test]
fn only_clients_with_a_good_certificate_are_let_in_where_one_is_required() {
    let (people, strangers) = (Authority::new("people"), Authority::new("strangers"));
    let good = people.sign(&["alice"]);
    let bad = [strangers.sign(&["alice"]), people.sign_expired(&["alice"])];
    for (client_auth, without) in [("require", 0), ("optional", 200)] {
        let origin = Origin::ok();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("people.pem"), people.pem()).unwrap();
        let more = format!("client_ca: people.pem\n      client_auth: {client_auth}");
        let (gateway, authority) = gateway_with_tls(&origin, &more, "", folder);
        assert_eq!(ask(&gateway, "a.test", &authority, Some(&good)), 200, "{client_auth}");
        assert_eq!(ask(&gateway, "a.test", &authority, None), without, "{client_auth}");
        let served = origin.take().requests.len();
        assert_eq!(served, if without == 200 { 2 } else { 1 }, "{client_auth}");
        for identity in &bad {
            assert_eq!(ask(&gateway, "a.test", &authority, Some(identity)), 0, "{client_auth}");
        }
        assert!(origin.take().bytes.is_empty(), "{client_auth}");
    }
}

#[test]
fn a_client_that_says_nothing_is_ended_before_and_after_the_handshake() {
    let origin = Origin::ok();
    let timeouts = "timeouts: { tls_handshake: 1s, first_byte: 1s }";
    let (gateway, authority) = gateway_with_tls(&origin, "", timeouts, tempfile::tempdir().unwrap());
    assert!(Wire::connect(gateway.address()).closes());
    let (mut wire, _) = Wire::connect_tls(gateway.address(), "a.test", authority.client(None, &[])).unwrap();
    assert!(wire.closes());
    assert_eq!(ask(&gateway, "a.test", &authority, None), 200);
}

#[test]
fn clear_text_on_a_listener_of_tls_is_ended() {
    let origin = Origin::ok();
    let (gateway, authority) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(wire.closes());
    assert!(origin.take().bytes.is_empty());
    assert_eq!(ask(&gateway, "a.test", &authority, None), 200);
}
