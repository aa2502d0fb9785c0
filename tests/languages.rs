//! One policy in several languages: the same is asked of each, and each answers the same.

mod cases;
mod load;
mod streams;
mod wasi;

use std::process::Output;

use harness::{Client, Gateway, Origin, Protocol, Request, example, gatewright, guest};
use tempfile::TempDir;

/// The languages in which the policy exists; Rust is the pattern for the others.
const LANGUAGES: [&str; 4] = ["rust", "c", "javascript", "python"];

/// The policy in every language that can be built here, the first of which is Rust.
fn policies() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    LANGUAGES.into_iter().filter_map(|language| match language {
        "rust" => Some((language, guest("conformance"))),
        _ => Some((language, example(language)?)),
    })
}

/// Its limits are for Python, whose instance takes a millisecond.
fn config(origin: &str) -> String {
    let policy = "plugin: conformance, grants: { limits: true, metadata: [conformance] }, \
                  limits: { deadline: 1s, body_deadline: 1s, memory: 64MiB }";
    format!(
        r#"plugins: {{ folder: plugins, compiler: {{ time: 5m }} }}
limits: {{ declared: {{ tokens: 5, per: 1h }} }}
policies:
  conformance: {{ {policy}, config: {{ greeting: hello }} }}
upstreams:
  origin: {{ endpoints: [{{ url: {origin:?} }}], pass_host: true }}
  other: {{ endpoints: [{{ url: {origin:?} }}], pass_host: true, headers: {{ x-other: yes }} }}
routes:
  - {{ name: all, policies: [conformance], upstream: {{ default: origin, choices: [other] }} }}
"#
    )
}

/// A folder with the policy and a configuration.
fn folder_with(policy: &[u8], config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/conformance.wasm"), policy).unwrap();
    let listeners = "listeners: [{ address: \"127.0.0.1:0\" }]\n";
    std::fs::write(folder.path().join("gateway.yaml"), format!("{listeners}{config}")).unwrap();
    folder
}

/// Runs `gatewright check` on it.
fn check(folder: &TempDir) -> (Output, String) {
    let output = gatewright().args(["check", "--config"]).arg(folder.path().join("gateway.yaml")).output().unwrap();
    let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    (output, text)
}

/// Answers as each test below wants it: with a stream to GET, with a text else.
fn answer(request: &Request) -> String {
    match request.line.split(' ').nth(1) {
        Some("/stream") => streams::stream(&["one", "swallow", "rename", "caf\u{e9}", "last"]),
        Some("/stopped") => streams::stream(&["one", "stop", "never"]),
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nupstream".to_owned(),
    }
}

#[test]
fn every_language_does_the_same_with_all_that_the_contract_has() {
    for (language, policy) in policies() {
        check_policy(language, &policy);
    }
}

/// Asks all of a policy's file that the contract has.
pub(crate) fn check_policy(language: &str, policy: &[u8]) {
    let origin = Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            conversation.send(answer(&request));
        }
    });
    // One gateway for all. To compile a language's runtime takes longer than a gateway's start is waited for, so that is
    // done before and kept.
    let config = config(&origin.url());
    let folder = folder_with(policy, &config);
    let (output, text) = check(&folder);
    assert!(output.status.success(), "{language}: {text}");
    let gateway = Gateway::start_in(folder, &config);
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        cases::check_all(&mut client, &origin, &format!("{language} over {protocol:?}"));
        streams::check_all(&gateway, protocol, &format!("{language} over {protocol:?}"));
    }
    streams::check_log(&gateway, language);
}
