//! Each tenant to its own upstream, and nobody else anywhere.

use harness::{Client, Gateway, Origin, Protocol};

fn gateway_to(eu: &Origin, us: &Origin, settings: &str) -> Gateway {
    Gateway::start(&format!(
        r#"policies:
  tenants:
    plugin: tenant-router
    grants: {{ metadata: [tenant] }}
    limits: {{ deadline: 2s }}
    config: {settings}
upstreams:
  eu: {{ endpoints: [{{ url: {:?} }}] }}
  us: {{ endpoints: [{{ url: {:?} }}] }}
  elsewhere: {{ endpoints: [{{ url: "http://127.0.0.1:1" }}] }}
routes:
  - {{ name: all, policies: [tenants], upstream: {{ default: eu, choices: [us] }} }}
"#,
        eu.url(),
        us.url()
    ))
}

#[test]
fn each_tenant_reaches_its_own_upstream() {
    let (eu, us) = (Origin::ok(), Origin::ok());
    let settings = r#"
      by: header
      header: x-tenant
      upstreams: { acme: eu }
      tenants:
        initech: { upstream: us, path: { strip: /initech, add: /v2 }, host: us.test,
                   headers: { set: { x-plan: gold }, remove: [x-debug] } }"#;
    let gateway = gateway_to(&eu, &us, settings);
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let forged = [("x-tenant", "acme"), ("x-plan", "platinum")];
        assert_eq!(client.get("/initech/chat?q=1", &forged).status, 200);
        let recording = eu.take();
        assert_eq!(recording.requests[0].line, "GET /initech/chat?q=1 HTTP/1.1");
        assert!(recording.requests[0].values("x-tenant").is_empty());
        assert!(us.take().bytes.is_empty());
        let headers = [("x-tenant", "initech"), ("x-debug", "1"), ("x-plan", "platinum")];
        assert_eq!(client.get("/initech/chat?q=1", &headers).status, 200);
        let recording = us.take();
        let request = &recording.requests[0];
        assert_eq!(request.line, "GET /v2/chat?q=1 HTTP/1.1");
        assert_eq!((request.values("x-plan"), request.values("host")), (vec!["gold"], vec!["us.test"]));
        assert!(request.values("x-debug").is_empty() && eu.take().bytes.is_empty());
    }
    let line = gateway.access_line("the tenant", |line| line["tenant"] == "initech");
    assert_eq!(line["upstream"], "us");
}

#[test]
fn an_unknown_tenant_reaches_nobody() {
    let (eu, us) = (Origin::ok(), Origin::ok());
    let gateway = gateway_to(&eu, &us, "{ by: header, header: x-tenant, upstreams: { acme: eu } }");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let cases: [&[(&str, &str)]; 4] =
        [&[], &[("x-tenant", "ACME")], &[("x-tenant", "nobody")], &[("x-tenant", "acme"), ("x-tenant", "acme")]];
    for headers in cases {
        let reply = client.get("/", headers);
        assert_eq!((reply.status, reply.reason()), (403, Some("unknown-tenant")), "{headers:?}");
        assert!(eu.take().bytes.is_empty() && us.take().bytes.is_empty(), "{headers:?}");
    }
}

#[test]
fn an_upstream_that_the_route_does_not_list_is_out_of_reach() {
    let (eu, us) = (Origin::ok(), Origin::ok());
    let gateway = gateway_to(&eu, &us, "{ by: header, header: x-tenant, upstreams: { acme: elsewhere } }");
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/", &[("x-tenant", "acme")]);
    assert_eq!((reply.status, reply.reason()), (500, Some("policy-failed")));
    assert!(eu.take().bytes.is_empty() && us.take().bytes.is_empty());
}
