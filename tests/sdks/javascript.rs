//! The clients in JavaScript, which frame, retry and end streams in their own ways.

use super::translating::{check_through, check_with};

#[test]
fn openais_client_works_with_openai() {
    check_with("openai_sdk.cjs", "openai");
}

#[test]
fn openais_client_works_with_anthropic() {
    check_with("openai_sdk.cjs", "anthropic");
}

#[test]
fn openais_client_works_through_gemini() {
    check_through("openai_sdk.cjs", "gemini", "openai");
}

#[test]
fn anthropics_client_works_with_anthropic() {
    check_with("anthropic_sdk.cjs", "anthropic");
}

#[test]
fn anthropics_client_works_with_openai() {
    check_with("anthropic_sdk.cjs", "openai");
}
