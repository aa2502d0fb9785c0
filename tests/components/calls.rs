//! Requests of a component's own: to the upstreams it is granted, by name, and to nobody else.

use harness::{Client, Gateway, Origin, Protocol};

use super::{config, folder};

/// A gateway whose component may call `origin`, and not `secret`.
fn calling(origin: &Origin) -> Gateway {
    let url = origin.url();
    let rest = format!(
        "  origin: {{ endpoints: [{{ url: {url:?} }}], headers: {{ authorization: Bearer abc }}, timeouts: {{ first_byte: 1s }} }}\n  \
         secret: {{ endpoints: [{{ url: {url:?} }}] }}"
    );
    Gateway::start_with_components(folder(), &config("http: [origin]", &rest))
}

fn call(gateway: &Gateway, told: &str) -> String {
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let reply = client.get("/call", &[("x-call", told)]);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

#[test]
fn an_upstream_that_it_is_granted_answers_it() {
    let origin = Origin::answering("HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello");
    let gateway = calling(&origin);
    // On one connection, and so on one worker, which keeps its own to the upstream.
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    // TLS or not is the upstream's affair.
    for told in ["http origin /a/b?c=d", "https origin /"] {
        assert_eq!(client.get("/call", &[("x-call", told)]).text(), "201  whole hello");
    }
    let recording = origin.take();
    let request = recording.requests.first().unwrap();
    assert_eq!(request.line, "GET /a/b?c=d HTTP/1.1");
    assert_eq!(request.values("x-from"), ["service"]);
    assert_eq!(request.values("authorization"), ["Bearer abc"]);
    assert_eq!(request.values("host"), [origin.address.to_string().as_str()]);
    assert_eq!(request.values("x-request-id").len(), 1);
    assert_eq!(recording.connections, 1);
    let metrics = gateway.admin_get("/metrics").text();
    assert!(metrics.contains("upstream=\"origin\",outcome=\"2xx\"} 2"), "{metrics}");
}

#[test]
fn nobody_else_is_called() {
    let origin = Origin::ok();
    let gateway = calling(&origin);
    let address = origin.address;
    for told in [
        "http secret /".to_owned(),
        "http service /".to_owned(),
        format!("http {address} /"),
        "http origin:80 /".to_owned(),
        "http ORIGIN /".to_owned(),
        "http user@origin /".to_owned(),
        "http 169.254.169.254 /".to_owned(),
    ] {
        assert_eq!(call(&gateway, &told), "ErrorCode::HttpRequestDenied", "{told}");
    }
    // No form of the target names another host.
    for target in [format!("http://{address}/"), format!("//{address}/"), "*".to_owned(), "secret".to_owned()] {
        let text = call(&gateway, &format!("http origin {target}"));
        assert!(text.starts_with("ErrorCode::") || target.starts_with("//"), "{target}: {text}");
    }
    for request in origin.take().requests {
        assert_eq!(request.values("authorization"), ["Bearer abc"], "{request:?}");
    }
}

#[test]
fn a_redirect_is_handed_over_and_not_followed() {
    let origin = Origin::answering("HTTP/1.1 302 Found\r\nlocation: http://secret/\r\ncontent-length: 0\r\n\r\n");
    let gateway = calling(&origin);
    assert_eq!(call(&gateway, "http origin /"), "302 http://secret/ whole ");
    assert_eq!(origin.take().requests.len(), 1);
}

#[test]
fn an_upstream_that_fails_is_told_by_its_kind() {
    let silent = Origin::talking(|conversation| {
        conversation.request();
        conversation.wire.closes();
    });
    assert_eq!(call(&calling(&silent), "http origin /"), "ErrorCode::ConnectionTimeout");
    let broken = Origin::answering("no response\r\n\r\n");
    assert_eq!(call(&calling(&broken), "http origin /"), "ErrorCode::HttpProtocolError");
    let half = Origin::talking(|conversation| {
        conversation.request();
        conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    });
    assert_eq!(call(&calling(&half), "http origin /"), "200  broken half");
}

#[test]
fn bodies_stream_through_it_both_ways() {
    let origin = Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()));
            conversation.send(request.body);
        }
    });
    let gateway = calling(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let body: Vec<u8> = (0..10 << 20).map(|place: u32| place.to_le_bytes()[0]).collect();
    let reply = client.post("/pass", &[("x-call", "http origin /")], &body);
    assert!(reply.status == 200 && reply.body == body, "{} bytes", reply.body.len());
}
