//! One worker: its listeners, and a task for each connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::socket::{Listener, Socket};
use super::{End, Wanted, connection};
use crate::overload::give_back_when_idle;
use crate::proxy::Gateway;
use crate::snapshot::ListenerKey;

/// How long to wait after `accept` failed, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections are still taken out of a queue that is about to be closed.
const LAST_ACCEPTS: Duration = Duration::from_millis(50);

/// A worker's place among the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) count: usize,
}

/// Listens where it is told to until it is told to end, then until the last connection is over.
///
/// Once it listens for the first time it drops `starting`.
pub(super) async fn work(
    worker: Worker,
    gateway: Arc<Gateway>,
    mut wanted: watch::Receiver<Wanted>,
    starting: mpsc::Sender<()>,
) {
    let mut starting = Some(starting);
    let mut open: BTreeMap<ListenerKey, Open> = BTreeMap::new();
    let connections = TaskTracker::new();
    let (drain, draining) = watch::channel(false);
    tokio::spawn(give_back_when_idle());
    loop {
        let now = wanted.borrow_and_update().clone();
        let gone: Vec<ListenerKey> =
            open.keys().filter(|key| !now.listeners.contains_key(*key) || now.end.is_some()).cloned().collect();
        for open in gone.iter().filter_map(|key| open.remove(key)) {
            open.close(now.end.unwrap_or(End::Close)).await;
        }
        if now.end.is_some() {
            break;
        }
        for (key, listening) in &now.listeners {
            if open.contains_key(key) {
                continue;
            }
            match listening.for_worker(worker.index, worker.count) {
                Ok(listeners) => {
                    let door = Door {
                        key: key.clone(),
                        gateway: gateway.clone(),
                        connections: connections.clone(),
                        draining: draining.clone(),
                    };
                    open.insert(key.clone(), Open::start(&door, listeners));
                }
                Err(error) => tracing::error!(%error, address = %listening.address, "cannot listen"),
            }
        }
        drop(starting.take());
        drop(now);
        if wanted.changed().await.is_err() {
            break;
        }
    }
    drain.send_replace(true);
    connections.close();
    connections.wait().await;
}

/// A listener of this worker, open.
struct Open {
    end: watch::Sender<Option<End>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Open {
    fn start(door: &Door, listeners: Vec<Listener>) -> Self {
        let (end, ends) = watch::channel(None);
        let accept = |listener| tokio::spawn(door.clone().accept(listener, ends.clone()));
        let tasks = listeners.into_iter().map(accept).collect();
        Self { end, tasks }
    }

    async fn close(self, end: End) {
        self.end.send_replace(Some(end));
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener failed");
            }
        }
    }
}

/// What a listener needs for each connection.
#[derive(Clone)]
struct Door {
    key: ListenerKey,
    gateway: Arc<Gateway>,
    connections: TaskTracker,
    draining: watch::Receiver<bool>,
}

impl Door {
    async fn accept(self, listener: Listener, mut ends: watch::Receiver<Option<End>>) {
        let end = loop {
            tokio::select! {
                biased;
                changed = ends.changed() => {
                    let end = *ends.borrow_and_update();
                    if changed.is_err() || end.is_some() {
                        break end;
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => self.admit(accepted),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        // What a successor shares stays in the queue for it; what would be reset with the queue is taken first.
        if end != Some(End::HandOver) {
            let until = Instant::now() + LAST_ACCEPTS;
            while let Ok(Ok(accepted)) = tokio::time::timeout_at(until, listener.accept()).await {
                self.admit(accepted);
            }
        }
    }

    fn admit(&self, (socket, peer): (Socket, SocketAddr)) {
        let open = self.gateway.shared.metrics.connections.get();
        let max = self.gateway.snapshot.load().config.bounds.connections;
        if usize::try_from(open).unwrap_or(0) >= max {
            tracing::warn!(%peer, max, "too many connections");
            return;
        }
        let serving = connection::serve(self.gateway.clone(), self.key.clone(), (socket, peer), self.draining.clone());
        self.connections.spawn(serving);
    }
}
