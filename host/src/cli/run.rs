//! `gatewright run`: serves until it is told to stop.

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ConfigArgs;
use super::check::FAULTY;
use crate::admin::Admin;
use crate::config::Environment;
use crate::mock;
use crate::plugin::{Compiler, Engine};
use crate::proxy::Gateway;
use crate::reload::{self, Loader, ReloadHandle};
use crate::server::Server;
use crate::services::LimitStore;
use crate::snapshot::Shared;
use crate::telemetry::{AccessLog, Metrics};

/// Run the gateway.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Workers: threads that each accept, serve and keep connections of their own. As many as cores if absent.
    #[arg(long, env = "GATEWRIGHT_WORKERS")]
    workers: Option<std::num::NonZeroUsize>,
    /// Also run the mock upstream inside, on this address, and set MOCK to its `host:port` for the configuration.
    #[arg(long, num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    mock: Option<std::net::SocketAddr>,
}

pub(super) fn run(args: &RunArgs, mut environment: Environment, log: Vec<String>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    if let Some(address) = args.mock {
        let mock = runtime.block_on(start_mock(address))?;
        environment.insert("MOCK".to_owned(), mock.to_string());
    }
    let shared = Shared {
        compiler: Arc::new(Compiler::new(Engine::start()?, args.config.cache(&environment), log)),
        metrics: Arc::new(Metrics::default()),
        limits: Arc::new(LimitStore::default()),
    };
    let mut loader = Loader::new(args.config.source(environment));
    let loaded = loader.load(None, &shared);
    let snapshot = match &loaded.result {
        Ok(Some(snapshot)) => snapshot.clone(),
        Ok(None) => bail!("nothing to serve"),
        Err(faults) => {
            super::print_error(&format!("{faults}\ngatewright: cannot start with a faulty configuration"));
            return Ok(FAULTY);
        }
    };
    let config = snapshot.config.clone();
    runtime.block_on(reload::resolve(&snapshot));
    let access_log = AccessLog::start(&config.access_log.to)?;
    let gateway = Arc::new(Gateway::new(snapshot, shared, access_log));
    let workers = args.workers.map_or_else(cores, std::num::NonZeroUsize::get);
    let server = Arc::new(Server::start(gateway.clone(), workers)?);
    let reload = reload::start(gateway.clone(), server.clone(), loader, &loaded, runtime.handle())?;
    // It holds the first snapshot, which is to go when the second one serves.
    drop(loaded);
    let admin = Admin { gateway: gateway.clone(), reload: reload.clone() };
    runtime.block_on(async {
        admin.start(config.admin.address).await?;
        // Before anybody is told that it is ready: until then a signal would just kill it.
        let signals = Signals::listen()?;
        tracing::info!(workers, "ready");
        signals.until_told_to_stop(&reload).await;
        anyhow::Ok(())
    })?;
    tracing::info!("draining");
    reload.stop();
    server.drain(gateway.snapshot.load().config.timeouts.drain.0);
    gateway.access_log.close();
    tracing::info!("stopped");
    Ok(0)
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

/// SIGTERM and SIGINT stop; SIGHUP looks for changes.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn until_told_to_stop(mut self, reload: &ReloadHandle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload.stir(),
            }
        }
    }
}
