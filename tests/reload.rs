//! Files change while traffic flows: applied whole and once, or not at all, and nobody notices.

mod faulty;
mod files;
mod load;
mod memory;
mod restart;
mod swaps;

use std::path::Path;

use harness::{Client, Gateway, Origin, Protocol, guest, guest_with};
use tempfile::TempDir;

/// A version of the stamping plugin.
fn stamp(version: usize) -> Vec<u8> {
    match version {
        0 => guest("stamp"),
        _ => guest_with("stamp", "stamp-version-000000", &format!("stamp-version-{version:06}")),
    }
}

/// What the stamping plugin writes.
fn stamped(version: usize, label: &str) -> String {
    format!("stamp-version-{version:06}/{label}")
}

fn config(url: &str, label: &str) -> String {
    format!(
        r#"listeners: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
plugins: {{ folder: plugins }}
policies:
  stamp: {{ plugin: stamp, config: {{ label: {label:?} }}, limits: {{ deadline: 2s }} }}
upstreams: {{ origin: {{ endpoints: [{{ url: {url:?} }}] }} }}
routes: [{{ name: all, policies: [stamp], upstream: origin }}]
"#
    )
}

/// A gateway with version 0 of the plugin and the label `first`.
fn stamping(origin: &Origin) -> Gateway {
    let folder = folder_with_stamp();
    Gateway::start_in(folder, &config(&origin.url(), "first"))
}

fn folder_with_stamp() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/stamp.wasm"), stamp(0)).unwrap();
    folder
}

/// Puts a file in place as an editor does: a new one beside it, then a rename.
fn save(path: &Path, bytes: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The stamp on an answer right now.
fn answer(gateway: &Gateway) -> String {
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/", &[]);
    assert_eq!(reply.status, 200, "{reply:?}");
    let answered = reply.header("x-stamp-answered").unwrap().to_owned();
    assert_eq!(reply.header("x-stamp-asked"), Some(answered.as_str()));
    answered
}

fn generation(gateway: &Gateway) -> u64 {
    gateway.admin_get("/status").json()["generation"].as_u64().unwrap()
}

/// A figure of the metrics.
fn figure(gateway: &Gateway, name: &str) -> f64 {
    let metrics = gateway.admin_get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in:\n{metrics}")).parse().unwrap()
}
