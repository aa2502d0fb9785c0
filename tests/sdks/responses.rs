//! OpenAI's client asks for responses from upstreams of other dialects, and chats with an upstream of responses.

use super::translating::{check_through, check_with};

#[test]
fn openais_client_gets_responses_of_chat_completions() {
    check_with("responses_sdk.py", "openai");
}

#[test]
fn openais_client_gets_responses_of_anthropic() {
    check_with("responses_sdk.py", "anthropic");
}

#[test]
fn openais_client_chats_with_an_upstream_of_responses() {
    check_through("openai_sdk.py", "openai-responses", "openai");
}
