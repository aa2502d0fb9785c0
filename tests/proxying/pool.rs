//! Connections to upstreams: reused when that is safe, never when it is not.

use std::collections::BTreeMap;

use harness::{Conversation, Gateway, Origin, Wire, http_get};

use super::{gateway_to, named_origin};

#[test]
fn requests_of_one_connection_share_one_upstream_connection() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..10 {
        wire.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(wire.reply().status, 200);
    }
    let seen = origin.take();
    assert_eq!((seen.connections, seen.requests.len()), (1, 10));
}

#[test]
fn endpoints_take_turns() {
    let origins = ["one", "two", "three"].map(named_origin);
    let endpoints: Vec<String> = origins.iter().map(|origin| format!("{{ url: {:?} }}", origin.url())).collect();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ three: {{ endpoints: [{}] }} }}\nroutes: [{{ name: all, upstream: three }}]\n",
        endpoints.join(", ")
    ));
    let mut wire = Wire::connect(gateway.address());
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        *counts.entry(wire.reply().text()).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn an_upstream_that_refuses_is_asked_once_a_request() {
    let origin = Origin::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 7\r\n\r\n");
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..50 {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let reply = wire.reply();
        assert_eq!((reply.status, reply.reason(), reply.header("retry-after")), (503, None, Some("7")));
    }
    assert_eq!(origin.take().requests.len(), 50);
}

#[test]
fn a_name_that_nobody_knows_is_an_upstream_out_of_reach() {
    let gateway = gateway_to("http://nowhere.invalid", "", "");
    let reply = http_get(gateway.address(), "/x");
    assert_eq!((reply.status, reply.reason()), (502, Some("upstream-unreachable")));
}

/// Answers the first request of its first connection, and closes that while the second is on its way.
fn closes_on_the_second(conversation: &mut Conversation) {
    let is_first = conversation.number == 1;
    while conversation.request().is_some() {
        conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        if is_first {
            // The next request is read from the socket, as it would be from its buffer, and never answered.
            conversation.request();
            return;
        }
    }
}

#[test]
fn a_request_that_meets_a_closing_connection_is_sent_again_only_if_that_is_safe() {
    for (method, status, times) in [("GET", 200, 2), ("HEAD", 200, 2), ("POST", 502, 1)] {
        let origin = Origin::talking(closes_on_the_second);
        let gateway = gateway_to(&origin.url(), "", "");
        let mut wire = Wire::connect(gateway.address());
        wire.send("GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(wire.reply().status, 200);
        let body = if method == "POST" { "Content-Length: 5\r\n\r\nhello" } else { "\r\n" };
        wire.send(format!("{method} /second HTTP/1.1\r\nHost: a.test\r\n{body}"));
        let reply = wire.reply_to_head();
        assert_eq!(reply.status, status, "{method}");
        assert!(status == 200 || reply.reason() == Some("upstream-broken"), "{reply:?}");
        let seconds = origin.take().requests.iter().filter(|request| request.line.contains("/second")).count();
        assert_eq!(seconds, times, "{method}");
    }
}

/// Answers the first connection so and closes it, the others well.
fn broken_once(response: &'static str) -> Origin {
    Origin::talking(move |conversation| {
        let is_first = conversation.number == 1;
        while conversation.request().is_some() {
            if is_first {
                conversation.send(response);
                return;
            }
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn a_response_that_cannot_be_understood_is_a_bad_gateway() {
    let many: String = (0..3000).map(|number| format!("x-{number}: {}\r\n", "y".repeat(60))).collect();
    let large: &'static str = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok").leak();
    let responses = [
        "HTTP/1.1 200 OK\r\ncontent-le",
        "garbage\r\n\r\n",
        "HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        large,
    ];
    let mut faults = Vec::new();
    for response in responses {
        let origin = broken_once(response);
        let gateway = gateway_to(&origin.url(), "", "");
        let mut wire = Wire::connect(gateway.address());
        wire.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let reply = wire.reply();
        if (reply.status, reply.reason()) != (502, Some("upstream-broken")) {
            let start: String = response.chars().take(90).collect();
            faults.push(format!("{start:?}: {} {:?}", reply.status, reply.reason()));
        }
        assert_eq!(http_get(gateway.address(), "/x").status, 200);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_response_that_breaks_off_is_never_completed_nor_its_connection_reused() {
    let responses = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "half"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "4\r\nhalf\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nbad", "4\r\nhalf\r\n"),
    ];
    for (response, body) in responses {
        let origin = broken_once(response);
        let gateway = gateway_to(&origin.url(), "", "");
        let mut wire = Wire::connect(gateway.address());
        wire.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        match wire.read_head().map(|head| head.status) {
            Some(200) => assert_eq!(String::from_utf8(wire.rest()).unwrap(), body, "{response}"),
            status => assert_eq!(status, Some(502), "{response}"),
        }
        assert_eq!(http_get(gateway.address(), "/x").text(), "ok");
        assert_eq!(origin.take().connections, 2, "{response}");
    }
}

#[test]
fn what_follows_a_response_is_nobodys_answer() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{smuggled}"));
        }
    });
    let gateway = gateway_to(&origin.url(), "", "");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..10 {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(wire.reply().text(), "ok");
    }
}
