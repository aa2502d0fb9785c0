//! Endpoints that are found by name: DNS is asked in time, and no request waits for it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use harness::{Gateway, Mood, Names, Origin, Record, eventually, http_get};

use super::{answer, answers, endpoint, states};

const LOOPBACK: Record = Record::A(Ipv4Addr::LOCALHOST);

/// An origin at another address of loopback, on a port that all of them share.
fn at(address: Ipv4Addr, port: u16) -> Origin {
    Origin::talking_at((address, port).into(), move |conversation| {
        while conversation.request().is_some() {
            answer(conversation, &address.to_string());
        }
    })
}

fn gateway(names: &Names, endpoints: &[String], dns: &str) -> Gateway {
    let dns = format!("    dns: {{ servers: [\"{}\"], refresh_min: 100ms{dns} }}", names.address);
    super::gateway(endpoints, &dns)
}

#[test]
fn a_name_is_known_before_its_first_request() {
    let names = Names::start(60);
    names.set("one.test", &[LOOPBACK]);
    let origin = super::named("there");
    let gateway = gateway(&names, &[endpoint(&format!("http://one.test:{}", origin.address.port()), "")], "");
    assert_eq!(http_get(gateway.address(), "/x").text(), "there");
    let [request] = &origin.take().requests[..] else { panic!("one request") };
    assert_eq!(request.values("host"), [format!("one.test:{}", origin.address.port())]);
    let asked = names.asked();
    assert_eq!(answers(&gateway, 50, |_| String::new()), [("there".to_owned(), 50)].into());
    assert_eq!(names.asked(), asked, "the records are good for a minute");
}

#[test]
fn each_address_of_a_name_is_an_endpoint_and_follows_its_records() {
    let addresses = [2, 3, 4].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let first = at(addresses[0], 0);
    let port = first.address.port();
    let _others = [at(addresses[1], port), at(addresses[2], port)];
    let names = Names::start(0);
    names.set("each.test", &addresses.map(Record::A)[..2]);
    let gateway = gateway(&names, &[endpoint(&format!("http://each.test:{port}"), ", resolve: each")], "");
    let both = [("127.0.0.2".to_owned(), 10), ("127.0.0.3".to_owned(), 10)];
    assert_eq!(answers(&gateway, 20, |_| String::new()), both.into());
    names.set("each.test", &addresses.map(Record::A)[1..]);
    eventually("the new addresses", || {
        let known: Vec<_> = states(&gateway).into_iter().map(|(_, address)| address).collect();
        (known == [format!("127.0.0.3:{port}"), format!("127.0.0.4:{port}")]).then_some(())
    });
    let both = [("127.0.0.3".to_owned(), 10), ("127.0.0.4".to_owned(), 10)];
    assert_eq!(answers(&gateway, 20, |_| String::new()), both.into());
}

#[test]
fn a_service_has_ports_weights_and_priorities() {
    let (heavy, light, spare) = (super::named("heavy"), super::named("light"), super::named("spare"));
    let [heavy_port, light_port, spare_port] = [&heavy, &light, &spare].map(|origin| origin.address.port());
    let names = Names::start(60);
    names.set("a.test", &[LOOPBACK]);
    let service = |priority, weight, port| Record::Srv(priority, weight, port, "a.test");
    let records = [service(0, 30, heavy_port), service(0, 10, light_port), service(1, 1, spare_port)];
    names.set("_web._tcp.a.test", &records);
    let gateway = gateway(&names, &[endpoint("http://_web._tcp.a.test", ", resolve: srv")], "");
    let counts = answers(&gateway, 40, |_| String::new());
    assert_eq!(counts, [("heavy".to_owned(), 30), ("light".to_owned(), 10)].into());
}

#[test]
fn the_last_addresses_serve_while_names_cannot_be_looked_up() {
    for mood in [Mood::Fails, Mood::Denies, Mood::Silent] {
        let names = Names::start(0);
        names.set("one.test", &[LOOPBACK]);
        names.set("each.test", &[LOOPBACK]);
        let origin = super::named("there");
        let port = origin.address.port();
        let endpoints = [
            endpoint(&format!("http://one.test:{port}"), ""),
            endpoint(&format!("http://each.test:{port}"), ", resolve: each"),
        ];
        let gateway = gateway(&names, &endpoints, ", timeout: 200ms, stale_max: 3s");
        names.be(mood);
        let failed = |gateway: &Gateway| {
            let metrics = gateway.admin_get("/metrics").text();
            let of = |result: &str| {
                let name = format!("gatewright_dns_lookups_total{{upstream=\"all\",result=\"{result}\"}} ");
                let line = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
                line.unwrap_or(0)
            };
            (of("failed"), of("expired"))
        };
        eventually("a failed look-up of both", || (failed(&gateway).0 >= 2).then_some(()));
        let start = Instant::now();
        assert_eq!(answers(&gateway, 20, |_| String::new()), [("there".to_owned(), 20)].into(), "{mood:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{mood:?}: no request waits for a name");
        eventually("both are too old", || (failed(&gateway).1 >= 2).then_some(()));
        let reply = http_get(gateway.address(), "/x");
        assert_eq!((reply.status, reply.reason()), (502, Some("upstream-unreachable")), "{mood:?}");
        names.be(Mood::Well);
        eventually("they are known again", || (http_get(gateway.address(), "/x").status == 200).then_some(()));
    }
}

#[test]
fn a_name_that_is_not_there_at_the_start_is_found_later() {
    let names = Names::start(0);
    let origin = super::named("there");
    let port = origin.address.port();
    for resolve in ["one", "each"] {
        let name = format!("{resolve}.late.test");
        let gateway =
            gateway(&names, &[endpoint(&format!("http://{name}:{port}"), &format!(", resolve: {resolve}"))], "");
        let start = Instant::now();
        let reply = http_get(gateway.address(), "/x");
        let expected =
            if resolve == "one" { (502, Some("upstream-unreachable")) } else { (503, Some("upstream-unhealthy")) };
        assert_eq!((reply.status, reply.reason()), expected);
        assert!(start.elapsed() < Duration::from_secs(1));
        names.set(&name, &[LOOPBACK]);
        eventually("it is found", || (http_get(gateway.address(), "/x").status == 200).then_some(()));
    }
}

#[test]
fn a_connection_tries_the_addresses_of_a_name_in_turn() {
    let origin = super::named("there");
    let names = Names::start(60);
    // Nobody listens on the first two.
    names.set("many.test", &[2, 3, 1].map(|last| Record::A(Ipv4Addr::new(127, 0, 0, last))));
    let gateway = gateway(&names, &[endpoint(&format!("http://many.test:{}", origin.address.port()), "")], "");
    assert_eq!(http_get(gateway.address(), "/x").text(), "there");
    assert_eq!(states(&gateway), [("usable".to_owned(), format!("many.test:{}", origin.address.port()))]);
}
