//! Every way to an upstream carries its credential: sockets, copies, calls of policies; and what comes without one.

use harness::{Gateway, Origin, Wire, eventually, guest, http_get, http_post};

use super::{CLIENT, came, config, credentials, gateway};

const BEARER: &str = "bearer: sesame";

#[test]
fn a_socket_is_asked_for_with_the_credential() {
    let origin = Origin::answering("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n");
    let gateway = gateway(&origin.url(), BEARER, &[]);
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{CLIENT}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert_eq!(wire.reply().status, 403);
    assert_eq!(credentials(&came(&origin)[0]), (vec!["Bearer sesame"], "/socket"));
}

#[test]
fn a_copy_has_the_credential_of_its_own_upstream() {
    let (origin, mirror) = (Origin::ok(), Origin::ok());
    let gateway = Gateway::start(&format!(
        "upstreams:\n  origin: {{ endpoints: [{{ url: {:?} }}], credential: {{ {BEARER} }} }}\n  \
         shadow: {{ endpoints: [{{ url: {:?} }}], credential: {{ header: {{ name: x-key, value: other }} }} }}\n\
         routes: [{{ name: all, upstream: origin, mirror: {{ upstream: shadow, percent: 100 }} }}]\n",
        origin.url(),
        mirror.url()
    ));
    assert_eq!(http_post(gateway.address(), "/x", CLIENT, "body").status, 200);
    let copied = mirror.wait_until("copied", |recording| !recording.requests.is_empty());
    assert_eq!(credentials(&came(&origin)[0]).0, ["Bearer sesame"]);
    assert_eq!(credentials(&copied.requests[0]).0, ["other"]);
}

#[test]
fn a_call_of_a_policy_carries_a_credential_that_it_never_sees() {
    let origin = Origin::ok();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/caller.wasm"), guest("caller")).unwrap();
    let config = format!(
        "plugins: {{ folder: plugins }}\n\
         policies: {{ caller: {{ plugin: caller, grants: {{ http: [origin], kv: [news], limits: true, secrets: [t] }} }} }}\n\
         kv: {{ news: {{}} }}\nsecrets: {{ t: {{ value: v }} }}\n{}",
        config(&origin.url(), BEARER).replace("name: all,", "name: all, policies: [caller],")
    );
    let gateway = Gateway::start_in(folder, &config);
    let mut client = harness::Client::connect(gateway.address(), harness::Protocol::Http1);
    let reply = client.get("/", &[("x-do", "send origin GET /job header=authorization:guessed")]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.text().contains("sesame"), "{}", reply.text());
    assert_eq!(credentials(&came(&origin)[0]), (vec!["Bearer sesame"], "/job"));
}

#[test]
fn what_has_no_credential_goes_on_to_a_fallback() {
    let (origin, spare) = (Origin::ok(), Origin::ok());
    // Nobody listens where tokens would come from.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&format!(
        "upstreams:\n  azure:\n    endpoints: [{{ url: {:?} }}]\n    credential:\n      azure_entra: {{ tenant: t, \
         client_id: c, client_secret: s, authority: \"http://{nobody}\" }}\n  spare: {{ endpoints: [{{ url: {:?} }}] }}\n\
         routes:\n  - {{ name: all, upstream: azure, fallback: {{ to: [spare], methods: [POST] }} }}\n",
        origin.url(),
        spare.url()
    ));
    for _ in 0..3 {
        assert_eq!(http_post(gateway.address(), "/x", "", "a body").status, 200);
    }
    assert_eq!((came(&origin).len(), came(&spare).len()), (0, 3));
    let text = gateway.admin_get("/metrics").text();
    let line = "gatewright_upstream_fallbacks_total{upstream=\"spare\",after=\"credential-unavailable\"} 3";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_query_key_is_in_no_log_of_a_failure() {
    let gateway = gateway("http://127.0.0.1:1", "query: { name: key, value: sesame }", &[]);
    assert_eq!(http_get(gateway.address(), "/x?a=1").status, 502);
    eventually("the line", || gateway.process.stdout.all().iter().any(|line| line.contains("\"/x\"")).then_some(()));
    let said = super::said(&gateway);
    assert!(!said.contains("sesame"), "{said}");
}
