//! Endpoints that say themselves whether they are well.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use bytes::Bytes;
use harness::{Gateway, Origin, eventually};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{answer, answers, endpoint, gateway, words};

const QUICK: &str = "interval: 100ms, timeout: 500ms, unhealthy_after: 2, healthy_after: 2";

fn wait_for(gateway: &Gateway, expected: [&str; 2]) {
    eventually(&expected.join(", "), || (words(gateway) == expected).then_some(()));
}

#[test]
fn an_endpoint_whose_check_fails_gets_no_requests_until_it_is_well() {
    let status = Arc::new(AtomicU16::new(204));
    let checked = status.clone();
    let sick = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            if request.line.starts_with("GET /healthz?deep=1 ") {
                assert_eq!(request.values("host"), ["probe.test"]);
                assert_eq!(request.values("x-probe"), ["yes"]);
                assert!(request.values("user-agent")[0].starts_with("gatewright-health/"));
                let status = checked.load(Ordering::SeqCst);
                let length = if status == 204 { "" } else { "content-length: 0\r\n" };
                conversation.send(format!("HTTP/1.1 {status} Status\r\n{length}\r\n"));
            } else {
                answer(conversation, "sick");
            }
        }
    });
    let well = Origin::ok();
    let endpoints = [endpoint(&sick.url(), ""), endpoint(&well.url(), "")];
    let check =
        "http: { path: \"/healthz?deep=1\", host: probe.test, headers: { x-probe: \"yes\" }, statuses: [200, 204] }";
    let gateway = gateway(&endpoints, &format!("    health: {{ check: {{ {check} }}, {QUICK} }}"));
    assert_eq!(answers(&gateway, 10, |_| String::new()), [("ok".to_owned(), 5), ("sick".to_owned(), 5)].into());
    status.store(503, Ordering::SeqCst);
    wait_for(&gateway, ["unhealthy", "usable"]);
    assert_eq!(answers(&gateway, 10, |_| String::new()), [("ok".to_owned(), 10)].into());
    let metrics = gateway.admin_get("/metrics").text();
    assert!(metrics.contains("gatewright_upstream_endpoints{upstream=\"all\",state=\"unhealthy\"} 1"), "{metrics}");
    status.store(200, Ordering::SeqCst);
    wait_for(&gateway, ["usable", "usable"]);
    assert_eq!(answers(&gateway, 10, |_| String::new()), [("ok".to_owned(), 5), ("sick".to_owned(), 5)].into());
}

#[test]
fn a_connection_alone_can_be_the_check() {
    let (gone, well) = (super::named("gone"), super::named("well"));
    let endpoints = [endpoint(&gone.url(), ""), endpoint(&well.url(), "")];
    let gateway = gateway(&endpoints, &format!("    health: {{ check: tcp, {QUICK} }}"));
    gone.stop();
    wait_for(&gateway, ["unhealthy", "usable"]);
    assert_eq!(gone.take().requests.len(), 0);
}

#[test]
fn a_check_that_hangs_has_failed() {
    let hangs = Origin::talking(|conversation| {
        conversation.request();
        conversation.wire.closes();
    });
    let well = super::named("well");
    let endpoints = [endpoint(&hangs.url(), ""), endpoint(&well.url(), "")];
    let check = format!("    health: {{ check: {{ http: {{ path: / }} }}, {QUICK} }}");
    let gateway = gateway(&endpoints, &check);
    wait_for(&gateway, ["unhealthy", "usable"]);
}

/// A gRPC server of the health service alone: what it says is `status`, or UNIMPLEMENTED for 255.
fn grpc(status: &Arc<AtomicU8>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let status = status.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let status = status.clone();
                let service = service_fn(move |request| health(request, status.load(Ordering::SeqCst)));
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    address
}

async fn health(
    request: hyper::Request<hyper::body::Incoming>,
    status: u8,
) -> Result<hyper::Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let asked = request.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&asked[..], b"\0\0\0\0\x06\x0a\x04shop");
    let response = hyper::Response::builder().header("content-type", "application/grpc");
    if status == 255 {
        return Ok(response.header("grpc-status", "12").body(Full::default().boxed()).unwrap());
    }
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]);
    let body = Full::new(Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]));
    Ok(response.body(body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed()).unwrap())
}

#[test]
fn the_health_service_of_grpc_is_asked_by_name() {
    let statuses = [Arc::new(AtomicU8::new(1)), Arc::new(AtomicU8::new(1))];
    let endpoints = statuses.each_ref().map(|status| endpoint(&format!("http://{}", grpc(status)), ""));
    let check = format!("    protocol: http2\n    health: {{ check: {{ grpc: {{ service: shop }} }}, {QUICK} }}");
    let gateway = gateway(&endpoints, &check);
    wait_for(&gateway, ["usable", "usable"]);
    for not_serving in [2, 0, 255] {
        statuses[0].store(not_serving, Ordering::SeqCst);
        wait_for(&gateway, ["unhealthy", "usable"]);
        statuses[0].store(1, Ordering::SeqCst);
        wait_for(&gateway, ["usable", "usable"]);
    }
}

#[test]
fn what_cannot_be_checked_is_a_fault_of_the_configuration() {
    for (upstream, fault) in [
        ("health: { check: tcp, interval: 10ms }", "interval must be from 100ms to 1h"),
        ("health: { check: { http: { path: healthz } } }", "path must start with a slash"),
        (
            "health: { check: { http: { path: /, statuses: [99] } } }",
            "\"statuses\", element 1, is less than the minimum of 200",
        ),
        ("balance: { by: maglev }", "ring_hash and maglev need `hash`"),
        ("balance: { hash: client_address }", "`hash` needs `by: ring_hash` or `by: maglev`"),
        ("balance: { affinity: { secret: nobody } }", "unknown secret \"nobody\""),
        ("balance: { affinity: { cookie: \"a b\" } }", "is no name that a cookie could have"),
        ("outliers: { ejection: 1ms }", "ejection must be from 100ms to 1h"),
        ("retries: { methods: [\"B AD\"] }", "methods must be methods"),
        ("dns: { refresh_min: 1ms }", "refresh_min must be at least 100ms"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        let config = format!(
            "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams:\n  all:\n    endpoints: [{{ url: \"http://127.0.0.1:1\" }}]\n    {upstream}\n\
             routes: [{{ name: all, upstream: all }}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let output = harness::gatewright().args(["check", "--config"]).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && told.contains(fault) && told.contains("gateway.yaml:5"),
            "{upstream}: {told}"
        );
    }
}
