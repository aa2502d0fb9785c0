//! Accepts: listeners on every worker, TLS, HTTP/1.1 and HTTP/2, connection limits, timers, drain.

mod accept;
mod block;
mod chunked;
mod connection;
mod fields;
mod frames;
mod guard;
mod handover;
mod head;
mod listening;
mod passthrough;
mod preamble;
mod socket;
mod stall;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::plugin::Engine;
use crate::proxy::Gateway;
use crate::snapshot::ListenerKey;
use crate::upstream::enter_worker;
use accept::Worker;
use listening::Listening;

pub(crate) use handover::HANDOVER;
pub use handover::{Inherited, Successor, UpgradeFailure, Upgrader};

/// The workers, and where they listen.
pub struct Server {
    gateway: Arc<Gateway>,
    threads: Vec<JoinHandle<()>>,
    wanted: watch::Sender<Wanted>,
    workers: usize,
    /// What a predecessor handed over and nobody has taken yet.
    inherited: Mutex<Inherited>,
}

/// What the workers are to do.
#[derive(Debug, Clone, Default)]
struct Wanted {
    listeners: BTreeMap<ListenerKey, Arc<Listening>>,
    /// How to end, once it is time: take no more connections, and finish what is under way.
    end: Option<End>,
}

/// How a listener ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// For good: what waits in its queue is served.
    Close,
    /// A successor has it: what waits in its queue is the successor's.
    HandOver,
}

/// How long the workers may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

impl Server {
    /// Starts the workers and listens where the snapshot says, on what a predecessor handed over as far as that goes.
    ///
    /// # Errors
    /// An address that cannot be taken, or a thread that cannot be started.
    pub fn start(gateway: Arc<Gateway>, workers: usize, inherited: Inherited) -> anyhow::Result<Self> {
        let (wanted, _) = watch::channel(Wanted::default());
        let mut server = Self { gateway, threads: Vec::new(), wanted, workers, inherited: Mutex::new(inherited) };
        server.listen()?;
        // What the configuration no longer names is closed.
        server.inherited.lock().forget_listeners();
        let (starting, started) = mpsc::channel();
        for index in 0..workers {
            let starting = starting.clone();
            let gateway = server.gateway.clone();
            let wanted = server.wanted.subscribe();
            let worker = Worker { index, count: workers };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread =
                std::thread::Builder::new().name(format!("worker-{index}")).stack_size(STACK).spawn(move || {
                    enter_worker(index);
                    Engine::enter_thread();
                    runtime.block_on(accept::work(worker, gateway, wanted, starting));
                })?;
            server.threads.push(thread);
        }
        drop(starting);
        // Nobody is told that it is ready before every worker listens: each drops its end then.
        match started.recv_timeout(START_MAX) {
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(server),
            Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) => anyhow::bail!("the workers do not start to listen"),
        }
    }

    /// Listens where the newest snapshot says, and nowhere else.
    ///
    /// # Errors
    /// An address that cannot be taken; what was listened on before stays.
    pub fn listen(&self) -> anyhow::Result<()> {
        let snapshot = self.gateway.snapshot.load_full();
        let mut listeners = self.wanted.borrow().listeners.clone();
        for (key, listener) in &snapshot.listeners {
            if let Some(listening) = listeners.get(key) {
                listening.set_mode(&listener.config);
                continue;
            }
            let sockets = self.inherited.lock().listener(key);
            let opened = match sockets {
                Some(sockets) => Listening::inherit(&listener.config, sockets, self.workers),
                None => Listening::open(&listener.config, self.workers),
            };
            let listening = opened.with_context(|| format!("listen on {}", key.0))?;
            let (address, tls) = (&listening.address, listener.tls.is_some());
            tracing::info!(configured = %key.0, %address, tls, "listening");
            listeners.insert(key.clone(), Arc::new(listening));
        }
        listeners.retain(|key, _| snapshot.listeners.contains_key(key));
        self.wanted.send_modify(|wanted| wanted.listeners = listeners);
        Ok(())
    }

    /// Copies of every listening socket, each with the listener it belongs to.
    fn copies(&self) -> anyhow::Result<Vec<(ListenerKey, OwnedFd)>> {
        let listeners = self.wanted.borrow().listeners.clone();
        let mut copies = Vec::new();
        for (key, listening) in listeners {
            let sockets = listening.copies().context("copy a socket")?;
            copies.extend(sockets.into_iter().map(|socket| (key.clone(), socket)));
        }
        Ok(copies)
    }

    /// Takes no more connections, and returns when the last request is over or the time is.
    pub fn drain(&self, patience: Duration) {
        self.finish(End::Close, patience);
    }

    /// As `drain`, when a successor has the listeners.
    pub fn leave(&self, patience: Duration) {
        self.finish(End::HandOver, patience);
    }

    fn finish(&self, end: End, patience: Duration) {
        self.gateway.draining.store(true, Ordering::Relaxed);
        self.wanted.send_modify(|wanted| {
            wanted.end = Some(end);
            for (_, listening) in std::mem::take(&mut wanted.listeners) {
                if end == End::HandOver {
                    listening.leave_file();
                }
            }
        });
        tracing::info!("draining");
        let until = Instant::now() + patience;
        let pause = Duration::from_millis(10);
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() >= until {
                let left = self.gateway.shared.metrics.in_flight.get();
                tracing::warn!(left, "drain reached its time");
                return;
            }
            std::thread::sleep(pause);
        }
    }
}

/// A guest runs on its worker's stack, below the host's own frames.
const STACK: usize = 4 << 20;
