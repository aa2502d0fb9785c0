//! `gatewright run`: serves until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::TaskTracker;

use super::check::FAULTY;
use super::{ConfigArgs, Invocation};
use crate::admin::{self, Admin};
use crate::config::{Environment, Faults};
use crate::mock;
use crate::plugin::{Compiler, Engine};
use crate::proxy::Gateway;
use crate::reload::{self, Loader, ReloadHandle, Start};
use crate::server::{HANDOVER, Inherited, Server, Successor, Upgrader};
use crate::services::LimitStore;
use crate::snapshot::{Shared, Snapshot};
use crate::telemetry::{AccessLog, Metrics};

/// Run the gateway.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Workers: threads that each accept, serve and keep connections of their own. As many as cores if absent.
    #[arg(long, env = "GATEWRIGHT_WORKERS")]
    workers: Option<std::num::NonZeroUsize>,
    /// Also run the mock upstream inside, on this address, and set MOCK to its `host:port` for the configuration.
    #[arg(long, num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    mock: Option<std::net::SocketAddr>,
    /// End where the configuration has faults at the start, rather than serve the last good one of an earlier run, which
    /// is kept in the cache. An upgrade always ends then: the old process serves on.
    #[arg(long, env = "GATEWRIGHT_NO_LAST_GOOD", value_parser = clap::builder::FalseyValueParser::new())]
    no_last_good: bool,
}

pub(super) fn run(
    args: &RunArgs,
    mut environment: Environment,
    log: Vec<String>,
    invocation: Invocation,
) -> anyhow::Result<u8> {
    let (successor, inherited) = match environment.remove(HANDOVER) {
        Some(_) => Successor::take_over().map(|(successor, inherited)| (Some(successor), inherited))?,
        None => (None, Inherited::default()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // A successor that cannot serve what is configured leaves the serving to its predecessor.
    let args = RunArgs { no_last_good: args.no_last_good || successor.is_some(), ..args.clone() };
    let started = start(&args, environment, log, (&runtime, inherited, invocation));
    let running = match (started, successor) {
        (Ok(running), None) => running,
        (Ok(running), Some(successor)) => {
            successor.ready()?;
            running
        }
        (Err(error), successor) => {
            if let Some(successor) = successor {
                successor.failed(&format!("{error:#}"));
            }
            return match error.downcast::<Faults>() {
                Ok(faults) => {
                    super::print_error(&format!("{faults}\ngatewright: cannot start with a faulty configuration"));
                    Ok(FAULTY)
                }
                Err(error) => Err(error),
            };
        }
    };
    let Running { gateway, server, reload, upgrader, requests, signals } = running;
    let end = runtime.block_on(signals.until_told_to_stop(&reload, &upgrader));
    reload.stop();
    let patience = gateway.snapshot.load().config.timeouts.drain.0;
    match end {
        End::Stop => server.drain(patience),
        End::HandedOver => server.leave(patience),
    }
    requests.close();
    if runtime.block_on(async { tokio::time::timeout(ADMIN_MAX, requests.wait()).await }).is_err() {
        tracing::debug!("an operator's request is cut off");
    }
    gateway.access_log.close();
    tracing::info!("stopped");
    Ok(0)
}

/// How long what the operator asked for may still take at the end.
const ADMIN_MAX: Duration = Duration::from_secs(1);

/// A gateway that serves.
struct Running {
    gateway: Arc<Gateway>,
    server: Arc<Server>,
    reload: ReloadHandle,
    upgrader: Arc<Upgrader>,
    requests: TaskTracker,
    signals: Signals,
}

/// Starts everything; a configuration that has faults is an error of them.
fn start(
    args: &RunArgs,
    mut environment: Environment,
    log: Vec<String>,
    (runtime, mut inherited, invocation): (&Runtime, Inherited, Invocation),
) -> anyhow::Result<Running> {
    if let Some(address) = args.mock {
        let mock = runtime.block_on(start_mock(address))?;
        environment.insert("MOCK".to_owned(), mock.to_string());
    }
    let shared = Shared {
        compiler: Arc::new(Compiler::new(Engine::start()?, args.config.cache(&environment), log)),
        metrics: Arc::new(Metrics::default()),
        limits: Arc::new(LimitStore::default()),
    };
    let (snapshot, start) = load(args, environment, &shared)?;
    let config = snapshot.config.clone();
    runtime.block_on(reload::resolve(&snapshot));
    let access_log = AccessLog::start(&config.access_log.to)?;
    let gateway = Arc::new(Gateway::new(snapshot, shared, access_log));
    let workers = args.workers.map_or_else(cores, std::num::NonZeroUsize::get);
    let operator = admin::bind(config.admin.address, inherited.admin(config.admin.address))?;
    let server = Arc::new(Server::start(gateway.clone(), workers, inherited)?);
    let reload = reload::start(gateway.clone(), server.clone(), start, runtime.handle())?;
    let socket = (config.admin.address, operator.try_clone()?.into());
    let upgrader = Arc::new(Upgrader::new(server.clone(), socket, (invocation.program, invocation.arguments)));
    let requests = TaskTracker::new();
    let _entered = runtime.enter();
    let admin = Admin {
        gateway: gateway.clone(),
        reload: reload.clone(),
        upgrader: upgrader.clone(),
        requests: requests.clone(),
    };
    admin.start(operator)?;
    // Before anybody is told that it is ready: until then a signal would just kill it.
    let signals = Signals::listen()?;
    tracing::info!(workers, "ready");
    Ok(Running { gateway, server, reload, upgrader, requests, signals })
}

/// Reads what is configured, or, where that has faults, the last good configuration of an earlier run.
fn load(args: &RunArgs, environment: Environment, shared: &Shared) -> anyhow::Result<(Arc<Snapshot>, Start)> {
    let mut loader = Loader::new(args.config.source(environment)).keeping();
    let loaded = loader.load(None, shared);
    let faults = match &loaded.result {
        Ok(Some(snapshot)) => return Ok((snapshot.clone(), Start { loader, loaded, restored: None })),
        Ok(None) => bail!("nothing to serve"),
        Err(faults) => faults.clone(),
    };
    if args.no_last_good {
        return Err(faults.into());
    }
    match loader.fall_back(shared) {
        Ok((snapshot, at)) => {
            for fault in &faults.0 {
                tracing::error!(%fault, "configuration refused; the last good one of an earlier run serves");
            }
            tracing::error!(kept = at, "serving the last good configuration of an earlier run");
            Ok((snapshot, Start { loader, loaded, restored: Some(at) }))
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "no earlier configuration can serve in its place");
            Err(faults.into())
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

async fn start_mock(address: std::net::SocketAddr) -> anyhow::Result<std::net::SocketAddr> {
    let listener =
        tokio::net::TcpListener::bind(address).await.with_context(|| format!("listen on {address} (mock)"))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "mock listening");
    tokio::spawn(mock::serve(listener, mock::Settings::default()));
    Ok(address)
}

/// SIGTERM and SIGINT stop; SIGHUP looks for changes; SIGUSR2 starts a successor.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

/// Why it ends.
enum End {
    /// It was told to stop.
    Stop,
    /// A successor serves.
    HandedOver,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    async fn until_told_to_stop(mut self, reload: &ReloadHandle, upgrader: &Arc<Upgrader>) -> End {
        let mut handed_over = upgrader.handed_over();
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return End::Stop,
                _ = self.interrupt.recv() => return End::Stop,
                _ = handed_over.wait_for(|over| *over) => return End::HandedOver,
                _ = self.hangup.recv() => reload.stir(),
                _ = self.upgrade.recv() => {
                    let upgrader = upgrader.clone();
                    // What fails is logged where it fails.
                    drop(tokio::task::spawn_blocking(move || upgrader.upgrade()));
                }
            }
        }
    }
}
