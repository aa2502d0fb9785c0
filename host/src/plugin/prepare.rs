//! Everything that is done with an untrusted file before it may serve, in a process that has nothing to lose: checks it,
//! compiles it, asks it about itself, configures it, and takes its image.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, Lift, Lower};

use super::bindings::exports::gatewright::policy::lifecycle;
use super::call::{Call, cause};
use super::core_module::component_in;
use super::engine::{Engine, MEMORY_MAX};
use super::image::{Imaging, compile};
use super::package::{Description, Facts};
use super::prepared::{Preparation, Prepared, export};
use super::reset::with_reset;
use super::sandbox::Sandbox;
use crate::config::check_value;
use crate::services::Services;

/// What is to be done with a plugin's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Task {
    /// Tell its phases and powers.
    Check,
    /// Ask it about itself as well.
    Describe,
    /// Prepare it for a policy.
    Prepare(Use),
    /// Compile a component.
    #[cfg(feature = "wasi-http")]
    Compile,
}

/// How a policy uses a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Use {
    /// Its configuration, a JSON text.
    pub(super) config: String,
    /// The most memory of an instance, in bytes.
    pub(super) memory: usize,
    /// Whether an image is to be taken.
    pub(super) image: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The file cannot be used: why.
    Refused(String),
    /// The configuration does not fit: each fault with a pointer into the policy.
    Faulty(Vec<(String, String)>),
    /// Its phases and powers.
    Facts(Facts),
    /// What it says of itself.
    Described(Facts, Description),
    /// It can serve; the compiled component follows.
    Prepared(Description, Preparation),
    /// It can serve as an upstream; the compiled component follows.
    #[cfg(feature = "wasi-http")]
    Compiled,
}

/// What one call at load time may take. Much more than a call on a request: nobody is waiting.
const LOAD_DEADLINE: Duration = Duration::from_secs(5);

/// The least of a process's ways to say that it cannot go on.
enum Stop {
    Refused(anyhow::Error),
    Faulty(Vec<(String, String)>),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Does a task; the compiled component comes with `Answer::Prepared`.
pub(super) async fn prepare(engine: &Engine, (name, task): (&str, &Task), file: &[u8]) -> (Answer, Vec<u8>) {
    match work(engine, (name, task), file).await {
        Ok(done) => done,
        Err(Stop::Refused(error)) => (Answer::Refused(format!("{error:#}")), Vec::new()),
        Err(Stop::Faulty(faults)) => (Answer::Faulty(faults), Vec::new()),
    }
}

async fn work(engine: &Engine, (name, task): (&str, &Task), file: &[u8]) -> Result<(Answer, Vec<u8>), Stop> {
    let component = component_in(file)?;
    let facts = Facts::read(&component)?;
    let bench = Bench { engine, name, facts: &facts };
    match task {
        Task::Check => Ok((Answer::Facts(facts), Vec::new())),
        Task::Describe if facts.component => Ok((Answer::Described(facts, Description::unknown()), Vec::new())),
        Task::Describe => {
            let subject = Subject::new(bench, compile(engine, &component)?, MEMORY_MAX)?;
            let description = subject.describe().await?;
            Ok((Answer::Described(facts, description), Vec::new()))
        }
        Task::Prepare(used) => {
            let (description, preparation, component) = for_policy(bench, &component, used).await?;
            let compiled = component.serialize().map_err(anyhow::Error::from).context("write the compiled code")?;
            Ok((Answer::Prepared(description, preparation), compiled))
        }
        #[cfg(feature = "wasi-http")]
        Task::Compile => {
            let compiled = compile(engine, &component)?;
            super::component::check_imports(engine, &compiled).context("link")?;
            let compiled = compiled.serialize().map_err(anyhow::Error::from).context("write the compiled code")?;
            Ok((Answer::Compiled, compiled))
        }
    }
}

/// Proves that the configuration is accepted, and makes what serves: from an image, or where there can be none without.
async fn for_policy(
    bench: Bench<'_>,
    component: &[u8],
    used: &Use,
) -> Result<(Description, Preparation, Component), Stop> {
    let imaging = match may_be_imaged(bench.facts, used) {
        Ok(()) => Imaging::of(component).map_err(|error| format!("{error:#}")),
        Err(why) => Err(why.to_owned()),
    };
    let subject = match &imaging {
        Ok(imaging) => Subject::new(bench, compile(bench.engine, &imaging.component)?, used.memory)?,
        Err(_) => Subject::new(bench, compile(bench.engine, component)?, used.memory)?,
    };
    let description = subject.describe().await?;
    check_value(&description.config_schema, &serde_json::from_str(&used.config)?).map_err(below_config)?;
    subject.validate(&used.config).await?;
    let mut sandbox = subject.configure(&used.config).await?;
    let imaging = match imaging {
        Ok(imaging) => imaging,
        Err(why) => return Ok((description, Preparation::PerInstance(why), subject.component)),
    };
    let why = match imaged(&imaging, &mut sandbox, &subject).await {
        Ok(component) => return Ok((description, Preparation::Snapshot, component)),
        Err(error) => format!("{error:#}"),
    };
    // The component with the functions that read its memory is not one to serve with.
    let component = compile(bench.engine, component)?;
    Ok((description, Preparation::PerInstance(why), component))
}

fn may_be_imaged(facts: &Facts, used: &Use) -> Result<(), &'static str> {
    if !used.image {
        return Err("there are as many images as there may be");
    }
    if facts.random {
        return Err("it imports wasi:random, and what it drew would be the same in every instance");
    }
    Ok(())
}

/// The component of the image of a configured instance, proved by making an instance of it.
async fn imaged(imaging: &Imaging<'_>, sandbox: &mut Sandbox, subject: &Subject<'_>) -> anyhow::Result<Component> {
    if sandbox.store.data().holds_handles() {
        return Err(anyhow!("configure keeps a handle of the host's, which no image can hold"));
    }
    let image = imaging.take(sandbox).await?;
    // An instance that can be put back to its beginning serves the next call; any other is made anew for each.
    let image = match with_reset(&image) {
        Ok(image) => image,
        Err(error) => {
            tracing::info!(plugin = subject.bench.name, error = format!("{error:#}"), "every call makes an instance");
            image
        }
    };
    let component = compile(subject.bench.engine, &image)?;
    let proof = Subject::new(subject.bench, component, subject.memory)?;
    let mut sandbox = proof.instance().await.context("start from the image")?;
    let again = sandbox.reset(&proof.prepared.resets).await.map_err(anyhow::Error::from);
    again.context("start again from the image")?;
    Ok(proof.component)
}

/// What everything is done with.
#[derive(Clone, Copy)]
struct Bench<'a> {
    engine: &'a Engine,
    /// Whose log lines these are.
    name: &'a str,
    facts: &'a Facts,
}

/// A component that is asked and tried.
struct Subject<'a> {
    bench: Bench<'a>,
    component: Component,
    prepared: Prepared,
    memory: usize,
}

impl<'a> Subject<'a> {
    fn new(bench: Bench<'a>, component: Component, memory: usize) -> anyhow::Result<Self> {
        let unknown = (Description::unknown(), Preparation::Snapshot);
        let prepared = Prepared::link(bench.engine, &component, bench.facts, unknown)?;
        Ok(Self { bench, component, prepared, memory })
    }

    async fn describe(&self) -> anyhow::Result<Description> {
        let (descriptor, _): (lifecycle::Descriptor, _) = self.call("describe", ()).await?;
        Description::read(descriptor)
    }

    async fn validate(&self, config: &str) -> Result<(), Stop> {
        let (problems, _): (Vec<lifecycle::Problem>, _) = self.call("validate-config", (config.to_owned(),)).await?;
        if problems.is_empty() {
            return Ok(());
        }
        Err(below_config(problems.into_iter().map(|problem| (problem.at, problem.message)).collect()))
    }

    /// An instance that is configured.
    async fn configure(&self, config: &str) -> Result<Sandbox, Stop> {
        let (configured, sandbox): (Result<(), String>, _) = self.call("configure", (config.to_owned(),)).await?;
        configured.map(|()| sandbox).map_err(|message| below_config(vec![(String::new(), message)]))
    }

    /// A fresh instance, which has no exchange.
    async fn instance(&self) -> anyhow::Result<Sandbox> {
        let services = Arc::new(Services::none(self.bench.name));
        let call = Call::new(self.bench.facts, services, 0, self.memory);
        let mut sandbox = Sandbox::new(self.bench.engine, call, true);
        sandbox.limit(LOAD_DEADLINE, true);
        let made = sandbox.within(LOAD_DEADLINE, async |sandbox| sandbox.instantiate(&self.prepared.pre).await).await;
        match made {
            Ok(_) => Ok(sandbox),
            Err(error) => Err(anyhow!(cause(&error))),
        }
    }

    /// Calls a function of `lifecycle` in a fresh instance.
    async fn call<P, R>(&self, function: &'static str, parameters: P) -> anyhow::Result<(R, Sandbox)>
    where
        P: super::sandbox::Parameters + Lower,
        R: Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
        (R,): super::sandbox::Results,
    {
        let index = export(&self.component, "lifecycle", function)?;
        let mut sandbox = self.instance().await.context(function)?;
        let called = sandbox.within(LOAD_DEADLINE, async |sandbox| {
            let function = sandbox.function::<P, (R,)>(&index)?;
            sandbox.call(&function, parameters).await
        });
        let called = called.await;
        sandbox.store.data().log_output();
        match called {
            Ok((result,)) => Ok((result, sandbox)),
            Err(error) => Err(anyhow!(cause(&error))).context(function),
        }
    }
}

fn below_config(faults: Vec<(String, String)>) -> Stop {
    Stop::Faulty(faults.into_iter().map(|(at, message)| (format!("/config{at}"), message)).collect())
}
