//! Keeps what is served equal to what is configured: reads, proves, swaps, or keeps the last good state and says why.

mod blobs;
mod files;
mod image;
mod jobs;
mod keys;
mod last_good;
mod load;
mod named;
mod quarantine;
mod registry;
mod signature;
mod sources;
mod status;
mod trust;
mod upstreams;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;

pub use load::{Loaded, Loader};
pub use signature::SigningKey;
pub use status::{PluginStatus, Status, endpoints};
pub use upstreams::resolve;

use crate::config::{Environment, Faults};
use crate::proxy::Gateway;
use crate::server::Server;
use crate::telemetry::ReloadLabels;
use watch::Watch;

/// What was found in a look.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A new snapshot serves.
    Applied,
    /// Nothing changed.
    Unchanged,
    /// The last good snapshot still serves.
    Refused(Faults),
}

/// Asks the reloader to look, and waits for what it finds.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    asks: mpsc::Sender<Ask>,
    status: Arc<Mutex<Status>>,
}

/// Why the reloader looks.
enum Ask {
    /// Something stirred in a watched folder: a hint and nothing more.
    Stirred,
    /// Somebody waits for the outcome.
    Asked(mpsc::SyncSender<Outcome>),
    /// No more.
    Stop,
}

/// How long a folder must be still before it is read: an editor's save is several events.
const SETTLE: Duration = Duration::from_millis(40);
/// How long to wait for a folder that never gets still.
const SETTLE_MAX: Duration = Duration::from_millis(800);
/// The slow poll that is the truth where no event comes.
const POLL: Duration = Duration::from_secs(2);

impl ReloadHandle {
    /// Looks now.
    ///
    /// # Errors
    /// Where the reloader is gone.
    pub fn reload(&self) -> anyhow::Result<Outcome> {
        let (answer, outcome) = mpsc::sync_channel(1);
        self.asks.send(Ask::Asked(answer)).context("the reloader has ended")?;
        outcome.recv().context("the reloader has ended")
    }

    /// Looks soon, without waiting.
    pub fn stir(&self) {
        if self.asks.send(Ask::Stirred).is_err() {
            tracing::debug!("the reloader has ended");
        }
    }

    /// Ends the reloader.
    pub fn stop(&self) {
        if self.asks.send(Ask::Stop).is_err() {
            tracing::debug!("the reloader has ended");
        }
    }

    /// What is served, and what is wrong.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }
}

/// Looks for changes, in a thread of its own.
struct Reloader {
    gateway: Arc<Gateway>,
    server: Arc<Server>,
    loader: Loader,
    status: Arc<Mutex<Status>>,
    asks: mpsc::Receiver<Ask>,
    watch: Watch,
    runtime: tokio::runtime::Handle,
}

/// What was read at the start.
#[derive(Debug)]
pub struct Start {
    /// What reads on.
    pub loader: Loader,
    /// What it read. Faults in it are those for which something else serves.
    pub loaded: Loaded,
    /// What serves is the last good configuration of an earlier run, kept then.
    pub restored: Option<String>,
}

/// Starts looking for changes.
///
/// # Errors
/// Where no thread can be started.
pub fn start(
    gateway: Arc<Gateway>,
    server: Arc<Server>,
    Start { mut loader, loaded, restored }: Start,
    runtime: &tokio::runtime::Handle,
) -> anyhow::Result<ReloadHandle> {
    let (asks, asked) = mpsc::channel();
    let mut status = Status::of(&gateway.snapshot.load(), &loaded, None);
    status.last_error = status.carry(loaded.result.as_ref().err().map(|faults| faults.0.clone()));
    if restored.is_none() {
        loader.keep(Some(&loaded));
    }
    gateway.shared.metrics.reload_fresh.set(i64::from(restored.is_none()));
    gateway.shared.metrics.restored.set(i64::from(restored.is_some()));
    status.restored = restored;
    let status = Arc::new(Mutex::new(status));
    let handle = ReloadHandle { asks: asks.clone(), status: status.clone() };
    let watch = Watch::start(asks, &loader.folders(&loaded.files));
    // It holds the first snapshot, which is to go when the second one serves.
    drop(loaded);
    gateway.shared.compiler.serves();
    keys::start(&gateway, runtime);
    jobs::start(&gateway, runtime);
    upstreams::start(&gateway, runtime);
    let runtime = runtime.clone();
    let reloader = Reloader { gateway, server, loader, status, asks: asked, watch, runtime };
    std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || reloader.run())
        .context("start the reloader")?;
    Ok(handle)
}

impl Reloader {
    fn run(mut self) {
        loop {
            let mut waiting = Vec::new();
            match self.asks.recv_timeout(POLL) {
                Ok(Ask::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Ok(Ask::Asked(answer)) => waiting.push(answer),
                Ok(Ask::Stirred) => {
                    if !self.settle(&mut waiting) {
                        return;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.sweep();
                    self.loader.keep(None);
                }
            }
            let outcome = self.look();
            for answer in waiting {
                if answer.send(outcome.clone()).is_err() {
                    tracing::debug!("nobody waits for the reload any more");
                }
            }
        }
    }

    /// Waits until nothing stirs. `false` to stop.
    fn settle(&self, waiting: &mut Vec<mpsc::SyncSender<Outcome>>) -> bool {
        let latest = Instant::now() + SETTLE_MAX;
        while Instant::now() < latest {
            match self.asks.recv_timeout(SETTLE) {
                Ok(Ask::Stirred) => {}
                Ok(Ask::Asked(answer)) => waiting.push(answer),
                Ok(Ask::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(mpsc::RecvTimeoutError::Timeout) => return true,
            }
        }
        true
    }

    fn look(&mut self) -> Outcome {
        let previous = self.gateway.snapshot.load_full();
        let loaded = self.loader.load(Some(&previous), &self.gateway.shared);
        self.watch.follow(&self.loader.folders(&loaded.files));
        let outcome = match &loaded.result {
            Ok(None) => self.as_before(&loaded),
            Ok(Some(snapshot)) => self.apply(snapshot),
            Err(faults) => Outcome::Refused(faults.clone()),
        };
        self.report(&loaded, &outcome);
        // Files are written last: until it is reported, the operator reads the state before.
        if matches!(outcome, Outcome::Applied) {
            self.loader.keep(Some(&loaded));
        }
        self.told(&loaded, outcome)
    }

    /// What whoever asked to reload is told: that nothing changed is no success where a plugin's newest file is refused.
    fn told(&self, loaded: &Loaded, outcome: Outcome) -> Outcome {
        let serving = self.gateway.snapshot.load();
        let mut faults = Faults::default();
        for (name, error) in loaded.broken.iter().filter(|(name, _)| serving.plugins.contains_key(*name)) {
            let place = crate::config::Place { file: format!("{name}.wasm").into(), line: 0 };
            faults.add(&place, "", format!("{error}; the last good one serves on"));
        }
        match outcome {
            Outcome::Unchanged if !faults.0.is_empty() => Outcome::Refused(faults),
            outcome => outcome,
        }
    }

    /// What is still faulty is refused again: whoever asks to reload must not take it for applied.
    fn as_before(&self, loaded: &Loaded) -> Outcome {
        match &self.status.lock().last_error {
            Some(error) if loaded.looked_again => Outcome::Refused(Faults(error.faults.clone())),
            _ => Outcome::Unchanged,
        }
    }

    /// Swaps last: a chain with one plugin still compiling would let requests past the policy it holds.
    fn apply(&self, snapshot: &Arc<crate::snapshot::Snapshot>) -> Outcome {
        let generation = snapshot.generation;
        self.runtime.block_on(resolve(snapshot));
        let previous = self.gateway.snapshot.swap(snapshot.clone());
        snapshot.adopt_limits();
        if let Err(error) = self.server.listen() {
            let mut faults = Faults::default();
            let place = crate::config::Place { file: "listeners".into(), line: 0 };
            faults.add(&place, "/listeners", format!("{error:#}"));
            previous.adopt_limits();
            self.gateway.snapshot.store(previous);
            return Outcome::Refused(faults);
        }
        tracing::info!(generation, "configuration applied");
        Outcome::Applied
    }

    fn report(&self, loaded: &Loaded, outcome: &Outcome) {
        let metrics = &self.gateway.shared.metrics;
        let mut status = self.status.lock();
        let before = status.last_error.clone();
        let (result, faults) = match outcome {
            Outcome::Applied => ("applied", None),
            Outcome::Unchanged => ("unchanged", None),
            Outcome::Refused(faults) => ("refused", Some(faults.0.clone())),
        };
        let restored = status.restored.take();
        *status = Status::of(&self.gateway.snapshot.load(), loaded, status.carry(faults));
        // What is configured serves again, or would change nothing.
        status.restored = restored.filter(|_| status.last_error.is_some());
        metrics.restored.set(i64::from(status.restored.is_some()));
        let is_new =
            status.last_error.as_ref().map(|error| &error.faults) != before.as_ref().map(|error| &error.faults);
        metrics.reload_fresh.set(i64::from(status.last_error.is_none() && !status.has_broken_plugin()));
        if result == "applied" || (result == "refused" && is_new) {
            metrics.reloads.get_or_create(&ReloadLabels { result }).inc();
        }
        if let (Outcome::Refused(faults), true) = (outcome, is_new) {
            for fault in &faults.0 {
                tracing::error!(%fault, "configuration refused; the last good one serves on");
            }
        }
    }

    fn sweep(&self) {
        for entry in self.gateway.snapshot.load().upstreams.values() {
            entry.upstream.sweep();
        }
    }
}

/// Where everything is read from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The configuration file or folder.
    pub config: PathBuf,
    /// Variables of the environment.
    pub environment: Environment,
    /// Where what was pulled from registries is kept; nowhere if absent.
    pub cache: Option<PathBuf>,
}
