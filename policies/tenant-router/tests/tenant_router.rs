//! `tenant-router` from outside: requests in, decisions out.

use gatewright_sdk::{Exchange, Policy, testing};
use serde_json::{Value, json};
use tenant_router::TenantRouter;

fn request(target: &str) -> Exchange {
    Exchange::request("GET", target).with_upstreams(&["openai-eu", "shared"])
}

fn routed(settings: Value, exchange: &Exchange) -> Option<String> {
    let policy: TenantRouter = testing::configured(settings);
    assert!(testing::passes(&policy.on_request(exchange)));
    exchange.metadata_text("tenant.name")
}

fn with_upstream(mut settings: Value) -> Value {
    settings["upstreams"] = json!({ "acme": "openai-eu" });
    settings
}

#[test]
fn the_tenant_comes_from_where_the_settings_say() {
    let check = |settings: Value, exchange: Exchange| {
        assert_eq!(routed(with_upstream(settings.clone()), &exchange).as_deref(), Some("acme"), "{settings}");
        assert_eq!(exchange.chosen_upstream().as_deref(), Some("openai-eu"));
    };
    check(json!({ "by": "tenant" }), request("/").with_metadata("auth.tenant", "acme"));
    check(json!({ "by": "claim", "claim": "org" }), request("/").with_metadata("auth.claim.org", "acme"));
    check(json!({ "by": "claim", "claim": "tenant" }), request("/").with_metadata("auth.tenant", "acme"));
    check(
        json!({ "by": "principal", "principals": { "alice": "acme" } }),
        request("/").with_metadata("auth.principal", "alice"),
    );
    check(json!({ "by": "host" }), request("/").with_authority("acme.example.com:8443"));
    check(json!({ "by": "path", "index": 1 }), request("/t/acme/v1/models"));
    check(json!({ "by": "header", "header": "x-tenant" }), request("/").with_header("X-Tenant", "acme"));
}

#[test]
fn an_unknown_tenant_is_refused() {
    let policy: TenantRouter = testing::configured(with_upstream(json!({ "by": "tenant", "default": "refuse" })));
    for exchange in [request("/"), request("/").with_metadata("auth.tenant", "other")] {
        let answer = testing::answer(policy.on_request(&exchange));
        assert_eq!((answer.status, answer.code.as_str()), (403, "unknown-tenant"));
    }
}

#[test]
fn a_default_takes_the_unknown_without_trusting_their_name() {
    let settings = json!({ "by": "header", "header": "x-tenant", "default": { "upstream": "shared" } });
    let exchange = request("/").with_header("x-tenant", "root");
    assert_eq!(routed(settings, &exchange), None);
    assert_eq!(exchange.chosen_upstream().as_deref(), Some("shared"));
}

#[test]
fn path_host_and_headers_change() {
    let settings = json!({
        "by": "path",
        "tenants": { "acme": {
            "path": { "strip": "/acme", "add": "/v2" },
            "host": "eu.example.net",
            "headers": { "set": { "x-plan": "gold" }, "remove": ["x-debug"] },
        } },
    });
    let check = |target: &str, path: &str| {
        let exchange = request(target).with_header("x-debug", "1").with_header("x-plan", "mine");
        assert_eq!(routed(settings.clone(), &exchange).as_deref(), Some("acme"));
        assert_eq!(exchange.path(), path);
        assert_eq!(exchange.query().as_deref(), Some("a=%20"));
        assert_eq!(exchange.authority(), "eu.example.net");
        assert_eq!(exchange.first_request_header("x-plan").as_deref(), Some("gold"));
        assert_eq!(exchange.first_request_header("x-debug"), None);
        assert_eq!(exchange.chosen_upstream(), None);
    };
    check("/acme/models?a=%20", "/v2/models");
    check("/acme?a=%20", "/v2");
}

#[test]
fn the_tenants_header_goes_no_further_unless_told() {
    for (forward, left) in [(false, None), (true, Some("acme"))] {
        let exchange = request("/").with_header("x-tenant", "acme");
        routed(with_upstream(json!({ "by": "header", "header": "x-tenant", "forward": forward })), &exchange);
        assert_eq!(exchange.first_request_header("x-tenant").as_deref(), left);
    }
}

#[test]
fn an_upstream_that_the_route_lacks_is_a_failure() {
    let policy: TenantRouter = testing::configured(json!({ "by": "tenant", "upstreams": { "acme": "nowhere" } }));
    let failure = policy.on_request(&request("/").with_metadata("auth.tenant", "acme")).unwrap_err();
    assert_eq!(failure.code, "unknown-upstream");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for settings in [
        json!({ "by": "claim", "upstreams": { "a": "b" } }),
        json!({ "by": "host", "claim": "org", "upstreams": { "a": "b" } }),
        json!({ "by": "principal", "upstreams": { "a": "b" } }),
        json!({ "by": "tenant" }),
        json!({ "by": "tenant", "upstreams": { "a": "b" }, "tenants": { "a": {} } }),
        json!({ "by": "tenant", "tenants": { "a": { "path": { "strip": "a/" } } } }),
    ] {
        assert!(testing::try_configured::<TenantRouter>(settings.clone()).is_err(), "{settings}");
    }
}
