//! A plugin that fails too often is called no more: the version before it returns, or the failure mode applies.

use harness::{Client, Gateway, Origin, Protocol, eventually, guest, guest_with};

use super::{gateway_with, policy_status};
use crate::hostile::folder_with;

const POLICY: &str = "plugin: hostile, grants: { limits: true, crypto: true }, config: { do: panic }";

fn status(gateway: &Gateway) -> (u16, Option<String>) {
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/", &[("x-do", "panic")]);
    (reply.status, reply.header("x-gatewright-reason").map(str::to_owned))
}

fn until_out(gateway: &Gateway) {
    for _ in 0..10 {
        assert_eq!(status(gateway), (500, Some("policy-trapped".to_owned())));
    }
    assert!(gateway.admin_get("/metrics").text().contains("gatewright_quarantines_total 1"));
}

#[test]
fn without_a_version_before_the_failure_mode_applies_at_once() {
    let origin = Origin::ok();
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, POLICY);
    until_out(&gateway);
    assert_eq!(status(&gateway), (500, Some("policy-quarantined".to_owned())));
    eventually("the status to say it", || (policy_status(&gateway)["quarantined"] == true).then_some(()));
    eventually("the status to say it", || {
        let status = gateway.admin_get("/status").json();
        status["plugins"][0]["last_error"].as_str()?.starts_with("is in quarantine").then_some(())
    });
    // A changed configuration may be the remedy.
    let file = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("do: panic", "do: count");
    std::fs::write(&file, text).unwrap();
    eventually("the policy to be called again", || (status(&gateway).0 == 200).then_some(()));
}

#[test]
fn an_open_policy_in_quarantine_is_passed_over() {
    let origin = Origin::ok();
    let policy = format!("{POLICY}, on_failure: open");
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, &policy);
    for _ in 0..12 {
        assert_eq!(status(&gateway).0, 200);
    }
    eventually("the status to say it", || (policy_status(&gateway)["quarantined"] == true).then_some(()));
}

#[test]
fn the_version_before_returns() {
    let origin = Origin::ok();
    let policy = "plugin: changing, grants: { limits: true, crypto: true }";
    let gateway =
        gateway_with(folder_with("changing", &guest_with("hostile", "x-dophase", "x-nophase")), &origin, policy);
    let good = policy_status(&gateway)["hash"].clone();
    assert_eq!(status(&gateway).0, 200);
    let file = gateway.folder().join("plugins/changing.wasm");
    std::fs::write(file.with_extension("new"), guest("hostile")).unwrap();
    std::fs::rename(file.with_extension("new"), file).unwrap();
    eventually("the faulty version", || (status(&gateway).0 == 500).then_some(()));
    eventually("the version before it", || {
        let now = status(&gateway);
        (now.0 == 200 && policy_status(&gateway)["hash"] == good).then_some(())
    });
}

#[test]
fn a_few_clients_cannot_take_a_policy_from_all_others() {
    let origin = Origin::ok();
    let policy = "plugin: hostile, grants: { limits: true, crypto: true }";
    let gateway = gateway_with(folder_with("hostile", &guest("hostile")), &origin, policy);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for _ in 0..30 {
        assert_eq!(client.get("/", &[("x-do", "panic")]).status, 500);
        for _ in 0..2 {
            assert_eq!(client.get("/", &[]).status, 200);
        }
    }
}
