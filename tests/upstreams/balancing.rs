//! Which endpoint a request goes to.

use harness::{Origin, Wire, eventually};

use super::{answer, answers, endpoint, gateway, gateway_with, named};

fn none(_: usize) -> String {
    String::new()
}

#[test]
fn weights_are_shares() {
    let origins = ["one", "two"].map(named);
    let endpoints = [endpoint(&origins[0].url(), ", weight: 3"), endpoint(&origins[1].url(), "")];
    let counts = answers(&gateway(&endpoints, ""), 40, none);
    assert_eq!((counts["one"], counts["two"]), (30, 10));
}

#[test]
fn an_endpoint_that_is_slow_gets_few_requests_by_load_and_by_pace() {
    for by in ["least_requests", "peak_ewma"] {
        let slow = Origin::talking(|conversation| {
            while conversation.request().is_some() {
                std::thread::sleep(std::time::Duration::from_millis(100));
                answer(conversation, "slow");
            }
        });
        let fast = named("fast");
        let endpoints = [endpoint(&slow.url(), ""), endpoint(&fast.url(), "")];
        let gateway = gateway(&endpoints, &format!("    balance: {{ by: {by} }}"));
        let counts: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| answers(&gateway, 50, none))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let slow: usize = counts.iter().filter_map(|counts| counts.get("slow")).sum();
        assert!(slow < 80, "{by}: {slow} of 400 went to the slow one");
    }
}

#[test]
fn a_key_stays_on_its_endpoint() {
    let origins = ["one", "two", "three"].map(named);
    let endpoints = origins.each_ref().map(|origin| endpoint(&origin.url(), ""));
    for (balance, header) in [
        ("by: ring_hash, hash: { header: x-user }", "x-user: USER"),
        ("by: maglev, hash: { cookie: user }", "cookie: a=b; user=USER"),
        ("by: ring_hash, hash: client_address", "x-nothing: USER"),
    ] {
        let gateway = gateway(&endpoints, &format!("    balance: {{ {balance} }}"));
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..20 {
            let header = header.replace("USER", &user.to_string());
            let counts = answers(&gateway, 5, |_| format!("{header}\r\n"));
            assert_eq!(counts.len(), 1, "{balance}: user {user} met {counts:?}");
            seen.extend(counts.into_keys());
        }
        let expected = if balance.contains("client_address") { 1 } else { 3 };
        assert_eq!(seen.len(), expected, "{balance}: {seen:?}");
    }
}

#[test]
fn a_client_comes_back_by_its_cookie_to_the_endpoint_that_served_it() {
    let origins = ["one", "two", "three"].map(named);
    let endpoints = origins.each_ref().map(|origin| endpoint(&origin.url(), ""));
    let config = "    balance: { affinity: { cookie: at, ttl: 1h, secret: cookies } }";
    let gateway = gateway_with(&endpoints, config, "secrets: { cookies: { value: a-secret-of-the-test } }");
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let first = wire.reply();
    let set = first.header("set-cookie").unwrap().to_owned();
    assert!(set.starts_with("at=") && set.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = set.split_once(';').unwrap().0.to_owned();
    let counts = answers(&gateway, 10, |_| format!("cookie: {cookie}\r\n"));
    assert_eq!(counts, [(first.text(), 10)].into());
    wire.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\ncookie: {cookie}\r\n\r\n"));
    assert_eq!(wire.reply().header("set-cookie"), None, "it has its cookie");
    let forged = format!("{}A", cookie.strip_suffix(|_: char| true).unwrap());
    assert!(answers(&gateway, 9, |_| format!("cookie: {forged}x\r\n")).len() == 3, "a forged cookie means nothing");
}

#[test]
fn the_kept_endpoint_is_left_when_it_is_gone() {
    let (one, two) = (named("one"), named("two"));
    let endpoints = [endpoint(&one.url(), ""), endpoint(&two.url(), "")];
    let gateway = gateway(&endpoints, "    balance: { affinity: {} }\n    outliers: { errors: 1 }");
    let mut wire = Wire::connect(gateway.address());
    let cookie = eventually("the first endpoint", || {
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        let reply = wire.reply();
        let cookie = reply.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned();
        (reply.text() == "one").then_some(cookie)
    });
    one.stop();
    for _ in 0..10 {
        wire.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\ncookie: {cookie}\r\n\r\n"));
        assert_eq!(wire.reply().text(), "two");
    }
}

#[test]
fn a_tenant_gets_its_own_endpoints_and_no_others() {
    let origins = ["acme", "other", "shared"].map(named);
    let endpoints = [
        endpoint(&origins[0].url(), ", labels: { tenant: acme }"),
        endpoint(&origins[1].url(), ", labels: { tenant: other }"),
        endpoint(&origins[2].url(), ""),
    ];
    for (otherwise, stranger) in [("refuse", "503"), ("unlabelled", "shared")] {
        let subset = format!("subset: {{ label: tenant, from: {{ header: x-tenant }}, otherwise: {otherwise} }}");
        let gateway = gateway(&endpoints, &format!("    balance: {{ {subset} }}"));
        for (tenant, served_by) in [("acme", "acme"), ("other", "other"), ("nobody", stranger)] {
            let counts = answers(&gateway, 6, |_| format!("x-tenant: {tenant}\r\n"));
            assert_eq!(counts, [(served_by.to_owned(), 6)].into(), "{tenant}");
        }
        assert_eq!(answers(&gateway, 3, none), [(stranger.to_owned(), 3)].into());
    }
}

#[test]
fn endpoints_of_a_lower_priority_wait_until_they_are_needed() {
    let (first, spare) = (named("first"), named("spare"));
    let endpoints = [endpoint(&first.url(), ""), endpoint(&spare.url(), ", priority: 1")];
    let health = "    health: { check: tcp, interval: 100ms, unhealthy_after: 1, healthy_after: 1 }";
    let gateway = gateway(&endpoints, health);
    assert_eq!(answers(&gateway, 10, none), [("first".to_owned(), 10)].into());
    first.stop();
    assert_eq!(answers(&gateway, 10, none), [("spare".to_owned(), 10)].into());
}

#[test]
fn an_endpoint_can_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let host = head.iter().find(|line| line.starts_with("host:")).unwrap().clone();
            let response =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{host}", host.len());
            (&stream).write_all(response.as_bytes()).unwrap();
        }
    });
    let gateway = gateway(&[endpoint(&format!("unix:{}", path.display()), "")], "");
    assert_eq!(answers(&gateway, 3, none), [("host: localhost".to_owned(), 3)].into());
}
