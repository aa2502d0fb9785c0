//! Reads the key sets that verifiers take from upstreams, now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use crate::body::{Body, gather_apart};
use crate::config::KeySource;
use crate::error::Reason;
use crate::proxy::Gateway;
use crate::services::{KeySet, Verifier};
use crate::snapshot::Snapshot;
use crate::upstream::{Outgoing, Wish};

/// How often it is checked whether a key set is due.
const TICK: Duration = Duration::from_millis(250);
/// After a failure, however long the configured period is.
const RETRY: Duration = Duration::from_secs(5);
const JWKS_BYTES_MAX: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts reading.
pub(super) fn start(gateway: &Arc<Gateway>, runtime: &tokio::runtime::Handle) {
    let gateway = Arc::downgrade(gateway);
    runtime.spawn(async move {
        // When each verifier is due, by its address: a verifier that was configured anew is due at once.
        let mut due: HashMap<usize, Instant> = HashMap::new();
        while let Some(gateway) = gateway.upgrade() {
            let snapshot = gateway.snapshot.load_full();
            drop(gateway);
            let mut alive = HashMap::new();
            for (name, verifier) in snapshot.verifiers.iter() {
                let key = Arc::as_ptr(verifier) as usize;
                let KeySource::JwksUpstream { refresh, .. } = &verifier.config.keys else { continue };
                let mut next = due.get(&key).copied().unwrap_or_else(Instant::now);
                if next <= Instant::now() {
                    let pause = match refresh_keys(&snapshot, verifier).await {
                        Ok(()) => refresh.0,
                        Err(error) => {
                            tracing::warn!(verifier = name, error, "key set cannot be read; the last one serves on");
                            RETRY.min(refresh.0)
                        }
                    };
                    next = Instant::now() + pause;
                }
                alive.insert(key, next);
            }
            due = alive;
            drop(snapshot);
            tokio::time::sleep(TICK).await;
        }
    });
}

async fn refresh_keys(snapshot: &Snapshot, verifier: &Verifier) -> Result<(), String> {
    let KeySource::JwksUpstream { upstream, path, .. } = &verifier.config.keys else { return Ok(()) };
    let entry = snapshot.upstreams.get(upstream).ok_or_else(|| format!("there is no upstream {upstream:?}"))?;
    let chosen = entry.upstream.pick(&Wish::default()).map_err(|error| error.to_string())?;
    let headers: HeaderMap = entry.upstream.headers.iter().cloned().collect();
    let outgoing = Outgoing { method: Method::GET, target: path.clone(), authority: None, headers, proxied: None };
    let fetched = tokio::time::timeout(PATIENCE, async {
        let sent = entry.upstream.send(chosen, outgoing, Body::empty(), None).await;
        let answer = sent.map_err(|failed| failed.error.to_string())?;
        if answer.response.status() != StatusCode::OK {
            return Err(format!("{upstream:?} answered {}", answer.response.status()));
        }
        let body = Body::from_upstream(answer.response.into_body(), PATIENCE, answer.release);
        gather_apart(body, JWKS_BYTES_MAX, Reason::UpstreamTooLarge).await.map_err(|error| error.to_string())
    });
    let bytes = fetched.await.map_err(|_| format!("{upstream:?} took too long"))??;
    verifier.replace_keys(KeySet::from_jwks(bytes.bytes())?);
    Ok(())
}
