//! Gateways that translate, one alone or one behind another, and the scripts of clients that are run through them.

use std::net::SocketAddr;
use std::process::Command;

use harness::{Gateway, Mock, fixture, node, python, run};

/// A gateway in front of an upstream that speaks `dialect`; clients speak what they like.
pub(super) fn gateway_to(dialect: &str, address: SocketAddr) -> Gateway {
    let credential = match dialect {
        "anthropic" => "x-api-key: upstream-key",
        "gemini" => "x-goog-api-key: upstream-key",
        _ => "authorization: Bearer upstream-key",
    };
    Gateway::start(&format!(
        r#"
policies:
  normalize: {{ plugin: llm-normalize, grants: {{ metadata: [llm] }}, config: {{ dialect: {dialect} }} }}
upstreams:
  provider:
    endpoints: [{{ url: "http://{address}" }}]
    headers: {{ {credential} }}
    policies: [normalize]
routes:
  - {{ name: models, upstream: provider, api: auto }}
"#
    ))
}

/// Runs a script that leaves one stream half-way, with the mock as an upstream that speaks `dialect`.
pub(super) fn check_with(script: &str, dialect: &str) {
    let mock = Mock::start(&[]);
    if check(script, &gateway_to(dialect, mock.address), dialect) {
        assert_eq!(mock.requests(1)["aborted"], 1, "the stream that was left, and no other, ends at the provider, too");
    }
}

/// Runs a script with an upstream that speaks `dialect`: a second gateway, which asks the mock in `last`.
pub(super) fn check_through(script: &str, dialect: &str, last: &str) {
    let mock = Mock::start(&[]);
    let far = gateway_to(last, mock.address);
    check(script, &gateway_to(dialect, far.address()), dialect);
}

/// Scripts are told the upstream's dialect, for what not every dialect can tell.
fn check(script: &str, gateway: &Gateway, dialect: &str) -> bool {
    let command = if script.ends_with(".py") {
        let mut command = Command::new(python());
        command.arg(fixture(script));
        Some(command)
    } else {
        node(script)
    };
    let Some(mut command) = command else { return false };
    run(command.arg(format!("http://{}", gateway.address())).arg(dialect));
    true
}
