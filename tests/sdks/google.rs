//! Google's own client with upstreams of other dialects, and another client with an upstream of Google's.

use super::translating::{check_through, check_with};

#[test]
fn googles_client_works_with_openai() {
    check_with("google_sdk.py", "openai");
}

#[test]
fn googles_client_works_with_anthropic() {
    check_with("google_sdk.py", "anthropic");
}

#[test]
fn openais_client_works_with_google() {
    check_through("openai_sdk.py", "gemini", "openai");
}

#[test]
fn amazons_client_works_with_google() {
    check_through("bedrock_sdk.py", "gemini", "anthropic");
}
