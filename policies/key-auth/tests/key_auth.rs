//! `key-auth` from outside: requests in, decisions out.

use gatewright_sdk::{Exchange, Policy, testing};
use key_auth::KeyAuth;
use serde_json::{Value, json};

const ALICE_KEY: &str = "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20";
const OLD_KEY: &str = "762c08fc17a1cc5f00d248f8b50f2f2f4d17ff2934ac31e64deacb3f5bb3f2ec";
const LATE_KEY: &str = "d73eeb148e0826b60ea6d03ce9cd5b421566388c0d171c5f16aeb68847b9f744";
const OFF_KEY: &str = "5e8a97167a176bbe9cc2ed149dd64bfb1a5b736c8911c2b2e9d19c7b338ab9ab";

fn settings() -> Value {
    json!({
        "from": [
            { "header": "authorization", "scheme": "Bearer" },
            { "header": "x-api-key" },
            { "query": "key" },
            { "cookie": "key" },
        ],
        "keys": [
            { "principal": "alice", "tenant": "acme", "sha256": [OLD_KEY, ALICE_KEY], "attributes": { "plan": "gold" } },
            { "principal": "late", "sha256": [LATE_KEY], "expires": "2027-01-01" },
            { "principal": "off", "sha256": [OFF_KEY], "disabled": true },
        ],
    })
}

fn policy() -> KeyAuth {
    testing::configured(settings())
}

fn request() -> Exchange {
    Exchange::request("GET", "/v1/models")
}

fn refusal(exchange: &Exchange) -> String {
    let answer = testing::answer(policy().on_request(exchange));
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"gatewright\""));
    answer.code
}

#[test]
fn a_key_in_any_place_names_its_principal() {
    for exchange in [
        request().with_header("authorization", "Bearer alice-key"),
        request().with_header("authorization", "bearer  alice-key"),
        request().with_header("x-api-key", "old-key"),
        Exchange::request("GET", "/v1/models?a=1&%6bey=alice%2Dkey"),
        request().with_header("cookie", "a=b; key=alice-key").with_header("cookie", "c=d"),
    ] {
        assert!(testing::passes(&policy().on_request(&exchange)));
        let metadata =
            ["principal", "tenant", "method", "claim.plan"].map(|name| exchange.metadata_text(&format!("auth.{name}")));
        assert_eq!(metadata.map(Option::unwrap), ["alice", "acme", "key", "gold"]);
    }
}

#[test]
fn the_key_does_not_reach_the_upstream() {
    let exchange = request().with_header("x-api-key", "alice-key");
    assert!(testing::passes(&policy().on_request(&exchange)));
    assert_eq!(exchange.first_request_header("x-api-key"), None);

    let exchange = Exchange::request("GET", "/v1/models?a=1&%6bey=alice-key&b=%20");
    assert!(testing::passes(&policy().on_request(&exchange)));
    assert_eq!(exchange.query().as_deref(), Some("a=1&b=%20"));

    let exchange = request().with_header("cookie", "a=b; key=alice-key; c=d");
    assert!(testing::passes(&policy().on_request(&exchange)));
    assert_eq!(exchange.first_request_header("cookie").as_deref(), Some("a=b; c=d"));
}

#[test]
fn the_key_is_forwarded_when_told() {
    let mut settings = settings();
    settings["forward"] = json!(true);
    let policy: KeyAuth = testing::configured(settings);
    let exchange = request().with_header("x-api-key", "alice-key");
    assert!(testing::passes(&policy.on_request(&exchange)));
    assert_eq!(exchange.first_request_header("x-api-key").as_deref(), Some("alice-key"));
}

#[test]
fn no_key_is_refused() {
    assert_eq!(refusal(&request()), "missing-credentials");
    assert_eq!(refusal(&request().with_header("authorization", "Basic alice-key")), "missing-credentials");
}

#[test]
fn unknown_disabled_and_expired_keys_look_the_same() {
    testing::set_clock_ms(1_798_761_600_000.0);
    for key in ["nobody", "off-key", "late-key", "", ALICE_KEY] {
        assert_eq!(refusal(&request().with_header("x-api-key", key)), "invalid-key", "{key}");
    }
}

#[test]
fn a_key_passes_until_it_expires() {
    testing::set_clock_ms(1_798_761_599_999.0);
    assert!(testing::passes(&policy().on_request(&request().with_header("x-api-key", "late-key"))));
}

#[test]
fn two_credentials_are_never_a_choice() {
    for exchange in [
        request().with_header("authorization", "Bearer alice-key").with_header("x-api-key", "alice-key"),
        request().with_header("x-api-key", "alice-key").with_header("x-api-key", "old-key"),
        Exchange::request("GET", "/?key=alice-key&key=alice-key"),
        request().with_header("cookie", "key=alice-key").with_header("cookie", "key=old-key"),
    ] {
        assert_eq!(refusal(&exchange), "ambiguous-credentials");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |settings: Value, at: &str| {
        let problems = testing::try_configured::<KeyAuth>(settings).err().unwrap();
        assert_eq!(problems[0].at, at);
    };
    check(json!({}), "");
    check(json!({ "header": "a", "from": [{ "query": "b" }] }), "");
    check(json!({ "from": [{ "header": "a", "query": "b" }] }), "/from/0");
    check(json!({ "from": [{ "query": "b", "scheme": "Bearer" }] }), "/from/0");
    check(json!({ "header": "a", "keys": [{ "principal": "a", "sha256": ["beef"] }] }), "");
    check(json!({ "header": "a", "key": [] }), "");
}
