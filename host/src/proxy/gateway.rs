//! What every request shares, and what the requests of one connection share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::Config;
use crate::error::Error;
use crate::exchange::Peer;
use crate::overload::{Connections, Measures, Overload, Pressure};
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
    /// How near the process is to its bounds.
    pub overload: Overload,
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
    /// Whether it has been idle for so long that what its next request is read with may go.
    pub quiet: AtomicBool,
    /// Told when its tunnel is over.
    tunnel_over: Notify,
    /// Told when it is to take no more requests.
    retired: Notify,
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
            overload: Overload::default(),
            ids: Ids::default(),
        }
    }

    /// What is to be done about the load now.
    pub fn look(&self, config: &Config) -> Measures {
        self.overload.look(&config.overload, config.bounds.buffered_body.0, self.connections(config))
    }

    /// How near the process is to its bounds.
    pub fn pressure(&self) -> Pressure {
        let snapshot = self.snapshot.load();
        let config = &snapshot.config;
        self.overload.pressure(&config.overload, config.bounds.buffered_body.0, self.connections(config))
    }

    fn connections(&self, config: &Config) -> Connections {
        let open = u64::try_from(self.shared.metrics.connections.get()).unwrap_or(0);
        (open, config.bounds.connections as u64)
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
            quiet: AtomicBool::new(false),
            tunnel_over: Notify::new(),
            retired: Notify::new(),
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

    /// Waits until it is to take no more requests.
    pub async fn is_retired(&self) {
        self.retired.notified().await;
    }

    /// Says that it is to take no more requests.
    pub(super) fn retire(&self) {
        self.retired.notify_one();
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
