//! One worker: its listeners, and a task for each connection.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::{Wanted, connection, listen};
use crate::proxy::Gateway;
use crate::snapshot::ListenerKey;

/// How long to wait after `accept` failed, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens where it is told to until it is told to drain, then until the last connection is over.
///
/// Once it listens for the first time it drops `starting`.
pub(super) async fn work(gateway: Arc<Gateway>, mut wanted: watch::Receiver<Wanted>, starting: mpsc::Sender<()>) {
    let mut starting = Some(starting);
    let mut listeners: BTreeMap<ListenerKey, JoinHandle<()>> = BTreeMap::new();
    let connections = TaskTracker::new();
    let (drain, draining) = watch::channel(false);
    loop {
        let now = wanted.borrow_and_update().clone();
        listeners.retain(|key, task| {
            let keep = now.listeners.contains_key(key) && !now.drain;
            if !keep {
                task.abort();
            }
            keep
        });
        if now.drain {
            break;
        }
        for (key, address) in &now.listeners {
            if !listeners.contains_key(key) {
                match listen(*address) {
                    Ok(listener) => {
                        let door = Door {
                            key: *key,
                            gateway: gateway.clone(),
                            connections: connections.clone(),
                            draining: draining.clone(),
                        };
                        listeners.insert(*key, tokio::spawn(door.accept(listener)));
                    }
                    Err(error) => tracing::error!(%error, %address, "cannot listen"),
                }
            }
        }
        drop(starting.take());
        if wanted.changed().await.is_err() {
            break;
        }
    }
    drain.send_replace(true);
    connections.close();
    connections.wait().await;
}

/// What a listener needs for each connection.
struct Door {
    key: ListenerKey,
    gateway: Arc<Gateway>,
    connections: TaskTracker,
    draining: watch::Receiver<bool>,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let open = self.gateway.shared.metrics.connections.get();
                    let max = self.gateway.snapshot.load().config.bounds.connections;
                    if usize::try_from(open).unwrap_or(0) >= max {
                        tracing::warn!(%peer, max, "too many connections");
                        continue;
                    }
                    let serving =
                        connection::serve(self.gateway.clone(), self.key, (stream, peer), self.draining.clone());
                    self.connections.spawn(serving);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
