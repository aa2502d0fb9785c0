//! `rate-limit` from outside: requests in, decisions and headers out.

use gatewright_sdk::limits::{LimitError, Rate};
use gatewright_sdk::{Exchange, Policy, testing};
use rate_limit::RateLimit;
use serde_json::{Value, json};

fn policy(settings: Value) -> RateLimit {
    testing::configured(settings)
}

fn from(principal: &str) -> Exchange {
    Exchange::request("GET", "/").with_metadata("auth.principal", principal)
}

fn keys_of(by: &Value, exchange: &Exchange) -> Vec<String> {
    let decided = policy(json!({ "by": by, "limits": [{ "requests": 9, "per": "1s" }] })).on_request(exchange);
    assert!(testing::passes(&decided));
    testing::taken_charges().into_iter().map(|charge| charge.key).collect()
}

#[test]
fn the_limit_holds_for_each_client_and_comes_back() {
    let policy = policy(json!({ "by": "principal", "limits": [{ "requests": 2, "per": "1m" }] }));
    testing::set_clock_ms(1e12);
    for _ in 0..2 {
        assert!(testing::passes(&policy.on_request(&from("alice"))));
    }
    testing::set_clock_ms(1e12 + 1.0);
    let answer = testing::answer(policy.on_request(&from("alice")));
    assert_eq!((answer.status, answer.code.as_str()), (429, "rate-limited"));
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"2-per-1m\";q=2;w=60"));
    assert_eq!(answer.header("ratelimit"), Some("\"2-per-1m\";r=0;t=60"));
    assert!(testing::passes(&policy.on_request(&from("bob"))));

    testing::set_clock_ms(1e12 + 30_000.0);
    assert!(testing::passes(&policy.on_request(&from("alice"))));
}

#[test]
fn several_limits_are_all_taken_or_none() {
    let policy = policy(json!({
        "by": "principal",
        "limits": [{ "requests": 100, "per": "1h" }, { "requests": 10, "per": "1s", "burst": 1 }],
    }));
    testing::set_clock_ms(1e12);
    let exchange = from("alice");
    assert!(testing::passes(&policy.on_request(&exchange)));
    for _ in 0..5 {
        let answer = testing::answer(policy.on_request(&from("alice")));
        assert_eq!(answer.header("ratelimit"), Some("\"100-per-1h\";r=99;t=36, \"10-per-1s\";r=0;t=1"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }

    exchange.respond(200, &[("ratelimit", "\"upstream\";r=5")]);
    assert_eq!(exchange.first_response_header("ratelimit").unwrap(), "\"100-per-1h\";r=99;t=36, \"10-per-1s\";r=0;t=1");
    assert_eq!(
        exchange.first_response_header("ratelimit-policy").unwrap(),
        "\"100-per-1h\";q=100;w=3600, \"10-per-1s\";q=10;w=1"
    );
}

#[test]
fn an_ipv6_client_is_its_network() {
    let check = |address: &str, key: &str| {
        let exchange = Exchange::request("GET", "/").with_property("client.address", address);
        assert_eq!(keys_of(&json!("address"), &exchange).pop().unwrap(), key);
    };
    check("192.0.2.1", "192.0.2.1");
    check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
    check("2001:db8:1:2::ffff", "2001:db8:1:2::/64");
    check("::ffff:192.0.2.1", "192.0.2.1");
}

#[test]
fn two_clients_never_share_a_key() {
    let exchange = |a: &str, b: &str| Exchange::request("GET", "/").with_header("a", a).with_header("b", b);
    let by = json!([{ "header": "a" }, { "header": "b" }]);
    let mut keys = keys_of(&by, &exchange("x", "yz"));
    keys = [keys, keys_of(&by, &exchange("xy", "z")), keys_of(&by, &exchange(&"long".repeat(99), "z"))].concat();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| key.len() <= 256));
}

#[test]
fn a_client_that_is_missing_is_refused_shared_or_skipped() {
    let settings =
        |when: &str| json!({ "by": "principal", "when_missing": when, "limits": [{ "requests": 1, "per": "1h" }] });
    let nobody = || Exchange::request("GET", "/");
    testing::set_clock_ms(1e12);
    assert_eq!(testing::answer(policy(settings("refuse")).on_request(&nobody())).code, "unidentified-client");
    assert!(testing::taken_charges().is_empty());
    assert!(testing::passes(&policy(settings("skip")).on_request(&nobody())));
    assert!(testing::taken_charges().is_empty());
    assert!(testing::passes(&policy(settings("share")).on_request(&nobody())));
    assert_eq!(testing::answer(policy(settings("share")).on_request(&nobody())).code, "rate-limited");
}

#[test]
fn a_shared_bucket_is_the_operators() {
    let policy = policy(json!({ "by": "principal", "bucket": "everyone" }));
    assert_eq!(policy.on_request(&from("alice")).unwrap_err().code, "unknown-bucket");
    testing::set_clock_ms(1e12);
    testing::declare_limit("everyone", Rate { tokens: 1, period_ms: 1000, burst: 1 });
    assert!(testing::passes(&policy.on_request(&from("alice"))));
    assert_eq!(testing::answer(policy.on_request(&from("alice"))).header("ratelimit"), Some("\"everyone\";r=0;t=1"));
}

#[test]
fn a_store_that_does_not_answer_is_a_failure() {
    testing::fail_limits(Some(LimitError::Unavailable));
    let policy = policy(json!({ "by": "principal", "limits": [{ "requests": 1, "per": "1s" }] }));
    assert_eq!(policy.on_request(&from("alice")).unwrap_err().code, "limits-unavailable");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for settings in [
        json!({ "by": "principal" }),
        json!({ "by": [], "bucket": "b" }),
        json!({ "by": "principal", "bucket": "b", "limits": [{ "requests": 1, "per": "1s" }] }),
        json!({ "by": "principal", "limits": [{ "requests": 0, "per": "1s" }] }),
        json!({ "by": "principal", "limits": [{ "requests": 1, "per": "1y" }] }),
        json!({ "by": "planet", "limits": [{ "requests": 1, "per": "1s" }] }),
    ] {
        assert!(testing::try_configured::<RateLimit>(settings.clone()).is_err(), "{settings}");
    }
}
