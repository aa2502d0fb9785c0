//! Accepts: listeners on every worker, TLS, HTTP/1.1 and HTTP/2, connection limits, timers, drain.

mod accept;
mod chunked;
mod connection;
mod frames;
mod guard;
mod head;
mod stall;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::plugin::Engine;
use crate::proxy::Gateway;
use crate::snapshot::ListenerKey;
use crate::upstream::enter_worker;

/// The workers, and where they listen.
pub struct Server {
    gateway: Arc<Gateway>,
    workers: Vec<JoinHandle<()>>,
    wanted: watch::Sender<Wanted>,
    /// Keeps each port taken, from before the first worker listens on it.
    reserved: Mutex<BTreeMap<ListenerKey, Reserved>>,
}

/// What the workers are to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    /// Where to listen: the configured address and the one that was taken.
    listeners: BTreeMap<ListenerKey, SocketAddr>,
    /// Whether to take no more requests and end.
    drain: bool,
}

struct Reserved {
    address: SocketAddr,
    _socket: Socket,
}

const BACKLOG: i32 = 1024;
/// How long the workers may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

impl Server {
    /// Starts the workers and listens where the snapshot says.
    ///
    /// # Errors
    /// An address that cannot be taken, or a thread that cannot be started.
    pub fn start(gateway: Arc<Gateway>, workers: usize) -> anyhow::Result<Self> {
        let (wanted, _) = watch::channel(Wanted::default());
        let mut server = Self { gateway, workers: Vec::new(), wanted, reserved: Mutex::default() };
        server.listen()?;
        let (starting, started) = mpsc::channel();
        for index in 0..workers {
            let starting = starting.clone();
            let gateway = server.gateway.clone();
            let wanted = server.wanted.subscribe();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let worker =
                std::thread::Builder::new().name(format!("worker-{index}")).stack_size(STACK).spawn(move || {
                    enter_worker(index);
                    Engine::enter_thread();
                    runtime.block_on(accept::work(gateway, wanted, starting));
                })?;
            server.workers.push(worker);
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
        let mut reserved = self.reserved.lock();
        for key in snapshot.listeners.keys() {
            if !reserved.contains_key(key) {
                let socket = bind(key.0).with_context(|| format!("listen on {}", key.0))?;
                let address = socket.local_addr()?.as_socket().context("the socket has no address")?;
                let tls = snapshot.listeners.get(key).is_some_and(|listener| listener.tls.is_some());
                tracing::info!(configured = %key.0, %address, tls, "listening");
                reserved.insert(*key, Reserved { address, _socket: socket });
            }
        }
        reserved.retain(|key, _| snapshot.listeners.contains_key(key));
        let listeners = reserved.iter().map(|(key, reserved)| (*key, reserved.address)).collect();
        self.wanted.send_modify(|wanted| wanted.listeners = listeners);
        Ok(())
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<(ListenerKey, SocketAddr)> {
        self.reserved.lock().iter().map(|(key, reserved)| (*key, reserved.address)).collect()
    }

    /// Takes no more requests, and returns when the last one is over or the time is.
    pub fn drain(&self, patience: Duration) {
        self.gateway.draining.store(true, Ordering::Relaxed);
        self.wanted.send_modify(|wanted| wanted.drain = true);
        let until = std::time::Instant::now() + patience;
        let pause = Duration::from_millis(10);
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            if std::time::Instant::now() >= until {
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

/// A socket of the address, which several workers may share.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// As `bind`, and listening.
fn listen(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = bind(address)?;
    socket.listen(BACKLOG)?;
    tokio::net::TcpListener::from_std(socket.into())
}
