//! A body's JSON: read once for a whole chain, and patched only where it must be.

use harness::{Client, Gateway, Origin, Protocol};

use super::folder_with;

const BODY: &str = r#" { "model" : "fast","n":1.0, "big":12345678901234567890, "s":"\u00e9\/" , "a":[1, 2 ,3] } "#;

/// Two policies of the route and one of the upstream, of which the second patches.
fn gateway(origin: &Origin, patch: &str) -> Gateway {
    let config = format!(
        r#"plugins: {{ folder: plugins }}
kv: {{ store: {{}} }}
policies:
  first: {{ plugin: keeper, grants: {{ kv: [store] }} }}
  second: {{ plugin: keeper, grants: {{ kv: [store] }}, config: {{ {patch} }} }}
  third: {{ plugin: keeper, grants: {{ kv: [store] }} }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}], policies: [third] }} }}
routes: [{{ name: all, policies: [first, second], upstream: origin }}]
"#,
        origin.url()
    );
    Gateway::start_in(folder_with(&["keeper"]), &config)
}

/// How many bodies were read as JSON.
fn read_bodies(gateway: &Gateway) -> u32 {
    let metrics = gateway.admin_get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("gatewright_json_bodies_total "));
    line.unwrap_or_else(|| panic!("no count in:\n{metrics}")).parse().unwrap()
}

#[test]
fn a_chain_of_policies_reads_a_body_once() {
    let origin = Origin::ok();
    let gateway = gateway(&origin, "");
    for (count, protocol) in (1..).zip(Protocol::ALL) {
        let mut client = Client::connect(gateway.address(), protocol);
        assert_eq!(client.post("/", &[("x-pointer", "/big")], BODY.as_bytes()).status, 200);
        let recording = origin.take();
        let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
        assert_eq!(request.values("x-found"), ["12345678901234567890"; 3]);
        assert_eq!(String::from_utf8_lossy(&request.body), BODY);
        assert_eq!(read_bodies(&gateway), count, "three policies over {protocol:?}");
    }
}

#[test]
fn a_patch_changes_only_its_bytes_and_the_rest_of_the_chain_sees_it() {
    let origin = Origin::ok();
    let patch = r#"patch: '[{"op":"replace","path":"/n","value":2.50},{"op":"add","path":"/a/-","value":{"k" :1e3}}]'"#;
    let gateway = gateway(&origin, patch);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(client.post("/", &[("x-pointer", "/n")], BODY.as_bytes()).status, 200);
    let recording = origin.take();
    let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
    assert_eq!(request.values("x-found"), ["1.0", "1.0", "2.50"]);
    let expected = BODY.replace("1.0", "2.50").replace(",3]", r#",3,{"k" :1e3}]"#);
    assert_eq!(String::from_utf8_lossy(&request.body), expected);
    assert_eq!(request.values("content-length"), [expected.len().to_string()]);
    assert_eq!(read_bodies(&gateway), 2, "once as it came, once as it was patched");
}

#[test]
fn a_body_that_is_no_json_is_read_once_as_well() {
    let origin = Origin::ok();
    let gateway = gateway(&origin, "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for body in ["{", r#"{"a":1,"a":2}"#] {
        assert_eq!(client.post("/", &[("x-pointer", "")], body.as_bytes()).reason(), Some("policy-failed"));
    }
    assert_eq!(read_bodies(&gateway), 2);
    assert!(origin.take().requests.is_empty());
}
