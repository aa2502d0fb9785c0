//! How instances are prepared, shared and bounded.

mod cache;
mod instances;
mod quarantine;
mod slow;

use harness::{Gateway, Origin};
use tempfile::TempDir;

/// A gateway whose every request passes one policy, in a folder that has its plugin.
fn gateway_with(folder: TempDir, origin: &Origin, policy: &str) -> Gateway {
    Gateway::start_in(folder, &config(origin, policy))
}

fn config(origin: &Origin, policy: &str) -> String {
    format!(
        "plugins: {{ folder: plugins }}\npolicies:\n  only: {{ {policy} }}\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {url:?} }}] }} }}\n\
         routes: [{{ name: all, policies: [only], upstream: origin }}]\n",
        url = origin.url()
    )
}

/// What `/status` says of the one policy.
fn policy_status(gateway: &Gateway) -> serde_json::Value {
    gateway.admin_get("/status").json()["policies"][0].clone()
}
