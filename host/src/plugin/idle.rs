//! Keeps instances between calls: put back to their beginning, or as they are for policies that ask for it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::sandbox::Sandbox;

/// Idle instances of one policy. Each worker has its own, so that none waits for another.
pub(super) struct IdlePool {
    workers: Box<[Mutex<Vec<Sandbox>>]>,
    /// How many one worker keeps.
    most: usize,
}

/// Counts the idle and reused instances of all policies.
#[derive(Debug, Clone, Default)]
pub(super) struct IdleCount(Arc<AtomicUsize>);

/// One instance that is kept.
pub(super) struct IdleTicket(IdleCount);

/// Workers past this many share.
const WORKERS: usize = 64;
/// An instance is retired after so many calls: what a guest leaks or learns ends with it.
const CALLS_MAX: u32 = 10_000;
/// An instance is retired once its memory has grown by so much.
const GROWTH_MAX: usize = 4 << 20;
/// A call that never waits is over before its worker begins another; calls that wait overlap.
const OVERLAPPING: usize = 8;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

impl IdlePool {
    /// A pool for a policy whose calls may wait, or never do.
    pub(super) fn new(waits: bool) -> Self {
        let workers = (0..WORKERS).map(|_| Mutex::new(Vec::new())).collect();
        Self { workers, most: if waits { OVERLAPPING } else { 1 } }
    }

    /// An idle instance of this worker.
    pub(super) fn take(&self) -> Option<Sandbox> {
        self.worker()?.lock().pop()
    }

    /// Takes an instance back after a call that ended well, or drops it where it has served long enough.
    pub(super) fn put(&self, mut sandbox: Sandbox, count: &IdleCount, most: usize) {
        let Some(worker) = self.worker() else { return };
        if sandbox.calls >= CALLS_MAX || sandbox.grown() > GROWTH_MAX || sandbox.store.data().has_output() {
            return;
        }
        let mut idle = worker.lock();
        if idle.len() >= self.most {
            return;
        }
        if sandbox.ticket.is_none() {
            sandbox.ticket = count.take(most);
        }
        if sandbox.ticket.is_some() {
            idle.push(sandbox);
        }
    }

    fn worker(&self) -> Option<&Mutex<Vec<Sandbox>>> {
        let number = WORKER.get().unwrap_or_else(|| {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            WORKER.set(Some(number));
            number
        });
        self.workers.get(number % WORKERS)
    }
}

impl IdleCount {
    fn take(&self, most: usize) -> Option<IdleTicket> {
        let taken =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1));
        taken.is_ok().then(|| IdleTicket(self.clone()))
    }

    /// How many there are.
    pub(super) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for IdleTicket {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
