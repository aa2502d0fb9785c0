//! Cohere's own client with upstreams of other dialects, and another client with an upstream of Cohere's.

use super::translating::{check_through, check_with};

#[test]
fn coheres_client_works_with_openai() {
    check_with("cohere_sdk.py", "openai");
}

#[test]
fn coheres_client_works_with_anthropic() {
    check_with("cohere_sdk.py", "anthropic");
}

#[test]
fn openais_client_works_with_cohere() {
    check_through("openai_sdk.py", "cohere", "openai");
}
