//! Limits that hold exactly over all workers.

use std::sync::Barrier;

use harness::{Client, Gateway, Origin, Protocol};

use super::config;

fn gateway_to(origin: &Origin, settings: &str) -> Gateway {
    let policies = format!(
        "  limit: {{ plugin: rate-limit, grants: {{ limits: true }}, limits: {{ deadline: 2s }}, config: {settings} }}"
    );
    Gateway::start(&config(origin, &policies, "limit"))
}

#[test]
fn exactly_so_many_of_200_parallel_requests_pass() {
    let origin = Origin::ok();
    // Over two workers, and an hour's rate, so that nothing flows back meanwhile.
    let gateway = gateway_to(&origin, "{ by: { header: x-client }, limits: [{ requests: 37, per: 1h }] }");
    let address = gateway.address();
    let start = Barrier::new(20);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|number| {
                let (start, protocol) = (&start, *Protocol::ALL.get(number % 2).unwrap());
                scope.spawn(move || {
                    let mut client = Client::connect(address, protocol);
                    start.wait();
                    (0..10).map(|_| client.get("/", &[("x-client", "a")]).status).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(200), count(429)), (37, 163));
    assert_eq!(origin.take().requests.len(), 37);
    let other = Client::connect(address, Protocol::Http1).get("/", &[("x-client", "b")]);
    assert_eq!(other.status, 200, "each client is counted apart");
}

#[test]
fn every_answer_says_what_is_left_and_a_refusal_when_to_come_again() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "{ by: address, limits: [{ requests: 2, per: 1h }] }");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for left in [1, 0] {
        let reply = client.get("/", &[]);
        assert_eq!(reply.status, 200);
        let field = reply.header("ratelimit").unwrap();
        assert!(field.contains(&format!(";r={left}")), "{field}");
        let policy = reply.header("ratelimit-policy").unwrap();
        assert!(policy.contains(";q=2") && policy.contains(";w=3600"), "{policy}");
    }
    let refused = client.get("/", &[]);
    assert_eq!((refused.status, refused.reason()), (429, Some("rate-limited")));
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1_700..=1_800).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").unwrap().contains(";r=0"), "{refused:?}");
}

#[test]
fn a_reload_refills_no_bucket() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "{ by: address, limits: [{ requests: 1, per: 1h }] }");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(client.get("/", &[]).status, 200);
    let file = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\ntimeouts: {{ headers: 9s }}\n")).unwrap();
    assert_eq!(gateway.admin_post("/reload").json()["generation"], 2);
    assert_eq!(client.get("/", &[]).status, 429);
}

#[test]
fn a_client_that_cannot_be_told_apart_is_refused() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "{ by: principal, limits: [{ requests: 1, per: 1h }] }");
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/", &[]);
    assert_eq!((reply.status, reply.reason()), (403, Some("unidentified-client")));
    assert!(origin.take().bytes.is_empty());
}
