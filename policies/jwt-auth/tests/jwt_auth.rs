//! `jwt-auth` from outside: requests in, decisions out.

use gatewright_sdk::crypto::JwtError;
use gatewright_sdk::testing::Answer;
use gatewright_sdk::{Exchange, Policy, Scalar, testing};
use jwt_auth::JwtAuth;
use serde_json::{Value, json};

fn policy(mut settings: Value) -> JwtAuth {
    settings["verifier"] = json!("main");
    testing::configured(settings)
}

fn request() -> Exchange {
    Exchange::request("GET", "/v1/models").with_header("authorization", "Bearer token")
}

fn refused(settings: Value, claims: Result<Value, JwtError>) -> Answer {
    testing::set_jwt_answer(claims);
    testing::answer(policy(settings).on_request(&request()))
}

#[test]
fn claims_become_metadata_and_headers() {
    testing::set_jwt_answer(Ok(json!({
        "sub": "alice", "org": { "id": "acme" }, "level": 3, "admin": true, "emailVerified": false,
    })));
    let policy = policy(json!({
        "tenant": "/org/id",
        "metadata": ["level", "/org/id", "emailVerified", "absent"],
        "headers": { "x-user": "sub", "x-level": "level", "x-absent": "absent" },
    }));
    let exchange = request().with_header("x-user", "root").with_header("x-absent", "root");
    assert!(testing::passes(&policy.on_request(&exchange)));

    assert_eq!(exchange.metadata_text("auth.principal").as_deref(), Some("alice"));
    assert_eq!(exchange.metadata_text("auth.tenant").as_deref(), Some("acme"));
    assert_eq!(exchange.metadata_text("auth.method").as_deref(), Some("jwt"));
    assert_eq!(exchange.metadata_text("auth.claim.org.id").as_deref(), Some("acme"));
    assert!(matches!(exchange.get_metadata("auth.claim.level"), Some(Scalar::Number(level)) if level == 3.0));
    assert!(matches!(exchange.get_metadata("auth.claim.emailverified"), Some(Scalar::Boolean(false))));
    assert_eq!(exchange.first_request_header("x-user").as_deref(), Some("alice"));
    assert_eq!(exchange.first_request_header("x-level").as_deref(), Some("3"));
    assert_eq!(exchange.first_request_header("x-absent"), None);
    assert_eq!(exchange.first_request_header("authorization"), None);
}

#[test]
fn a_bad_token_is_refused_as_rfc_6750_says() {
    for error in
        [JwtError::Malformed, JwtError::UnknownKey, JwtError::BadSignature, JwtError::Expired, JwtError::WrongIssuer]
    {
        let answer = refused(json!({ "optional": true }), Err(error));
        assert_eq!((answer.status, answer.code.as_str()), (401, "invalid-token"));
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));
    }
}

#[test]
fn keys_that_cannot_be_read_are_a_failure_and_not_a_refusal() {
    for (error, code) in
        [(JwtError::KeysUnavailable, "keys-unavailable"), (JwtError::UnknownVerifier, "unknown-verifier")]
    {
        testing::set_jwt_answer(Err(error));
        assert_eq!(policy(json!({})).on_request(&request()).unwrap_err().code, code);
    }
}

#[test]
fn no_token_is_refused_unless_optional() {
    let exchange = || Exchange::request("GET", "/").with_header("x-user", "root");
    let answer = testing::answer(policy(json!({})).on_request(&exchange()));
    assert_eq!((answer.code.as_str(), answer.header("www-authenticate")), ("missing-credentials", Some("Bearer")));

    let exchange = exchange();
    let policy = policy(json!({ "optional": true, "headers": { "x-user": "sub" } }));
    assert!(testing::passes(&policy.on_request(&exchange)));
    assert_eq!(exchange.first_request_header("x-user"), None);
    assert_eq!(exchange.metadata_text("auth.principal"), None);
}

#[test]
fn a_repeated_header_is_refused() {
    let exchange = request().with_header("authorization", "Bearer other");
    assert_eq!(testing::answer(policy(json!({})).on_request(&exchange)).code, "ambiguous-credentials");
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    let check = |settings: Value, claims: Value| {
        assert_eq!(refused(settings, Ok(claims.clone())).code, "invalid-token", "{claims}");
    };
    check(json!({}), json!({}));
    check(json!({}), json!([]));
    check(json!({}), json!({ "sub": 7 }));
    check(json!({}), json!({ "sub": "" }));
    check(json!({ "tenant": "org" }), json!({ "sub": "a", "org": ["acme"] }));
    check(json!({ "metadata": ["org"] }), json!({ "sub": "a", "org": { "id": 1 } }));
    check(json!({ "headers": { "x-user": "sub" } }), json!({ "sub": "a\r\nx-admin: 1" }));
}

#[test]
fn required_claims_and_scopes_are_held_against_the_token() {
    let settings = json!({ "required": { "/realm/roles": ["user", "admin"] }, "scopes": ["chat", "models"] });
    for (claims, code) in [
        (json!({ "sub": "a" }), "claim-refused"),
        (json!({ "sub": "a", "realm": { "roles": ["guest"] } }), "claim-refused"),
        (json!({ "sub": "a", "realm": { "roles": ["admin"] }, "scope": "chat" }), "insufficient-scope"),
        (json!({ "sub": "a", "realm": { "roles": "admin" }, "scope": "chatmodels" }), "insufficient-scope"),
    ] {
        let answer = refused(settings.clone(), Ok(claims));
        assert_eq!((answer.status, answer.code.as_str()), (403, code));
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
    }
    for scopes in [json!({ "scope": "models chat" }), json!({ "scp": ["chat", "models"] })] {
        let mut claims = json!({ "sub": "a", "realm": { "roles": ["guest", "user"] } });
        claims.as_object_mut().unwrap().extend(scopes.as_object().unwrap().clone());
        testing::set_jwt_answer(Ok(claims));
        assert!(testing::passes(&policy(settings.clone()).on_request(&request())));
    }
}
