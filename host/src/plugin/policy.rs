//! A named, configured use of a plugin: proved at load time, called in a fresh instance each time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::FutureExt as _;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, Resource};

use super::Phase;
use super::bindings::exports::gatewright::policy::{lifecycle, on_event};
use super::call::{Call, CallBody};
use super::called::{Answer, Called, Decided, Outcome, Transformed};
use super::engine::{Engine, MEMORY_MAX};
use super::grants::{check_grants, check_limits, linker};
use super::handles::{BodyHandle, ExchangeHandle};
use super::package::{Description, SharedPlugin};
use crate::config::{FailureMode, PolicyConfig, check_value};
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, Reply, Timing};
use crate::services::Services;
use crate::telemetry::CallLabels;

/// A named, configured use of a plugin.
pub struct Policy {
    /// Tells its state in an exchange apart from that of others.
    pub id: u32,
    /// Its name.
    pub name: Arc<str>,
    /// As configured.
    pub config: PolicyConfig,
    /// Its plugin.
    pub plugin: SharedPlugin,
    /// What its plugin says of itself.
    pub description: Description,
    services: Arc<Services>,
    pre: InstancePre<Call>,
    configure: ComponentExportIndex,
    exports: [Option<Export>; Phase::ALL.len()],
    config_text: String,
}

/// An exported phase, with its metrics.
struct Export {
    handle: ComponentExportIndex,
    seconds: Histogram,
    decided: Counter,
}

/// The guest's parameters come after the exchange, which is always there.
type Borrowed<T> = Resource<T>;

/// What a call at load time may take. Much more than a call on a request: nobody is waiting.
const LOAD_DEADLINE: Duration = Duration::from_secs(2);
/// Bytes that a guest may hand over in one call on headers.
const HANDED_OVER_MAX: usize = 1 << 20;
const HANDLES_MAX: usize = 1_000;

impl Policy {
    /// Proves that a plugin works with a configuration: it links with what is granted, its schema and its own check
    /// accept the configuration, and an instance can be configured.
    ///
    /// # Errors
    /// Every fault, with a pointer into the policy.
    pub async fn build(
        id: u32,
        config: &PolicyConfig,
        plugin: SharedPlugin,
        services: Arc<Services>,
    ) -> Result<Self, Vec<(String, String)>> {
        let mut faults = check_grants(config, &plugin);
        faults.extend(check_limits(config));
        if !faults.is_empty() {
            return Err(faults);
        }
        let whole = |error: anyhow::Error| vec![(String::new(), format!("plugin {:?}: {error:#}", config.plugin))];
        let mut policy = Self::link(id, config, plugin, services).map_err(whole)?;
        let descriptor = policy.load_call("describe", ()).await.context("describe").map_err(whole)?;
        policy.description = Description::read(descriptor).map_err(whole)?;
        check_value(&policy.description.config_schema, &config.config).map_err(|faults| {
            faults.into_iter().map(|(at, message)| (format!("/config{at}"), message)).collect::<Vec<_>>()
        })?;
        policy.config_text = config.config.to_string();
        let text = policy.config_text.clone();
        let problems: Vec<lifecycle::Problem> =
            policy.load_call("validate-config", (text.clone(),)).await.context("validate-config").map_err(whole)?;
        if !problems.is_empty() {
            return Err(problems
                .into_iter()
                .map(|problem| (format!("/config{}", problem.at), problem.message))
                .collect());
        }
        let configured: Result<(), String> =
            policy.load_call("configure", (text,)).await.context("configure").map_err(whole)?;
        configured.map_err(|message| vec![("/config".to_owned(), message)])?;
        Ok(policy)
    }

    /// Asks a plugin what it says of itself, as no policy in particular.
    ///
    /// # Errors
    /// Where it cannot be linked or called.
    pub async fn describe(plugin: SharedPlugin) -> anyhow::Result<Description> {
        let services = Arc::new(Services::none(&plugin.name));
        let policy = Self::link(0, &PolicyConfig::of_plugin(&plugin.name), plugin, services)?;
        Description::read(policy.load_call("describe", ()).await.context("describe")?)
    }

    fn link(id: u32, config: &PolicyConfig, plugin: SharedPlugin, services: Arc<Services>) -> anyhow::Result<Self> {
        let pre = linker(&plugin).and_then(|linker| linker.instantiate_pre(&plugin.component));
        let pre = pre.map_err(anyhow::Error::from).context("link")?;
        let configure = export(&plugin, "lifecycle", "configure")?;
        let mut exports = [const { None }; Phase::ALL.len()];
        for (phase, slot) in Phase::ALL.into_iter().zip(&mut exports) {
            if plugin.has(phase) {
                *slot = Some(Export::new(&plugin, &services, phase)?);
            }
        }
        let description = Description { config_schema: serde_json::Value::Null, attributes: Vec::new() };
        Ok(Self {
            id,
            name: services.policy.clone(),
            config: config.clone(),
            plugin,
            description,
            services,
            pre,
            configure,
            exports,
            config_text: String::new(),
        })
    }

    /// Calls a function of `lifecycle`, in an instance of its own that has no exchange.
    async fn load_call<P, R>(&self, function: &str, parameters: P) -> anyhow::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let index = export(&self.plugin, "lifecycle", function)?;
        let (call, result) = self.enter::<_, (R,)>(self.call(), &index, parameters, (LOAD_DEADLINE, false)).await;
        result.map(|(result,)| result).map_err(|error| anyhow!(call.explain(&error).detail))
    }

    fn call(&self) -> Call {
        let call = Call::new(self.services.clone(), self.id, self.config.limits.memory.as_usize());
        if self.plugin.wasi { call.with_wasi() } else { call }
    }

    /// Whether it takes part in a phase.
    #[must_use]
    pub fn has(&self, phase: Phase) -> bool {
        self.export(phase).is_some()
    }

    fn export(&self, phase: Phase) -> Option<&Export> {
        self.exports.get(phase as usize)?.as_ref()
    }

    /// Whether a failure of this policy lets the exchange go on.
    #[must_use]
    pub fn fails_open(&self) -> bool {
        self.config.on_failure == FailureMode::Open
    }

    /// Calls a phase that looks at headers.
    pub(super) async fn decide(&self, phase: Phase, exchange: Box<Exchange>) -> Called<Decided> {
        let parameters = (ExchangeHandle::borrow(),);
        let called: Called<Answer> = self.run(phase, exchange, None, parameters).await;
        self.counted(phase, called.decided(&self.name))
    }

    /// Calls a phase that looks at a whole body.
    pub(super) async fn decide_on_body(
        &self,
        phase: Phase,
        exchange: Box<Exchange>,
        body: CallBody,
    ) -> Called<Decided> {
        let parameters = (ExchangeHandle::borrow(), BodyHandle::borrow());
        let called: Called<Answer> = self.run(phase, exchange, Some(body), parameters).await;
        self.counted(phase, called.decided(&self.name))
    }

    /// Hands over a batch of events.
    pub(super) async fn transform(
        &self,
        exchange: Box<Exchange>,
        events: &[crate::body::Event],
        ending: on_event::Ending,
    ) -> Called<Outcome> {
        let events: Vec<on_event::Event> =
            events.iter().map(|event| on_event::Event { name: event.name.clone(), data: event.data.clone() }).collect();
        let parameters = (ExchangeHandle::borrow(), events, ending);
        let called: Called<Transformed> = self.run(Phase::OnEvent, exchange, None, parameters).await;
        self.counted(Phase::OnEvent, called.transformed(&self.name))
    }

    /// Tells it that an exchange is over.
    pub(super) async fn tell(&self, exchange: Box<Exchange>) -> Called<()> {
        let Some(export) = self.export(Phase::OnLog) else { return Called { exchange, body: None, result: Ok(()) } };
        let mut call = self.call();
        call.exchange = Some(exchange);
        let start = Instant::now();
        let within = (self.config.limits.deadline.0, false);
        let (call, result) = self.enter::<_, ()>(call, &export.handle, (ExchangeHandle::borrow(),), within).await;
        export.seconds.observe(start.elapsed().as_secs_f64());
        self.counted(Phase::OnLog, self.finish(call, result, None))
    }

    async fn run<P, R>(
        &self,
        phase: Phase,
        mut exchange: Box<Exchange>,
        body: Option<CallBody>,
        parameters: P,
    ) -> Called<(R, Vec<Reply>)>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let Some(export) = self.export(phase) else {
            return Called { exchange, body, result: Err(Error::new(Reason::Internal, "the phase is not exported")) };
        };
        exchange.begin();
        let whole_body = body.is_some();
        let limits = &self.config.limits;
        let deadline = if whole_body { limits.body_deadline.0 } else { limits.deadline.0 };
        let before = body.clone();
        let mut call = self.call();
        call.exchange = Some(exchange);
        call.body = body;
        let start = Instant::now();
        let (mut call, result) = self.enter::<_, (R,)>(call, &export.handle, parameters, (deadline, whole_body)).await;
        let took = start.elapsed();
        export.seconds.observe(took.as_secs_f64());
        if let Some(exchange) = &mut call.exchange {
            exchange.timings.push(Timing { policy: self.name.clone(), phase: phase.name(), took });
        }
        let replies = std::mem::take(&mut call.replies);
        self.finish(call, result.map(|(result,)| (result, replies)), before)
    }

    /// Counts a call by what became of it; a guest that says that it failed has failed.
    fn counted<R>(&self, phase: Phase, called: Called<R>) -> Called<R> {
        match (&called.result, self.export(phase)) {
            (Ok(_), Some(export)) => drop(export.decided.inc()),
            _ => drop(self.services.metrics.policy_calls.get_or_create(&self.labels(phase, "failed")).inc()),
        }
        called
    }

    fn labels(&self, phase: Phase, outcome: &'static str) -> CallLabels {
        CallLabels { policy: self.name.to_string(), phase: phase.name(), outcome }
    }

    /// Takes the exchange out of a finished call; where the call failed, the body is as it was.
    fn finish<R>(&self, mut call: Call, result: wasmtime::Result<R>, before: Option<CallBody>) -> Called<R> {
        call.log_output();
        let result = result.map_err(|error| call.explain(&error));
        let body = if result.is_ok() { call.body.take() } else { before };
        let exchange = call.exchange.take().unwrap_or_else(|| Box::new(Exchange::lost()));
        Called { exchange, body, result }
    }

    /// Makes an instance, configures it and calls one function, all within a deadline.
    async fn enter<P, R>(
        &self,
        call: Call,
        index: &ComponentExportIndex,
        parameters: P,
        within: (Duration, bool),
    ) -> (Call, wasmtime::Result<R>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let mut store = self.store(call, within);
        let result = if self.plugin.wasi {
            let run = AssertUnwindSafe(self.run_yielding::<P, R>(&mut store, index, parameters)).catch_unwind();
            match tokio::time::timeout(within.0, run).await {
                Ok(result) => caught(result),
                Err(_) => Err(wasmtime::Trap::Interrupt.into()),
            }
        } else {
            caught(catch_unwind(AssertUnwindSafe(|| self.run_at_once::<P, R>(&mut store, index, parameters))))
        };
        (store.into_data(), result)
    }

    fn store(&self, mut call: Call, (deadline, whole_body): (Duration, bool)) -> Store<Call> {
        call.until = Instant::now() + deadline;
        let mut store = Store::new(&self.plugin.engine.0, call);
        store.limiter(|call| &mut call.memory);
        store.set_hostcall_fuel(if whole_body { MEMORY_MAX } else { HANDED_OVER_MAX });
        store.set_max_component_handles(HANDLES_MAX);
        if self.plugin.wasi {
            store.epoch_deadline_async_yield_and_update(1);
            store.set_epoch_deadline(1);
        } else {
            store.epoch_deadline_trap();
            store.set_epoch_deadline(Engine::ticks(deadline));
        }
        store
    }

    fn run_at_once<P, R>(
        &self,
        store: &mut Store<Call>,
        index: &ComponentExportIndex,
        parameters: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let instance = self.pre.instantiate(&mut *store)?;
        if store.data().exchange.is_some() {
            let configure = instance.get_typed_func::<(&str,), (Result<(), String>,)>(&mut *store, &self.configure)?;
            configured(configure.call(&mut *store, (&self.config_text,))?)?;
        }
        instance.get_typed_func::<P, R>(&mut *store, index)?.call(&mut *store, parameters)
    }

    async fn run_yielding<P, R>(
        &self,
        store: &mut Store<Call>,
        index: &ComponentExportIndex,
        parameters: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        if store.data().exchange.is_some() {
            let configure =
                instance.get_typed_func::<(String,), (Result<(), String>,)>(&mut *store, &self.configure)?;
            configured(configure.call_async(&mut *store, (self.config_text.clone(),)).await?)?;
        }
        instance.get_typed_func::<P, R>(&mut *store, index)?.call_async(&mut *store, parameters).await
    }
}

impl Export {
    fn new(plugin: &SharedPlugin, services: &Services, phase: Phase) -> anyhow::Result<Self> {
        let labels = |outcome| CallLabels { policy: services.policy.to_string(), phase: phase.name(), outcome };
        Ok(Self {
            handle: export(plugin, phase.name(), "handle")?,
            seconds: services.metrics.policy_seconds.get_or_create_owned(&labels("")),
            decided: services.metrics.policy_calls.get_or_create_owned(&labels("returned")),
        })
    }
}

fn export(plugin: &SharedPlugin, interface: &str, function: &str) -> anyhow::Result<ComponentExportIndex> {
    let name = format!("gatewright:policy/{interface}@0.1.0");
    let instance = plugin.component.get_export_index(None, &name);
    let found = instance.and_then(|instance| plugin.component.get_export_index(Some(&instance), function));
    found.ok_or_else(|| anyhow!("does not export {name}.{function}"))
}

fn configured(result: (Result<(), String>,)) -> wasmtime::Result<()> {
    result.0.map_err(|message| wasmtime::format_err!("configure failed: {message}"))
}

/// A panic in a host function is a failure of the call like any other; its store is gone with it.
fn caught<R>(result: std::thread::Result<wasmtime::Result<R>>) -> wasmtime::Result<R> {
    result.unwrap_or_else(|_| Err(wasmtime::format_err!("the host panicked during the call")))
}

impl ExchangeHandle {
    fn borrow() -> Borrowed<Self> {
        Resource::new_borrow(0)
    }
}

impl BodyHandle {
    fn borrow() -> Borrowed<Self> {
        Resource::new_borrow(0)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Policy").field("name", &self.name).field("plugin", &self.plugin).finish_non_exhaustive()
    }
}
