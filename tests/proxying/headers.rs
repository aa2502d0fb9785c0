//! Header sections on their way: what is for one connection stays there.

use harness::{Mock, Origin, Wire, http_get};

use super::gateway_to;

#[test]
fn fields_for_one_connection_go_no_further() {
    let origin = Origin::answering(concat!(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n",
        "proxy-connection: close\r\nupgrade: h2c\r\nx-end: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nok",
    ));
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send(concat!(
        "GET /x?y=%20z HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n",
        "Proxy-Connection: close\r\nTE: trailers\r\nX-End: 1\r\nX-End: 2\r\nX-Obs: \u{e9}\r\n\r\n",
    ));
    let reply = wire.reply();
    assert_eq!((reply.status, reply.text().as_str(), reply.header("x-end")), (200, "ok", Some("1")));
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "x-gatewright-reason", "via"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
    let seen = origin.take();
    let request = seen.requests.first().unwrap();
    assert_eq!(request.line, "GET /x?y=%20z HTTP/1.1");
    assert_eq!(request.values("x-end"), ["1", "2"]);
    for name in ["x-hop", "keep-alive", "proxy-connection", "via", "content-length", "transfer-encoding"] {
        assert!(request.values(name).is_empty(), "{name} in {request:?}");
    }
    assert_eq!(request.values("x-request-id"), [reply.header("x-request-id").unwrap()]);
}

#[test]
fn the_upstream_sees_its_own_host_or_the_clients_and_the_headers_that_are_set() {
    let origin = Origin::ok();
    let set = ", headers: { authorization: \"Bearer upstream-key\" }";
    for (more, pass_host) in [("", false), (", pass_host: true", true)] {
        let gateway = gateway_to(&origin.url(), &format!("{set}{more}"), "");
        let mut wire = Wire::connect(gateway.address());
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer client-key\r\n\r\n");
        assert_eq!(wire.reply().status, 200);
        let seen = origin.take();
        let request = seen.requests.first().unwrap();
        let host = if pass_host { "a.test".to_owned() } else { origin.address.to_string() };
        assert_eq!(request.values("host"), [host]);
        assert_eq!(request.values("authorization"), ["Bearer upstream-key"]);
    }
}

#[test]
fn an_upstream_of_http2_in_clear_text_is_spoken_to() {
    let mock = Mock::start(&["--open"]);
    let gateway = gateway_to(&format!("http://{}", mock.address), ", protocol: http2", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /echo/x?y HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let echo = wire.reply().json();
    assert_eq!(echo["version"], "HTTP/2.0");
    assert_eq!((&echo["path"], &echo["query"], &echo["body"]), (&"/echo/x".into(), &"y".into(), &"hello".into()));
}

#[test]
fn a_response_without_a_body_leaves_the_connection_usable() {
    let responses = [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200, Some("5")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"x\"\r\n\r\n", 304, Some("5")),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, Some("0")),
        (
            "GET",
            "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            200,
            Some("0"),
        ),
    ];
    for (method, response, status, length) in responses {
        let origin = Origin::answering(response);
        let gateway = gateway_to(&origin.url(), "", "");
        let mut wire = Wire::connect(gateway.address());
        for _ in 0..2 {
            wire.send(format!("{method} /x HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            let mut reply = wire.reply_to_head();
            if reply.status == 103 {
                reply = wire.reply_to_head();
            }
            assert_eq!(reply.status, status, "{response}");
            assert!(reply.header("content-length").is_none_or(|seen| Some(seen) == length), "{response}: {reply:?}");
            assert!(reply.header("transfer-encoding").is_none(), "{response}: {reply:?}");
        }
        assert_eq!(origin.take().connections, 1, "{response}");
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let reply = wire.reply();
    assert_eq!((reply.status, reply.text().as_str(), reply.header("transfer-encoding")), (200, "hello", None));
    assert!(wire.closes());
}

#[test]
fn answers_of_the_gateway_have_the_shape_of_the_routes_api() {
    let gateway = harness::Gateway::start(
        "upstreams: { dead: { endpoints: [{ url: \"http://127.0.0.1:1\" }] } }\n\
         routes: [{ name: problem, match: { path: { prefix: /problem } }, upstream: dead }, \
                  { name: openai, match: { path: { prefix: /openai } }, upstream: dead, api: openai }, \
                  { name: anthropic, match: { path: { prefix: /anthropic } }, upstream: dead, api: anthropic }]\n",
    );
    let answer = |path| {
        let reply = http_get(gateway.address(), path);
        assert_eq!((reply.status, reply.reason()), (502, Some("upstream-unreachable")), "{path}");
        (reply.header("content-type").unwrap().to_owned(), reply.json())
    };
    let (kind, problem) = answer("/problem");
    assert_eq!(
        (kind.as_str(), &problem["status"], &problem["code"]),
        ("application/problem+json", &502.into(), &"upstream-unreachable".into())
    );
    assert!(
        problem["title"].is_string() && problem["type"].is_string() && problem["request_id"].is_string(),
        "{problem}"
    );
    let (_, openai) = answer("/openai");
    assert_eq!(openai["error"]["code"], "upstream-unreachable");
    assert!(openai["error"]["message"].is_string() && openai["error"]["type"].is_string(), "{openai}");
    let (_, anthropic) = answer("/anthropic");
    assert_eq!((&anthropic["type"], &anthropic["error"]["type"]), (&"error".into(), &"api_error".into()));
    // What is for the log stays there.
    assert!(![problem, openai, anthropic].iter().any(|body| body.to_string().contains("127.0.0.1:1")));
}
