//! Endpoints that fail under load: no client sees it, and what is well carries on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{Origin, eventually};

use super::{answer, answers, endpoint, gateway, words};

/// What becomes of an endpoint in the middle of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Stalled,
    Reset,
    Slowed,
}

/// An origin that is well until its fate is told.
fn fated(fate: Fate, name: &'static str, struck: &Arc<AtomicBool>) -> Origin {
    let struck = struck.clone();
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            match fate {
                _ if !struck.load(Ordering::SeqCst) => {}
                Fate::Killed | Fate::Reset => return,
                Fate::Stalled => {
                    conversation.wire.closes();
                    return;
                }
                Fate::Slowed => std::thread::sleep(Duration::from_millis(200)),
            }
            answer(conversation, name);
        }
    })
}

#[test]
fn one_of_four_endpoints_fails_under_load_and_no_client_sees_it() {
    for fate in [Fate::Killed, Fate::Stalled, Fate::Reset, Fate::Slowed] {
        let struck = Arc::new(AtomicBool::new(false));
        let bad = fated(fate, "bad", &struck);
        let good = [(); 3].map(|()| super::named("good"));
        let endpoints: Vec<_> = std::iter::once(&bad).chain(&good).map(|origin| endpoint(&origin.url(), "")).collect();
        let gateway = gateway(
            &endpoints,
            "    balance: { by: least_requests }\n    retries: { try_timeout: 500ms }\n    outliers: { ejection: 1s }",
        );
        let counts: Vec<_> = std::thread::scope(|scope| {
            let client = || {
                let mut counts = answers(&gateway, 200, |_| String::new());
                if !struck.swap(true, Ordering::SeqCst) && fate == Fate::Killed {
                    bad.stop();
                }
                for (answer, count) in answers(&gateway, 400, |_| String::new()) {
                    *counts.entry(answer).or_insert(0) += count;
                }
                counts
            };
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let errors: Vec<_> =
            counts.iter().flatten().filter(|(answer, _)| !["good", "bad"].contains(&answer.as_str())).collect();
        assert!(errors.is_empty(), "{fate:?}: {errors:?}");
        let metrics = gateway.admin_get("/metrics").text();
        let number = |name: &str| {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        let ratio = number("gatewright_upstream_attempts_total") / number("gatewright_requests_total");
        assert!((1.0..=1.1).contains(&ratio), "{fate:?}: {ratio} attempts a request");
        if fate != Fate::Slowed {
            assert!(number("gatewright_upstream_ejections_total") >= 1.0, "{fate:?}: {metrics}");
        }
    }
}

#[test]
fn an_endpoint_that_is_well_again_gets_its_share_again() {
    let struck = Arc::new(AtomicBool::new(true));
    let (bad, good) = (fated(Fate::Reset, "bad", &struck), super::named("good"));
    let endpoints = [endpoint(&bad.url(), ""), endpoint(&good.url(), "")];
    let gateway = gateway(&endpoints, "    outliers: { errors: 2, ejection: 300ms, probes: 2 }");
    assert_eq!(answers(&gateway, 20, |_| String::new()), [("good".to_owned(), 20)].into());
    assert_eq!(words(&gateway), ["ejected", "usable"]);
    struck.store(false, Ordering::SeqCst);
    eventually("it serves again", || {
        answers(&gateway, 10, |_| String::new());
        (words(&gateway) == ["usable", "usable"]).then_some(())
    });
    assert_eq!(answers(&gateway, 20, |_| String::new()), [("bad".to_owned(), 10), ("good".to_owned(), 10)].into());
}

#[test]
fn half_of_the_endpoints_stay_whatever_they_answer() {
    let origins = [(); 4].map(|()| Origin::answering("HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n"));
    let endpoints = origins.each_ref().map(|origin| endpoint(&origin.url(), ""));
    let gateway = gateway(&endpoints, "    outliers: { ejection: 1h }");
    assert_eq!(answers(&gateway, 100, |_| String::new()), [("502".to_owned(), 100)].into());
    assert_eq!(words(&gateway).iter().filter(|word| *word == "ejected").count(), 2);
}

#[test]
fn a_client_whose_request_is_at_fault_ejects_nobody() {
    let origins = [(); 2].map(|()| Origin::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"));
    let endpoints = origins.each_ref().map(|origin| endpoint(&origin.url(), ""));
    let gateway = gateway(&endpoints, "");
    assert_eq!(answers(&gateway, 60, |_| String::new()), [("500".to_owned(), 60)].into());
    for _ in 0..30 {
        let mut wire = harness::Wire::connect(gateway.address());
        wire.send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell");
        drop(wire);
    }
    assert_eq!(answers(&gateway, 2, |_| String::new()), [("500".to_owned(), 2)].into());
    assert_eq!(words(&gateway), ["usable", "usable"]);
}
