//! The providers' own clients complete chats, tool calls and streams through the gateway.

mod bedrock;
mod cohere;
mod google;
mod javascript;
mod messages;
mod responses;
mod translating;

use std::process::Command;

use harness::{Gateway, Mock, fixture, python, run};

fn run_script(name: &str, gateway: &Gateway) {
    run(Command::new(python()).arg(fixture(name)).arg(format!("http://{}", gateway.address())));
}

/// A gateway whose upstream holds the key that the mock asks for, and has a chain.
fn gateway_to(mock: &Mock, header: &str, policies: &str, api: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
policies:{policies}
upstreams:
  provider:
    endpoints: [{{ url: "http://{}" }}]
    headers: {{ {header} }}
    policies: [{}]
routes:
  - {{ name: models, upstream: provider, api: {api} }}
"#,
        mock.address,
        if policies.contains("normalize") { "normalize" } else { "" }
    ))
}

const OPENAI: &str =
    "\n  normalize: { plugin: llm-normalize, grants: { metadata: [llm] }, config: { dialect: openai } }";
const ANTHROPIC: &str =
    "\n  normalize: { plugin: llm-normalize, grants: { metadata: [llm] }, config: { dialect: anthropic } }";

#[test]
fn openais_client_works_with_openai() {
    let mock = Mock::start(&[]);
    run_script("openai_sdk.py", &gateway_to(&mock, "authorization: Bearer upstream-key", " {}", "openai"));
}

#[test]
fn openais_client_works_with_openai_through_the_normaliser() {
    let mock = Mock::start(&[]);
    run_script("openai_sdk.py", &gateway_to(&mock, "authorization: Bearer upstream-key", OPENAI, "openai"));
}

#[test]
fn openais_client_works_with_anthropic() {
    let mock = Mock::start(&[]);
    run_script("openai_sdk.py", &gateway_to(&mock, "x-api-key: upstream-key", ANTHROPIC, "openai"));
}

#[test]
fn anthropics_client_works_with_anthropic() {
    let mock = Mock::start(&[]);
    run_script("anthropic_sdk.py", &gateway_to(&mock, "x-api-key: upstream-key", " {}", "anthropic"));
}
