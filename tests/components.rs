//! Components of `wasi:http` as upstreams: what they answer, what they break, whom they call, how they change.

mod answers;
mod calls;
mod faults;
mod load;

use harness::{Gateway, guest};
use tempfile::TempDir;

/// A folder whose plugins are the component and the stamping policy.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("service.wasm"), guest("service")).unwrap();
    std::fs::write(plugins.join("stamp.wasm"), guest("stamp")).unwrap();
    folder
}

/// A configuration whose one route leads to the component; `more` is more of the component, `rest` more of the file.
fn config(more: &str, rest: &str) -> String {
    format!(
        r#"upstreams:
  service: {{ component: {{ plugin: service, {more} }} }}
{rest}
routes:
  - {{ name: service, upstream: service }}
"#
    )
}

/// A gateway in front of the component.
fn serving(more: &str) -> Gateway {
    Gateway::start_with_components(folder(), &config(more, ""))
}
