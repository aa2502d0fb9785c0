//! Anthropic's own client through the normaliser, and another client with an upstream of messages.

use super::translating::{check_through, check_with};

#[test]
fn anthropics_client_works_with_openai() {
    check_with("anthropic_sdk.py", "openai");
}

#[test]
fn anthropics_client_works_with_anthropic_through_the_normaliser() {
    check_with("anthropic_sdk.py", "anthropic");
}

#[test]
fn openais_client_works_through_messages() {
    check_through("openai_sdk.py", "anthropic", "openai");
}
