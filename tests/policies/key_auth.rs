//! API keys: in each place, once, and never further than the gateway.

use harness::{Client, Gateway, Origin, Protocol};

use super::config;

/// SHA-256 of `alice-key` and `bob-key`.
const ALICE: &str = "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20";
const BOB: &str = "9b94dc1a51a38769f135edf04033ad7f2f487b6c25929be7a861cfc1ab10cf98";

/// Names and values.
type Headers = &'static [(&'static str, &'static str)];

fn gateway_to(origin: &Origin) -> Gateway {
    let policies = format!(
        r#"  keys:
    plugin: key-auth
    grants: {{ metadata: [auth] }}
    limits: {{ deadline: 2s }}
    config:
      from: [{{ header: authorization, scheme: Bearer }}, {{ header: x-api-key }}, {{ query: key }}, {{ cookie: key }}]
      keys:
        - {{ principal: alice, tenant: acme, sha256: [{ALICE}] }}
        - {{ principal: bob, sha256: [{BOB}], expires: "2020-01-01" }}
"#
    );
    Gateway::start(&config(origin, &policies, "keys"))
}

#[test]
fn a_key_is_found_in_each_place_and_taken_out_of_the_request() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let accepted: [(&str, Headers); 6] = [
        ("/v1", &[("authorization", "Bearer alice-key")]),
        ("/v1", &[("authorization", "bearer alice-key")]),
        ("/v1", &[("x-api-key", "alice-key")]),
        ("/v1?key=alice-key", &[]),
        ("/v1?a=1&key=alice-key&b=2", &[]),
        ("/v1", &[("cookie", "a=1; key=alice-key; b=2")]),
    ];
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (path, headers) in accepted {
            let reply = client.get(path, headers);
            assert_eq!(reply.status, 200, "{path} {headers:?} over {protocol:?}: {reply:?}");
            let recording = origin.take();
            let sent = String::from_utf8_lossy(&recording.bytes).into_owned();
            assert!(recording.requests.len() == 1 && !sent.contains("alice-key"), "{sent}");
            assert!(!path.contains("a=1") || recording.requests[0].line.contains("?a=1&b=2 "), "{sent}");
        }
    }
    let line = gateway.access_line("the principal", |line| line["principal"] == "alice");
    assert_eq!(line["tenant"], "acme");
}

#[test]
fn anything_but_one_good_key_is_refused_before_the_upstream() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let refused: [(&str, Headers, &str); 9] = [
        ("/v1", &[], "missing-credentials"),
        ("/v1", &[("authorization", "Basic alice-key")], "missing-credentials"),
        ("/v1", &[("x-api-key", "mallory-key")], "invalid-key"),
        ("/v1", &[("x-api-key", "bob-key")], "invalid-key"),
        ("/v1", &[("x-api-key", "alice-key ")], ""),
        ("/v1?key=alice-key", &[("x-api-key", "alice-key")], "ambiguous-credentials"),
        ("/v1?key=alice-key&key=alice-key", &[], "ambiguous-credentials"),
        ("/v1", &[("x-api-key", "alice-key"), ("x-api-key", "alice-key")], "ambiguous-credentials"),
        ("/v1", &[("x-api-key", ALICE)], "invalid-key"),
    ];
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (path, headers, code) in refused {
            let asked = client.try_ask("GET", path, headers, b"");
            if code.is_empty() {
                // White space around a value is no part of it (RFC 9110 §5.5), and malformed in HTTP/2 (RFC 9113 §8.2.1).
                let is_served = matches!(&asked, Ok(reply) if [200, 401].contains(&reply.status));
                assert_eq!(is_served, protocol == Protocol::Http1, "{asked:?}");
                drop(origin.take());
                continue;
            }
            let reply = asked.unwrap();
            assert_eq!((reply.status, reply.reason()), (401, Some(code)), "{path} {headers:?}: {reply:?}");
            assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{reply:?}");
            assert!(origin.take().bytes.is_empty(), "{path} {headers:?}");
        }
    }
}

#[test]
fn an_unknown_and_an_expired_key_look_the_same() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let mut told = |key: &str| {
        let mut reply = client.get("/v1", &[("x-api-key", key)]);
        reply.headers.retain(|(name, _)| !["date", "x-request-id", "content-length"].contains(&name.as_str()));
        let mut body = reply.json();
        body["request_id"] = serde_json::Value::Null;
        (reply.status, reply.headers, body)
    };
    assert_eq!(told("bob-key"), told("nobody"));
}
