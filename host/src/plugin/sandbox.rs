//! One instance of a component in a store of its own, and the calls into it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{Store, Trap};

use super::Phase;
use super::call::Call;
use super::clock::{on_deadline, on_tick};
use super::engine::{Engine, MEMORY_MAX};
use super::idle::IdleTicket;

/// One instance of a component in a store of its own.
pub(super) struct Sandbox {
    pub(super) store: Store<Call>,
    instance: Option<Instance>,
    /// The functions that were found in it, where it is kept for more calls.
    functions: [Option<Box<dyn Any + Send>>; Phase::ALL.len()],
    /// The functions that put it back to its beginning.
    resets: Vec<TypedFunc<(), ()>>,
    /// Calls so far.
    pub(super) calls: u32,
    /// Bytes of memory that it began with.
    began_with: usize,
    /// Counts it among those that are kept.
    pub(super) ticket: Option<IdleTicket>,
    /// Whether calls may wait, on a stack of their own.
    waits: bool,
}

/// Values that go into a guest.
pub(super) trait Parameters: ComponentNamedList + Lower + Send + Sync + 'static {}
impl<T: ComponentNamedList + Lower + Send + Sync + 'static> Parameters for T {}

/// Values that come out of a guest.
pub(super) trait Results: ComponentNamedList + Lift + Send + Sync + 'static {}
impl<T: ComponentNamedList + Lift + Send + Sync + 'static> Results for T {}

/// Bytes that a guest may hand over in one call on headers.
const HANDED_OVER_MAX: usize = 1 << 20;
const HANDLES_MAX: usize = 1_000;

impl Sandbox {
    /// An empty store.
    pub(super) fn new(engine: &Engine, call: Call, waits: bool) -> Self {
        let mut store = Store::new(&engine.0, call);
        store.limiter(|call| &mut call.memory);
        store.set_max_component_handles(HANDLES_MAX);
        if waits {
            store.epoch_deadline_callback(on_tick);
        } else {
            store.epoch_deadline_callback(on_deadline);
        }
        let functions = [const { None }; Phase::ALL.len()];
        Self { store, instance: None, functions, resets: Vec::new(), calls: 0, began_with: 0, ticket: None, waits }
    }

    /// Sets when the next call must be over, and bounds what it may hand over.
    pub(super) fn limit(&mut self, deadline: Duration, whole_body: bool) {
        self.store.data_mut().until = Instant::now() + deadline;
        self.store.set_hostcall_fuel(if whole_body { MEMORY_MAX } else { HANDED_OVER_MAX });
        let ticks = self.store.data_mut().clock.start(deadline);
        self.store.set_epoch_deadline(if self.waits { 1 } else { ticks });
    }

    /// Does something with the store within a deadline. A panic in a host function is a failure like any other; the
    /// store must be dropped after any.
    pub(super) async fn within<R>(
        &mut self,
        deadline: Duration,
        work: impl AsyncFnOnce(&mut Self) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<R> {
        let waits = self.waits;
        let run = AssertUnwindSafe(work(self)).catch_unwind();
        let result = if waits {
            tokio::time::timeout(deadline, run).await.unwrap_or_else(|_| Ok(Err(Trap::Interrupt.into())))
        } else {
            run.await
        };
        result.unwrap_or_else(|_| Err(wasmtime::format_err!("the host panicked during the call")))
    }

    /// Makes the instance, if there is none yet. Whether it was made.
    pub(super) async fn instantiate(&mut self, pre: &InstancePre<Call>) -> wasmtime::Result<bool> {
        if self.instance.is_some() {
            return Ok(false);
        }
        let instance =
            if self.waits { pre.instantiate_async(&mut self.store).await? } else { pre.instantiate(&mut self.store)? };
        self.instance = Some(instance);
        self.began_with = self.store.data().memory.used;
        Ok(true)
    }

    /// Bytes by which its memory has grown.
    pub(super) fn grown(&self) -> usize {
        self.store.data().memory.used.saturating_sub(self.began_with)
    }

    /// Puts its memory and globals back to where they began, by functions that were added to it.
    pub(super) async fn reset(&mut self, functions: &[ComponentExportIndex]) -> wasmtime::Result<()> {
        if self.resets.is_empty() {
            for index in functions {
                let function = self.function::<(), ()>(index)?;
                self.resets.push(function);
            }
        }
        for at in 0..self.resets.len() {
            if let Some(function) = self.resets.get(at).copied() {
                self.call(&function, ()).await?;
            }
        }
        Ok(())
    }

    /// The function of a phase, looked up once in an instance that is kept.
    pub(super) fn handle<P: Parameters, R: Results>(
        &mut self,
        phase: Phase,
        index: &ComponentExportIndex,
        is_kept: bool,
    ) -> wasmtime::Result<TypedFunc<P, R>> {
        let known = self.functions.get(phase as usize).and_then(Option::as_ref);
        if let Some(function) = known.and_then(|known| known.downcast_ref::<TypedFunc<P, R>>()) {
            return Ok(*function);
        }
        let function = self.function::<P, R>(index)?;
        if let Some(slot) = self.functions.get_mut(phase as usize).filter(|_| is_kept) {
            *slot = Some(Box::new(function));
        }
        Ok(function)
    }

    /// An exported function.
    pub(super) fn function<P: Parameters, R: Results>(
        &mut self,
        index: &ComponentExportIndex,
    ) -> wasmtime::Result<TypedFunc<P, R>> {
        let instance = self.instance.ok_or_else(|| wasmtime::format_err!("there is no instance"))?;
        instance.get_typed_func::<P, R>(&mut self.store, index)
    }

    /// Calls an exported function.
    pub(super) async fn call<P: Parameters, R: Results>(
        &mut self,
        function: &TypedFunc<P, R>,
        parameters: P,
    ) -> wasmtime::Result<R> {
        if self.waits {
            function.call_async(&mut self.store, parameters).await
        } else {
            function.call(&mut self.store, parameters)
        }
    }

    pub(super) fn instance(&self) -> Option<Instance> {
        self.instance
    }
}
