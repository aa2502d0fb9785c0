//! Calls a policy in a sandbox: lends it the exchange, and takes it back whatever happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Lift, Resource, TypedFunc};

use super::Phase;
use super::bindings::exports::gatewright::policy::on_event;
use super::bindings::gatewright::policy::types;
use super::call::{Call, CallBody};
use super::called::{Answer, Called, Decided, Outcome, Transformed};
use super::handles::{BodyHandle, ExchangeHandle};
use super::host_http::Outbox;
use super::policy::Keeping;
use super::policy::Policy;
use super::prepared::Preparation;
use super::sandbox::{Parameters, Results, Sandbox};
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, Reply, Timing};

impl Policy {
    /// Calls a phase that looks at headers.
    pub(super) async fn decide(self: &Arc<Self>, phase: Phase, exchange: Box<Exchange>) -> Called<Decided> {
        let called: Called<Answer> = self.run(phase, (exchange, None), (ExchangeHandle::borrow(),)).await;
        self.counted(phase, called.decided(&self.name))
    }

    /// Calls a phase that looks at a whole body.
    pub(super) async fn decide_on_body(
        self: &Arc<Self>,
        phase: Phase,
        exchange: Box<Exchange>,
        body: CallBody,
    ) -> Called<Decided> {
        let parameters = (ExchangeHandle::borrow(), BodyHandle::borrow());
        let called: Called<Answer> = self.run(phase, (exchange, Some(body)), parameters).await;
        self.counted(phase, called.decided(&self.name))
    }

    /// Hands over a batch of events.
    pub(super) async fn transform(
        self: &Arc<Self>,
        exchange: Box<Exchange>,
        events: &[crate::body::Event],
        ending: on_event::Ending,
    ) -> Called<Outcome> {
        let events: Vec<on_event::Event> =
            events.iter().map(|event| on_event::Event { name: event.name.clone(), data: event.data.clone() }).collect();
        let parameters = (ExchangeHandle::borrow(), events, ending);
        let called: Called<Transformed> = self.run(Phase::OnEvent, (exchange, None), parameters).await;
        self.counted(Phase::OnEvent, called.transformed(&self.name))
    }

    /// Tells it that an exchange is over.
    pub(super) async fn tell(self: &Arc<Self>, exchange: Box<Exchange>) -> Called<()> {
        let called = self.enter::<_, ()>(Phase::OnLog, (exchange, None), (ExchangeHandle::borrow(),)).await;
        self.counted(Phase::OnLog, called.without_replies())
    }

    /// Calls a phase that returns something.
    async fn run<P, R>(
        self: &Arc<Self>,
        phase: Phase,
        subject: (Box<Exchange>, Option<CallBody>),
        parameters: P,
    ) -> Called<(R, Vec<Reply>)>
    where
        P: Parameters,
        R: Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
        (R,): Results + Returned,
    {
        self.enter::<P, (R,)>(phase, subject, parameters).await.map(|((result,), replies)| (result, replies))
    }

    /// Counts a call by what became of it; a guest that says that it failed has failed.
    fn counted<R>(&self, phase: Phase, called: Called<R>) -> Called<R> {
        match (&called.result, self.measured(phase)) {
            (Ok(_), Some(measured)) => drop(measured.returned.inc()),
            _ => drop(self.services.metrics.policy_calls.get_or_create(&self.labels(phase, "failed")).inc()),
        }
        called
    }

    /// Calls the function of a phase: here, or aside where the policy is slow. The exchange comes back whatever happens;
    /// where the call failed, the body is as it was.
    async fn enter<P: Parameters, R: Results + Returned>(
        self: &Arc<Self>,
        phase: Phase,
        subject: (Box<Exchange>, Option<CallBody>),
        parameters: P,
    ) -> Called<(R, Vec<Reply>)> {
        if self.pace.is_slow() {
            self.enter_aside(phase, subject, parameters).await
        } else {
            self.enter_here(phase, subject, parameters).await
        }
    }

    /// Calls the function of a phase on a thread that gives way to the workers, when it is this call's turn.
    async fn enter_aside<P: Parameters, R: Results + Returned>(
        self: &Arc<Self>,
        phase: Phase,
        (exchange, body): (Box<Exchange>, Option<CallBody>),
        parameters: P,
    ) -> Called<(R, Vec<Reply>)> {
        let Some(turn) = self.pace.turn().await else {
            let why = format!("policy {:?} is slow, and too many of its calls wait", self.name);
            return Called { exchange, body, result: Err(Error::new(Reason::Overloaded, why)) };
        };
        let (policy, before) = (self.clone(), body.clone());
        let call = move || async move {
            let _turn = turn;
            policy.enter_here(phase, (exchange, body), parameters).await
        };
        self.engine.lane().run(call).await.unwrap_or_else(|| {
            let result = Err(Error::new(Reason::Internal, "the thread of a slow policy is gone"));
            Called { exchange: Box::new(Exchange::lost()), body: before, result }
        })
    }

    /// Calls the function of a phase in a sandbox.
    async fn enter_here<P: Parameters, R: Results + Returned>(
        &self,
        phase: Phase,
        (mut exchange, body): (Box<Exchange>, Option<CallBody>),
        parameters: P,
    ) -> Called<(R, Vec<Reply>)> {
        let Some(measured) = self.measured(phase) else {
            return Called { exchange, body, result: Err(Error::new(Reason::Internal, "the phase is not exported")) };
        };
        exchange.begin();
        if self.plugin.health.is_out() {
            return Called { exchange, body, result: Err(Error::new(Reason::PolicyQuarantined, "its plugin is out")) };
        }
        let whole_body = body.is_some();
        let limits = &self.config.limits;
        let deadline = if whole_body { limits.body_deadline.0 } else { limits.deadline.0 };
        let before = body.clone();
        let mut sandbox = self.idle.take().unwrap_or_else(|| self.sandbox());
        sandbox.store.data_mut().begin(exchange, body);
        let start = Instant::now();
        sandbox.limit(deadline, whole_body);
        let result = sandbox.within(deadline, async |sandbox| self.call(sandbox, phase, parameters).await).await;
        let took = start.elapsed();
        measured.seconds.observe(took.as_secs_f64());
        let call = sandbox.store.data_mut();
        call.log_output();
        let replies = std::mem::take(&mut call.replies);
        // Requests of its own that are still under way end with the call.
        call.outbox = Outbox::default();
        let result = result.map(|result: R| (result, replies)).map_err(|error| call.explain(&error));
        let ran = call.clock.ran();
        if let Err(error) = &result {
            self.note(error.reason, measured.returned.get());
        }
        if !ran.is_zero() && self.pace.note(ran) {
            tracing::warn!(policy = &*self.name, "policy is slow and runs aside");
        }
        let body = if result.is_ok() { call.body.take() } else { before };
        let mut exchange = call.exchange.take().unwrap_or_else(|| Box::new(Exchange::lost()));
        exchange.timings.push(Timing { policy: self.name.clone(), phase: phase.name(), took });
        if let Ok((returned, _)) = &result {
            self.keep(sandbox, returned.handles()).await;
        }
        Called { exchange, body, result }
    }

    /// Notes a fault, and takes the plugin out where there are too many.
    pub(super) fn note(&self, reason: Reason, ended_well: u64) {
        let is_fault = matches!(reason, Reason::PolicyTrapped | Reason::PolicyDeadline | Reason::PolicyMemory);
        if !is_fault || !self.faults.are_too_many(&self.quarantine, ended_well) {
            return;
        }
        if self.plugin.health.take_out() {
            self.services.metrics.quarantines.inc();
            let (plugin, hash, policy) = (&self.plugin.name, self.plugin.hash(), &*self.name);
            tracing::error!(plugin, hash, policy, "plugin failed too often and is called no more");
        }
    }

    /// Keeps an instance for a later call. Unless calls are to share what it remembers, it is put back to its beginning
    /// first; where that cannot be, it goes.
    async fn keep(&self, mut sandbox: Sandbox, returned: u32) {
        if self.keeping == Keeping::Reset {
            let call = sandbox.store.data_mut();
            call.forget();
            if call.handed_over != returned || call.holds_handles() || sandbox.grown() > 0 {
                return;
            }
            sandbox.store.data_mut().handed_over = 0;
            sandbox.limit(RESET_DEADLINE, false);
            let resets = &self.prepared.resets;
            if sandbox.within(RESET_DEADLINE, async |sandbox| sandbox.reset(resets).await).await.is_err() {
                return;
            }
        }
        if self.keeping != Keeping::Never {
            self.engine.keep(&self.idle, sandbox);
        }
    }

    /// What the store of an instance of this policy begins with.
    pub(super) fn new_call(&self) -> Call {
        let memory = self.config.limits.memory.as_usize();
        Call::new(&self.plugin.facts, self.services.clone(), self.id, memory)
    }

    fn sandbox(&self) -> Sandbox {
        Sandbox::new(&self.engine, self.new_call(), self.plugin.facts.waits())
    }

    /// Makes the instance where there is none, configures it where it does not start configured, and calls.
    pub(super) async fn call<P: Parameters, R: Results>(
        &self,
        sandbox: &mut Sandbox,
        phase: Phase,
        parameters: P,
    ) -> wasmtime::Result<R> {
        let made = sandbox.instantiate(&self.prepared.pre).await?;
        if made && self.prepared.preparation != Preparation::Snapshot {
            let configure: TypedFunc<(String,), (Result<(), String>,)> = sandbox.function(&self.prepared.configure)?;
            let (configured,) = sandbox.call(&configure, (self.config_text.clone(),)).await?;
            configured.map_err(|message| wasmtime::format_err!("configure failed: {message}"))?;
        }
        let handle = self.prepared.handle(phase).ok_or_else(|| wasmtime::format_err!("the phase is not exported"))?;
        let function = sandbox.handle::<P, R>(phase, handle, self.keeping != Keeping::Never)?;
        sandbox.calls += 1;
        sandbox.call(&function, parameters).await
    }
}

/// A time that no reset of a memory this small takes.
const RESET_DEADLINE: Duration = Duration::from_millis(50);

/// What a guest returns.
pub(super) trait Returned {
    /// The handles that it gives back by returning them.
    fn handles(&self) -> u32;
}

impl Returned for () {
    fn handles(&self) -> u32 {
        0
    }
}

impl Returned for (Result<types::Decision, types::Failure>,) {
    fn handles(&self) -> u32 {
        u32::from(matches!(self, (Ok(types::Decision::Answer(_)),)))
    }
}

impl Returned for (Result<on_event::Outcome, types::Failure>,) {
    fn handles(&self) -> u32 {
        0
    }
}

impl ExchangeHandle {
    fn borrow() -> Resource<Self> {
        Resource::new_borrow(0)
    }
}

impl BodyHandle {
    fn borrow() -> Resource<Self> {
        Resource::new_borrow(0)
    }
}
