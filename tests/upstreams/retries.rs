//! Requests that are sent again, and those that are not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Origin, Wire};

use super::{answer, answers, endpoint, gateway, named, nobody};

/// Sends a request without a body and reads its answer.
fn ask(gateway: &harness::Gateway, method: &str, body: &str) -> harness::Reply {
    let mut wire = Wire::connect(gateway.address());
    let length = body.len();
    wire.send(format!("{method} /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"));
    wire.reply()
}

/// Reads every request, and closes without an answer.
fn closing() -> Origin {
    Origin::talking(|conversation| drop(conversation.request()))
}

#[test]
fn whatever_did_not_go_out_is_sent_elsewhere() {
    let origin = named("there");
    let endpoints = [endpoint(&format!("http://{}", nobody()), ""), endpoint(&origin.url(), "")];
    let gateway = gateway(&endpoints, "");
    for method in ["GET", "POST", "PUT", "PATCH"] {
        for _ in 0..4 {
            let reply = ask(&gateway, method, "hello");
            assert_eq!((reply.status, reply.text().as_str()), (200, "there"), "{method}");
        }
    }
    let bodies: Vec<_> = origin.take().requests.into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, vec![b"hello".to_vec(); 16]);
}

#[test]
fn what_may_have_arrived_is_sent_again_only_if_that_changes_nothing() {
    for (method, status) in [("GET", 200), ("PUT", 200), ("DELETE", 200), ("POST", 502), ("PATCH", 502)] {
        let (broken, good) = (closing(), named("there"));
        let endpoints = [endpoint(&broken.url(), ""), endpoint(&good.url(), "")];
        let gateway = gateway(&endpoints, "");
        let first = ask(&gateway, method, "hello");
        assert_eq!(first.status, status, "{method}: {first:?}");
        assert_eq!(broken.take().requests.len(), 1, "{method}");
        let arrived = good.take().requests;
        assert_eq!(arrived.len(), usize::from(status == 200), "{method}");
        assert!(arrived.iter().all(|request| request.body == b"hello"), "{method}");
    }
}

#[test]
fn a_method_that_the_operator_calls_repeatable_is_repeated() {
    let (broken, good) = (closing(), named("there"));
    let endpoints = [endpoint(&broken.url(), ""), endpoint(&good.url(), "")];
    let config = "    retries: { methods: [POST], body: 4B }\n    outliers: { errors: 0, failed_percent: 0 }";
    let gateway = gateway(&endpoints, config);
    let asked = |body| [(); 4].map(|()| ask(&gateway, "POST", body).status);
    assert_eq!(asked("four"), [200; 4]);
    assert!(!broken.take().requests.is_empty());
    let large = asked("five!");
    assert!(large.contains(&200) && large.contains(&502), "past the bound it is not kept: {large:?}");
}

#[test]
fn an_endpoint_that_stalls_costs_one_try() {
    let stalled = Origin::talking(|conversation| {
        conversation.request();
        conversation.wire.closes();
    });
    let good = named("there");
    let endpoints = [endpoint(&stalled.url(), ""), endpoint(&good.url(), "")];
    let gateway = gateway(&endpoints, "    retries: { try_timeout: 200ms }\n    outliers: { errors: 2, ejection: 1h }");
    assert_eq!(answers(&gateway, 20, |_| String::new()), [("there".to_owned(), 20)].into());
    assert_eq!(stalled.take().requests.len(), 2, "then it is ejected");
}

#[test]
fn statuses_are_worth_a_repetition_where_the_operator_says_so() {
    let (busy, good) = (Origin::answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), named("there"));
    let endpoints = [endpoint(&busy.url(), ""), endpoint(&good.url(), "")];
    let with =
        gateway(&endpoints, "    retries: { statuses: [503] }\n    outliers: { failures: 0, failed_percent: 0 }");
    assert_eq!(answers(&with, 10, |_| String::new()), [("there".to_owned(), 10)].into());
    assert_eq!(ask(&with, "POST", "").status, 503, "it is not known what became of it");
    let without = gateway(&endpoints, "    outliers: { failures: 0, failed_percent: 0 }");
    assert_eq!(answers(&without, 10, |_| String::new()), [("503".to_owned(), 5), ("there".to_owned(), 5)].into());
}

/// Answers 503 with a wish to wait once, and then well.
fn busy_once(wait: &'static str) -> Origin {
    let asked = AtomicUsize::new(0);
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                conversation.send(format!("HTTP/1.1 503 No\r\nretry-after: {wait}\r\ncontent-length: 0\r\n\r\n"));
            } else {
                answer(conversation, "there");
            }
        }
    })
}

#[test]
fn an_endpoint_is_tried_again_when_it_wants_to_be() {
    let origin = busy_once("1");
    let gateway = gateway(&[endpoint(&origin.url(), "")], "    retries: { statuses: [503], wait_max: 5s }");
    let start = Instant::now();
    assert_eq!(ask(&gateway, "GET", "").text(), "there");
    assert!(start.elapsed() >= Duration::from_secs(1));
    let origin = busy_once("60");
    let gateway = super::gateway(&[endpoint(&origin.url(), "")], "    retries: { statuses: [503], wait_max: 5s }");
    let reply = ask(&gateway, "GET", "");
    assert_eq!((reply.status, reply.header("retry-after"), reply.reason()), (503, Some("60"), None));
    assert_eq!(origin.take().requests.len(), 1);
}

#[test]
fn repetitions_stay_within_a_tenth_of_requests() {
    let origins = [(); 3].map(|()| Origin::answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"));
    let endpoints = origins.each_ref().map(|origin| endpoint(&origin.url(), ""));
    let gateway = gateway(&endpoints, "    retries: { statuses: [503] }");
    assert_eq!(answers(&gateway, 1_000, |_| String::new()), [("503".to_owned(), 1_000)].into());
    let attempts: usize = origins.iter().map(|origin| origin.take().requests.len()).sum();
    assert!((1_050..=1_110).contains(&attempts), "{attempts}: ten are free");
    let metrics = gateway.admin_get("/metrics").text();
    let repeated = format!("gatewright_upstream_retries_total{{upstream=\"all\",after=\"5xx\"}} {}", attempts - 1_000);
    assert!(metrics.contains(&repeated), "{metrics}");
}

#[test]
fn each_try_begins_with_what_the_route_made_of_the_request() {
    let (broken, good) = (closing(), named("there"));
    let urls = [broken.url(), good.url()].map(|url| endpoint(&url, ""));
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("stamp.wasm"), harness::guest("stamp")).unwrap();
    let gateway = harness::Gateway::start(&format!(
        "plugins: {{ folder: {:?} }}\npolicies: {{ mark: {{ plugin: stamp, config: {{ label: a }} }} }}\n\
         upstreams: {{ all: {{ endpoints: [{}], policies: [mark] }} }}\nroutes: [{{ name: all, upstream: all }}]\n",
        plugins.path(),
        urls.join(", ")
    ));
    assert_eq!(ask(&gateway, "GET", "").status, 200);
    let [first] = &broken.take().requests[..] else { panic!("one try") };
    let [second] = &good.take().requests[..] else { panic!("one try") };
    let others = |request: &harness::Request| {
        request.headers.iter().filter(|(name, _)| name != "host").cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(first), others(second));
    let line = gateway.access_line("the request", |line| line["attempts"] == 2);
    assert_eq!(line["status"], 200);
}
