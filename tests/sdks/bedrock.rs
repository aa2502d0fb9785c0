//! Amazon's own client with upstreams of other dialects, and another client with an upstream of Amazon's.

use super::translating::{check_through, check_with};

#[test]
fn amazons_client_works_with_openai() {
    check_with("bedrock_sdk.py", "openai");
}

#[test]
fn amazons_client_works_with_anthropic() {
    check_with("bedrock_sdk.py", "anthropic");
}

#[test]
fn openais_client_works_with_amazon() {
    check_through("openai_sdk.py", "bedrock", "openai");
}

#[test]
fn googles_client_works_with_amazon() {
    check_through("google_sdk.py", "bedrock", "anthropic");
}
