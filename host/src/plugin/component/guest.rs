//! One instance: what its store holds, what is linked to it, and its run from the request to its end.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Request;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, HyperOutgoingBody};
use wasmtime_wasi_http::{WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::calls::Calls;
use super::fate::Metered;
use crate::error::{Error, Reason};
use crate::plugin::call::{MemoryLimiter, cause};
use crate::plugin::engine::Engine;

/// What the store of one instance holds. It is dropped with the store, whatever happened.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) table: ResourceTable,
    pub(super) calls: Calls,
    pub(super) memory: MemoryLimiter,
    pub(super) _place: Place,
}

/// The place that an instance takes among those of its upstream.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    instances: Gauge,
}

/// Where an instance sends its response's head.
pub(super) type Respond = oneshot::Sender<Result<http::Response<HyperOutgoingBody>, ErrorCode>>;

/// What an instance is to answer.
pub(super) struct Asked {
    pub(super) request: Request<WasiBody>,
    pub(super) scheme: Scheme,
    pub(super) respond: Respond,
}

/// What a run may take.
pub(super) struct Bounds {
    pub(super) deadline: Duration,
    pub(super) cpu: Duration,
    /// Where its CPU time is added up.
    pub(super) cpu_seconds: Counter<f64, AtomicU64>,
}

/// Handles of the component, and as many of the host's.
pub(super) const HANDLES_MAX: usize = 1_000;
/// Bytes that it may hand over in one call of the host: a piece of a body, or all of its headers.
const HANDED_OVER_MAX: usize = 1 << 20;

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, instances: &Gauge) -> Self {
        instances.inc();
        Self { _permit: permit, instances: instances.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.instances.dec();
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.calls }
    }
}

/// Everything that a component may import.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(&engine.0);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Ok(linker)
}

/// Whether there is everything that a component imports.
///
/// # Errors
/// What is missing.
pub(in crate::plugin) fn check_imports(engine: &Engine, component: &Component) -> anyhow::Result<()> {
    let linked = linker(engine).and_then(|linker| linker.instantiate_pre(component)).and_then(ProxyPre::new);
    linked.map(drop).map_err(anyhow::Error::from)
}

/// A store for one instance. A guest that runs yields its worker at each tick.
pub(super) fn store(engine: &Engine, guest: Guest) -> Store<Guest> {
    let mut store = Store::new(&engine.0, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_hostcall_fuel(HANDED_OVER_MAX);
    store.epoch_deadline_async_yield_and_update(1);
    store.set_epoch_deadline(1);
    store
}

/// Runs an instance to its end.
pub(super) async fn run(
    store: &mut Store<Guest>,
    pre: &ProxyPre<Guest>,
    asked: Asked,
    bounds: Bounds,
) -> Result<(), Error> {
    let handled = AssertUnwindSafe(handle(store, pre, asked)).catch_unwind();
    let metered = Metered::new(handled, bounds.cpu, bounds.cpu_seconds);
    let late = |what: &'static str| Err(Error::new(Reason::UpstreamTimeout, what));
    let ended = match tokio::time::timeout(bounds.deadline, metered).await {
        Err(_) => return late("the component took longer than its deadline"),
        Ok(None) => return late("the component used more than its CPU time"),
        Ok(Some(ended)) => ended,
    };
    match ended {
        Err(_) => Err(Error::new(Reason::UpstreamBroken, "the host panicked in a call of the component")),
        Ok(Err(error)) if error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0) => finished(store),
        Ok(Err(error)) => Err(explain(&error, store.data())),
        Ok(Ok(())) => finished(store),
    }
}

async fn handle(store: &mut Store<Guest>, pre: &ProxyPre<Guest>, asked: Asked) -> wasmtime::Result<()> {
    let proxy = pre.instantiate_async(&mut *store).await?;
    let request = store.data_mut().http().new_incoming_request(asked.scheme, asked.request)?;
    let respond = store.data_mut().http().new_response_outparam(asked.respond)?;
    proxy.wasi_http_incoming_handler().call_handle(store, request, respond).await
}

/// Whether it finished every body that it began: to drop one is to say that it is not whole.
fn finished(store: &mut Store<Guest>) -> Result<(), Error> {
    if store.data_mut().table.iter_mut().any(|entry| entry.is::<HostOutgoingBody>()) {
        return Err(Error::new(Reason::UpstreamBroken, "the component left a body unfinished"));
    }
    Ok(())
}

fn explain(error: &wasmtime::Error, guest: &Guest) -> Error {
    if error.is::<PoolConcurrencyLimitError>() {
        return Error::new(Reason::Overloaded, "every component instance is in use");
    }
    let what = if guest.memory.exceeded { "the component needs more than its memory" } else { "the component failed" };
    Error::new(Reason::UpstreamBroken, format!("{what}: {}", cause(error)))
}
