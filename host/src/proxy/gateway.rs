//! What every request shares, and what the requests of one connection share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::Error;
use crate::exchange::Peer;
use crate::snapshot::{Shared, Snapshot};
use crate::telemetry::AccessLog;

/// What every request shares.
#[derive(Debug)]
pub struct Gateway {
    /// What is served.
    pub snapshot: ArcSwap<Snapshot>,
    /// What outlives it.
    pub shared: Shared,
    /// Where access-log lines go.
    pub access_log: AccessLog,
    /// Whether it is shutting down.
    pub draining: AtomicBool,
    ids: Ids,
}

/// Request ids: random once a process, then counted.
#[derive(Debug)]
struct Ids {
    prefix: String,
    next: AtomicU64,
}

/// What the requests of one connection share.
#[derive(Debug)]
pub struct Connection {
    /// Who is on the other end.
    pub peer: Arc<Peer>,
    /// Requests under way.
    pub in_flight: AtomicUsize,
    /// Whether it is a tunnel, whose bytes are no longer HTTP.
    pub tunnel: AtomicBool,
    /// Told when its tunnel is over.
    tunnel_over: Notify,
    /// Requests that hyper has handed over.
    served: AtomicU64,
    /// The request, counted from 0, that could not be read, and why.
    refusal: Mutex<Option<(u64, Error)>>,
}

impl Gateway {
    /// A gateway that serves a snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, shared: Shared, access_log: AccessLog) -> Self {
        Self {
            snapshot: ArcSwap::new(snapshot),
            shared,
            access_log,
            draining: AtomicBool::new(false),
            ids: Ids::default(),
        }
    }

    /// An id that no other request has.
    #[must_use]
    pub fn next_id(&self) -> String {
        let number = self.ids.next.fetch_add(1, Ordering::Relaxed);
        format!("{}{number:010x}", self.ids.prefix)
    }
}

impl Default for Ids {
    fn default() -> Self {
        let mut random = [0; 8];
        if rand::fill(&mut random).is_err() {
            tracing::warn!("no random bytes: request ids are unique in this process only");
        }
        Self { prefix: format!("{:016x}", u64::from_be_bytes(random)), next: AtomicU64::new(0) }
    }
}

impl Connection {
    /// A connection from a peer.
    #[must_use]
    pub fn new(peer: Arc<Peer>) -> Self {
        Self {
            peer,
            in_flight: AtomicUsize::new(0),
            tunnel: AtomicBool::new(false),
            tunnel_over: Notify::new(),
            served: AtomicU64::new(0),
            refusal: Mutex::new(None),
        }
    }

    /// Waits until its tunnel is over, if it became one.
    pub async fn tunnel_is_over(&self) {
        if self.tunnel.load(Ordering::Relaxed) {
            self.tunnel_over.notified().await;
        }
    }

    /// Ends a tunnel.
    pub(super) fn end_tunnel(&self) {
        self.tunnel_over.notify_one();
    }

    /// Notes that a request cannot be read.
    pub fn refuse(&self, request: u64, error: Error) {
        *self.refusal.lock() = Some((request, error));
    }

    /// Counts a request.
    ///
    /// # Errors
    /// Why this one could not be read.
    pub(super) fn refusal(&self) -> Result<(), Error> {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        match &*self.refusal.lock() {
            Some((refused, error)) if *refused == number => Err(error.clone()),
            _ => Ok(()),
        }
    }
}
