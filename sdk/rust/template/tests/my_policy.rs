//! The policy from outside: requests in, decisions out.

use gatewright_sdk::{Exchange, Policy, testing};
use my_policy::MyPolicy;
use serde_json::json;

#[test]
fn only_closed_paths_are_refused() {
    let policy: MyPolicy = testing::configured(json!({ "closed": ["/admin"] }));
    for path in ["/admin", "/admin/users"] {
        let answer = testing::answer(policy.on_request(&Exchange::request("GET", path)));
        assert_eq!((answer.status, answer.code.as_str()), (403, "closed-path"));
    }
    for path in ["/", "/administration", "/v1/admin"] {
        assert!(testing::passes(&policy.on_request(&Exchange::request("GET", path))));
    }
}
