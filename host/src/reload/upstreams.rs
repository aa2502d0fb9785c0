//! Keeps upstreams in step with the world: names are looked up and endpoints checked while they serve.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::proxy::Gateway;
use crate::snapshot::Snapshot;

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(50);

/// Starts tending the upstreams of whatever snapshot serves.
pub(super) fn start(gateway: &Arc<Gateway>, runtime: &tokio::runtime::Handle) {
    let gateway = Arc::downgrade(gateway);
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(gateway) = gateway.upgrade() else { return };
            for entry in gateway.snapshot.load().upstreams.values() {
                entry.upstream.tend();
            }
        }
    });
}

/// Waits until every name of a snapshot that never served was looked up once: its first request finds what it needs.
pub async fn resolve(snapshot: &Snapshot) {
    join_all(snapshot.upstreams.values().map(|entry| entry.upstream.resolve())).await;
}
