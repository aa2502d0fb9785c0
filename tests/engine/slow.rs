//! A policy that takes its time runs aside: it answers as it does otherwise, and holds up nobody else.

use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Client, Gateway, Origin, Protocol, Reply, eventually, guest};

use super::{gateway_with, policy_status};
use crate::hostile::folder_with;

const POLICY: &str = "plugin: hostile, grants: { limits: true, crypto: true }, \
                      limits: { deadline: 3s, body_deadline: 3s }";

fn does(gateway: &Gateway, deed: &str) -> Reply {
    Client::connect(gateway.address(), Protocol::Http1).post("/", &[("x-do", deed)], b"{}")
}

fn is_slow(gateway: &Gateway) -> bool {
    policy_status(gateway)["slow"] == true
}

#[test]
fn a_slow_policy_answers_aside_as_it_does_otherwise() {
    let origin = Origin::ok();
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, POLICY);
    assert_eq!(does(&gateway, "tally").text(), "1");
    assert!(!is_slow(&gateway));
    while !is_slow(&gateway) {
        assert_eq!(does(&gateway, "work").text(), "worked");
    }
    assert_eq!(does(&gateway, "tally").text(), "1");
    assert_eq!(does(&gateway, "work").text(), "worked");
    assert_eq!(does(&gateway, "panic").status, 500);
    assert_eq!(does(&gateway, "huge-page").body.len(), 900 << 10);
    let passed = Client::connect(gateway.address(), Protocol::Http2).post("/", &[], b"{}");
    assert_eq!(passed.status, 200);
}

#[test]
fn a_policy_that_loops_holds_up_nobody_else() {
    let origin = Origin::ok();
    let config = format!(
        "plugins: {{ folder: plugins }}\npolicies:\n  loop: {{ {POLICY} }}\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {url:?} }}] }} }}\n\
         routes:\n  - {{ name: loop, match: {{ path: {{ prefix: /loop }} }}, policies: [loop], upstream: origin }}\n  \
         - {{ name: other, upstream: origin }}\n",
        url = origin.url()
    );
    let gateway = Gateway::start_in(folder_with("hostile", &guest("hostile")), &config);
    let spin = || Client::connect(gateway.address(), Protocol::Http1).get("/loop", &[("x-do", "spin")]);
    assert_eq!(spin().header("x-gatewright-reason"), Some("policy-deadline"));
    eventually("the status to say it", || is_slow(&gateway).then_some(()));
    let one_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let spinning: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let reply = spin();
                    let reason = reply.header("x-gatewright-reason").map(str::to_owned);
                    one_ended.fetch_or(reason.as_deref() == Some("policy-deadline"), Ordering::SeqCst);
                    reason
                })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(Client::connect(gateway.address(), Protocol::Http1).get("/", &[]).status, 200);
        }
        assert!(!one_ended.load(Ordering::SeqCst), "others had to wait for a policy that loops");
        let reasons: Vec<_> = spinning.into_iter().filter_map(|spinning| spinning.join().unwrap()).collect();
        assert_eq!(reasons.len(), 12, "{reasons:?}");
        // Those that would have to wait longer than is worth it are turned away, and it is nobody's fault.
        assert!(reasons.iter().any(|reason| reason == "overloaded"), "{reasons:?}");
        assert!(reasons.iter().all(|reason| reason == "overloaded" || reason == "policy-deadline"), "{reasons:?}");
    });
}
