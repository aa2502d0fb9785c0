//! Whose plugins are accepted: pins, signatures, and sources beside the drop folder.

mod oci;
mod signatures;

use std::path::Path;
use std::process::Output;

use harness::{Gateway, Origin, gatewright, http_get};
use serde_json::Value;

/// Routes everything through a plugin `stamp`, under what a test says of plugins.
fn config(origin: &Origin, plugins: &str) -> String {
    format!(
        r#"plugins: {{ folder: plugins, {plugins} }}
policies: {{ stamp: {{ plugin: stamp, config: {{ label: l }} }} }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes: [{{ name: all, policies: [stamp], upstream: origin }}]
"#,
        origin.url()
    )
}

/// Runs the binary in a folder.
fn run(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let output = gatewright().args(arguments).current_dir(folder).output().unwrap();
    let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    (output, text)
}

/// What `gatewright check` says of a configuration in a folder; `Ok` if it is good.
fn check(folder: &Path, text: &str) -> Result<(), String> {
    std::fs::write(folder.join("checked.yaml"), format!("listeners: [{{ address: \"127.0.0.1:0\" }}]\n{text}"))
        .unwrap();
    let (output, text) = run(folder, &["check", "--cache", "cache", "--config", "checked.yaml"]);
    if output.status.success() { Ok(()) } else { Err(text) }
}

/// The version that answers.
fn stamped(gateway: &Gateway) -> String {
    let reply = http_get(gateway.address(), "/");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-stamp-answered").unwrap().to_owned()
}

/// What `/status` says of the plugin.
fn plugin_status(gateway: &Gateway) -> Value {
    let status = gateway.admin_get("/status").json();
    status["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "stamp").unwrap().clone()
}

/// SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Another version of the plugin.
fn version(number: u32) -> Vec<u8> {
    harness::guest_with("stamp", "stamp-version-000000", &format!("stamp-version-{number:06}"))
}
