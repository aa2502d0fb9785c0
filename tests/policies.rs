//! The policies that ship, as WebAssembly, through the real gateway.

mod jwt_auth;
mod key_auth;
mod llm_leaving;
mod llm_normalize;
mod llm_stream;
mod rate_limit;
mod readmes;
mod tenant_router;
mod tokens;

use std::path::{Path, PathBuf};

use harness::Origin;

/// The repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A configuration whose one route has a chain in front of an origin.
fn config(origin: &Origin, policies: &str, chain: &str) -> String {
    format!(
        r#"policies:
{policies}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes: [{{ name: all, policies: [{chain}], upstream: origin }}]
"#,
        origin.url()
    )
}
