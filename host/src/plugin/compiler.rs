//! Prepares plugins in a child process with bounds on its CPU time, memory and wall-clock time, so that no file can
//! harm what serves; what was prepared once comes from the cache.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Component;
use super::cache::{Cache, Entry};
use super::engine::Engine;
use super::lane::threads_max;
use super::package::{Description, Facts, Hashed, Plugin, hash_of};
use super::prepare::{Answer, Task, Use, prepare};
use super::prepared::Prepared;
use crate::config::{CompilerConfig, PolicyConfig};

/// Prepares plugins for policies.
pub struct Compiler {
    engine: Engine,
    cache: Option<Cache>,
    log: Vec<String>,
    serves: AtomicBool,
    /// Who prepares what right now: the next one who wants the same waits, and finds it.
    turns: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// What serves now, by what it was prepared from: policies that are configured alike share one.
    live: Mutex<HashMap<String, Weak<Prepared>>>,
    #[cfg(feature = "wasi-http")]
    components: Mutex<Option<Engine>>,
}

/// What a child is told.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    name: String,
    task: Task,
    bounds: CompilerConfig,
    /// Whether something serves meanwhile.
    yields: bool,
}

/// A child's answer is at most this long: the code of the largest plugin.
const ANSWER_MAX: u64 = 1 << 30;
const HEADER_MAX: usize = 8 << 20;
/// A child yields to everything that serves.
const NICE: i32 = 19;
/// A larger file takes more than a second to compile.
const LARGE: usize = 2 << 20;
const OPEN_FILES_MAX: u64 = 64;

impl Compiler {
    /// Prepares for an engine. `log` is how children log: arguments of the command line.
    #[must_use]
    pub fn new(engine: Engine, cache: Option<PathBuf>, log: Vec<String>) -> Self {
        let cache = cache.and_then(|folder| match Cache::open(&folder) {
            Ok(cache) => Some(cache),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, error = format!("{error:#}"), "no cache: every start compiles anew");
                None
            }
        });
        Self {
            engine,
            cache,
            log,
            serves: AtomicBool::new(false),
            turns: Mutex::default(),
            live: Mutex::default(),
            #[cfg(feature = "wasi-http")]
            components: Mutex::default(),
        }
    }

    /// The engine that serves.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// From now on something serves, which children are to yield to.
    pub fn serves(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// Looks at a plugin's file.
    ///
    /// # Errors
    /// What is wrong with it, in words for its author.
    pub fn check(&self, name: &str, file: Hashed, bounds: &CompilerConfig) -> anyhow::Result<Plugin> {
        // A build without components refuses files that another one takes.
        let build = if Component::supported().is_ok() { "with components" } else { "" };
        let key = self.key(&["facts", build, file.hash()]);
        if let Some(Entry { answer: Answer::Facts(facts), .. }) = self.cached(&key) {
            return Ok(Plugin::new(name, file, facts));
        }
        let (answer, _) = self.ask(name, Task::Check, file.bytes(), bounds)?;
        match answer {
            Answer::Facts(ref facts) => {
                let plugin = Plugin::new(name, file, facts.clone());
                self.keep(&key, &answer, &[]);
                Ok(plugin)
            }
            Answer::Refused(why) => bail!(why),
            _ => bail!("the compiler gave no fitting answer"),
        }
    }

    /// Asks a plugin what it says of itself, as no policy in particular.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn describe(&self, name: &str, file: &[u8], bounds: &CompilerConfig) -> anyhow::Result<(Facts, Description)> {
        match self.ask(name, Task::Describe, file, bounds)?.0 {
            Answer::Described(facts, description) => Ok((facts, description)),
            Answer::Refused(why) => bail!(why),
            _ => bail!("the compiler gave no fitting answer"),
        }
    }

    /// Prepares a plugin for a policy, or finds it prepared.
    ///
    /// # Errors
    /// Every fault with a pointer into the policy.
    pub(super) fn prepare(
        &self,
        plugin: &Plugin,
        (name, config): (&str, &PolicyConfig),
        bounds: &CompilerConfig,
    ) -> Result<Arc<Prepared>, Vec<(String, String)>> {
        let used = Use {
            config: config.config.to_string(),
            memory: config.limits.memory.as_usize(),
            image: self.images() < bounds.images,
        };
        let memory = used.memory.to_string();
        let image = if used.image { "image" } else { "plain" };
        let key = self.key(&["policy", plugin.hash(), &used.config, &memory, image]);
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(key.clone()).or_default().clone()
        };
        let _mine = turn.lock();
        if let Some(prepared) = self.live.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(prepared);
        }
        let whole = |error: anyhow::Error| vec![(String::new(), format!("plugin {:?}: {error:#}", plugin.name))];
        let prepared = match self.prepared_before(&key, plugin) {
            Some(prepared) => prepared,
            None => match self.ask(name, Task::Prepare(used), plugin.file.bytes(), bounds).map_err(whole)? {
                (Answer::Prepared(description, preparation), code) => {
                    let answer = Answer::Prepared(description, preparation);
                    let prepared = self.load(&answer, &code, plugin).map_err(whole)?;
                    self.keep(&key, &answer, &code);
                    prepared
                }
                (Answer::Faulty(faults), _) => return Err(faults),
                (Answer::Refused(why), _) => return Err(whole(anyhow::anyhow!(why))),
                _ => return Err(whole(anyhow::anyhow!("the compiler gave no fitting answer"))),
            },
        };
        let prepared = Arc::new(prepared);
        let mut live = self.live.lock();
        live.retain(|_, prepared| prepared.strong_count() > 0);
        live.insert(key, Arc::downgrade(&prepared));
        Ok(prepared)
    }

    /// A component on the engine of components, which starts with the first one.
    ///
    /// # Errors
    /// Why it cannot serve.
    #[cfg(feature = "wasi-http")]
    pub(super) fn component(
        &self,
        plugin: &Plugin,
        bounds: &CompilerConfig,
    ) -> anyhow::Result<(Engine, wasmtime::component::Component)> {
        let engine = {
            let mut engine = self.components.lock();
            match &*engine {
                Some(engine) => engine.clone(),
                None => engine.insert(Engine::for_components()?).clone(),
            }
        };
        let key = self.key(&["component", plugin.hash()]);
        if let Some(Entry { answer: Answer::Compiled, code }) = self.cached(&key) {
            return Ok((engine.clone(), super::artifact::load(&engine, &code)?));
        }
        match self.ask(&plugin.name, Task::Compile, plugin.file.bytes(), bounds)? {
            (Answer::Compiled, code) => {
                let component = super::artifact::load(&engine, &code)?;
                self.keep(&key, &Answer::Compiled, &code);
                Ok((engine, component))
            }
            (Answer::Refused(why), _) => bail!(why),
            _ => bail!("the compiler gave no fitting answer"),
        }
    }

    /// Images that serve now.
    fn images(&self) -> usize {
        self.live.lock().values().filter(|prepared| prepared.strong_count() > 0).count()
    }

    /// What something is kept under: its parts, this program's version, and what compiled code must fit.
    fn key(&self, parts: &[&str]) -> String {
        let version = env!("CARGO_PKG_VERSION");
        hash_of(format!("{version} {:016x} {parts:?}", self.engine.compatibility()).as_bytes())
    }

    fn cached(&self, key: &str) -> Option<Entry> {
        self.cache.as_ref()?.read(key)
    }

    fn keep(&self, key: &str, answer: &Answer, code: &[u8]) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.write(key, answer, code) {
            tracing::warn!(error = format!("{error:#}"), "the cache cannot be written");
        }
    }

    fn prepared_before(&self, key: &str, plugin: &Plugin) -> Option<Prepared> {
        let entry = self.cached(key)?;
        self.load(&entry.answer, &entry.code, plugin)
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), key, "cached code is of no use"))
            .ok()
    }

    fn load(&self, answer: &Answer, code: &[u8], plugin: &Plugin) -> anyhow::Result<Prepared> {
        let Answer::Prepared(description, preparation) = answer else { bail!("it is no compiled code") };
        let component = super::artifact::load(&self.engine, code)?;
        Prepared::link(&self.engine, &component, &plugin.facts, (description.clone(), preparation.clone()))
    }

    /// Has a child do a task.
    fn ask(&self, name: &str, task: Task, file: &[u8], bounds: &CompilerConfig) -> anyhow::Result<(Answer, Vec<u8>)> {
        let job =
            Job { name: name.to_owned(), task, bounds: bounds.clone(), yields: self.serves.load(Ordering::Relaxed) };
        let header = serde_json::to_vec(&job)?;
        // The program that runs, even if its file was replaced since.
        let mut command = Command::new("/proc/self/exe");
        command.args(&self.log).arg("prepare").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        // Where every core compiles for long, those that serve wait for one, whatever the priorities.
        if job.yields && file.len() > LARGE {
            command.env("RAYON_NUM_THREADS", threads_max().to_string());
        }
        let mut child = command.spawn().context("start the compiler")?;
        let answer = converse(&mut child, &header, file, bounds.time.0);
        // It has said all it had to say, or never will.
        if let Err(error) = child.kill() {
            tracing::debug!(%error, "the compiler is gone already");
        }
        let status = child.wait().context("wait for the compiler")?;
        let Some(bytes) = answer else {
            bail!("took longer than {}s to compile", bounds.time.0.as_secs());
        };
        match take(&bytes).and_then(|(header, code)| Ok((serde_json::from_slice(header)?, code.to_vec()))) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::debug!(%error, %status, "the compiler said nothing of use");
                bail!("cannot be compiled within {} of memory and {}s", bounds.memory, bounds.time.0.as_secs());
            }
        }
    }
}

/// Gives a child its task and takes its answer; none if it took too long.
fn converse(child: &mut Child, header: &[u8], file: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let (mut stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
            let written = [&length.to_be_bytes(), header, file].iter().try_for_each(|part| stdin.write_all(part));
            if let Err(error) = written {
                tracing::debug!(%error, "the compiler reads no more");
            }
        });
        scope.spawn(move || {
            let mut bytes = Vec::new();
            if let Err(error) = stdout.take(ANSWER_MAX).read_to_end(&mut bytes) {
                tracing::debug!(%error, "the compiler broke off");
            }
            send.send(bytes).is_ok()
        });
        let answer = receive.recv_timeout(patience).ok();
        if answer.is_none() && child.kill().is_err() {
            tracing::debug!("the compiler is gone already");
        }
        answer
    })
}

/// Splits what one side sent into its header and the rest.
fn take(bytes: &[u8]) -> anyhow::Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>().context("nothing came")?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > HEADER_MAX {
        bail!("the header is too long");
    }
    rest.split_at_checked(length).context("the header breaks off")
}

/// What a child does: one task from standard input, one answer to standard output.
///
/// # Errors
/// Where it is not told what to do, or nobody takes the answer.
pub fn serve_one() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(HEADER_MAX as u64 + super::FILE_MAX + 4).read_to_end(&mut bytes)?;
    let (header, file) = take(&bytes)?;
    let job: Job = serde_json::from_slice(header)?;
    bind(&job.bounds)?;
    if job.yields {
        rustix::process::nice(NICE)?;
    }
    let engine = Engine::for_preparing()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (answer, code) = runtime.block_on(prepare(&engine, (&job.name, &job.task), file));
    let header = serde_json::to_vec(&answer)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&u32::try_from(header.len())?.to_be_bytes())?;
    out.write_all(&header)?;
    out.write_all(&code)?;
    out.flush()?;
    Ok(())
}

/// Bounds this process for good.
fn bind(bounds: &CompilerConfig) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
    let most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Cpu, most(bounds.time.0.as_secs().max(1)))?;
    // What it writes to, and not what it only reserves: a linear memory reserves gigabytes.
    setrlimit(Resource::Data, most(bounds.memory.0))?;
    setrlimit(Resource::Core, most(0))?;
    // The image of a linear memory is a file, if only in memory.
    setrlimit(Resource::Fsize, most(bounds.memory.0))?;
    setrlimit(Resource::Nofile, most(OPEN_FILES_MAX))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Compiler").field("cache", &self.cache).finish_non_exhaustive()
    }
}
