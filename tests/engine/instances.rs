//! What calls share, and what they do not.

use harness::{Client, Origin, Protocol, Reply, guest};

use super::{gateway_with, policy_status};
use crate::hostile::folder_with;

const POLICY: &str = "plugin: hostile, grants: { limits: true, crypto: true }, \
                      limits: { deadline: 500ms, body_deadline: 1s, memory: 16MiB }";

fn does(client: &mut Client, deed: &str) -> Reply {
    client.post("/", &[("x-do", deed)], b"{}")
}

#[test]
fn a_fresh_instance_knows_nothing_of_an_earlier_call() {
    let origin = Origin::ok();
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, POLICY);
    assert_eq!(policy_status(&gateway)["prepared"], "snapshot");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for _ in 0..5 {
        assert_eq!(does(&mut client, "tally").text(), "1");
    }
}

#[test]
fn nothing_of_an_earlier_call_is_left_in_memory_unless_instances_are_warm() {
    let origin = Origin::ok();
    for (isolation, is_left) in [("fresh", false), ("warm", true)] {
        let policy = format!("{POLICY}, isolation: {isolation}");
        let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, &policy);
        let mut client = Client::connect(gateway.address(), Protocol::Http1);
        assert_eq!(does(&mut client, "stash").text(), "stashed");
        let found: usize = does(&mut client, "search").text().parse().unwrap();
        assert_eq!(found > 0, is_left, "{isolation}: {found}");
    }
}

#[test]
fn a_call_that_keeps_a_handle_ends_its_instance() {
    let origin = Origin::ok();
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, POLICY);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for _ in 0..50 {
        // Each leaks more handles than half of what one instance may have.
        assert_eq!(does(&mut client, "leak").text(), "leaked");
    }
}

#[test]
fn a_warm_instance_serves_one_call_after_another_until_one_fails() {
    let origin = Origin::ok();
    let policy = format!("{POLICY}, isolation: warm");
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, &policy);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for round in 0..3 {
        for expected in ["1", "2", "3"] {
            assert_eq!(does(&mut client, "tally").text(), expected, "round {round}");
        }
        for deed in ["panic", "spin", "grow"].into_iter().skip(round).take(1) {
            assert_eq!(does(&mut client, deed).status, 500, "{deed}");
        }
    }
}

#[test]
fn a_warm_instance_that_has_grown_is_retired() {
    let origin = Origin::ok();
    let policy = format!("{POLICY}, isolation: warm");
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, &policy);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(does(&mut client, "tally").text(), "1");
    assert_eq!(does(&mut client, "grow-some").text(), "grown");
    assert_eq!(does(&mut client, "tally").text(), "1");
}
