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
