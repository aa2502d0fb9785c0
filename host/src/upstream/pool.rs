//! Idle connections of one endpoint, apart for each worker: what a worker opened, it alone uses.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::body::Body;

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Slots for workers; a worker past it shares one.
const WORKERS_MAX: usize = 64;

/// Names the worker that runs on this thread.
pub fn enter_worker(index: usize) {
    WORKER.set(index % WORKERS_MAX);
}

/// The worker that runs on this thread.
fn worker() -> usize {
    WORKER.get()
}

/// The epoch of connections that never come back.
pub(super) const NO_EPOCH: u64 = u64::MAX;

/// An HTTP/1.1 connection that nobody uses.
type Idle = (Instant, http1::SendRequest<Body>);

/// Connections of one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    slots: Vec<Slot>,
    idle_max: usize,
    keep_alive: Duration,
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    idle: Mutex<VecDeque<Idle>>,
    shared: Mutex<Option<http2::SendRequest<Body>>>,
}

impl Pool {
    pub(super) fn new(idle_max: usize, keep_alive: Duration) -> Self {
        Self {
            slots: (0..WORKERS_MAX).map(|_| Slot::default()).collect(),
            idle_max,
            keep_alive,
            epoch: AtomicU64::new(0),
        }
    }

    /// What a connection is opened or taken in; it comes back only while that lasts.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Lets go of every connection: the ones in use are closed after their last response.
    pub(super) fn clear(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for slot in &self.slots {
            slot.idle.lock().clear();
            *slot.shared.lock() = None;
        }
    }

    fn slot(&self) -> Option<&Slot> {
        self.slots.get(worker())
    }

    /// The connection that was used last, if it is still good.
    pub(super) fn take(&self) -> Option<http1::SendRequest<Body>> {
        let mut idle = self.slot()?.idle.lock();
        while let Some((since, connection)) = idle.pop_back() {
            if since.elapsed() > self.keep_alive {
                idle.clear();
                return None;
            }
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn give_back(&self, connection: http1::SendRequest<Body>, epoch: u64) {
        if connection.is_closed() {
            return;
        }
        if let Some(slot) = self.slot() {
            let mut idle = slot.idle.lock();
            if epoch != self.epoch() {
                return;
            }
            if idle.len() >= self.idle_max {
                idle.pop_front();
            }
            idle.push_back((Instant::now(), connection));
        }
    }

    /// The HTTP/2 connection that all requests of this worker share.
    pub(super) fn shared(&self) -> Option<http2::SendRequest<Body>> {
        let mut shared = self.slot()?.shared.lock();
        if shared.as_ref().is_some_and(http2::SendRequest::is_closed) {
            *shared = None;
        }
        shared.clone()
    }

    pub(super) fn share(&self, connection: http2::SendRequest<Body>, epoch: u64) {
        if let Some(slot) = self.slot() {
            let mut shared = slot.shared.lock();
            if epoch == self.epoch() {
                *shared = Some(connection);
            }
        }
    }

    pub(super) fn sweep(&self) {
        for slot in &self.slots {
            let mut idle = slot.idle.lock();
            idle.retain(|(since, connection)| since.elapsed() <= self.keep_alive && !connection.is_closed());
        }
    }
}
