//! One call of a guest: what its store holds, and how what went wrong is told apart.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Trap};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::clock::CallClock;
use super::host_http::Outbox;
use super::package::Facts;
use crate::body::Content;
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, Reply};
use crate::services::{KvStore, LogGate, Secret, Services};

/// What the store of one call holds. It is dropped with the store, whatever happened.
pub(super) struct Call {
    /// Absent at load time.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Whether it is a scheduled job, which has no exchange.
    pub(super) is_job: bool,
    pub(super) body: Option<CallBody>,
    pub(super) replies: Vec<Reply>,
    /// The secrets that are open, each with whether its bytes may be seen.
    pub(super) secrets: Vec<(Secret, bool)>,
    pub(super) stores: Vec<(String, KvStore)>,
    pub(super) outbox: Outbox,
    pub(super) services: Arc<Services>,
    /// Whose state this is.
    pub(super) policy: u32,
    /// Handles that the guest was given and has not dropped.
    pub(super) handed_over: u32,
    pub(super) memory: MemoryLimiter,
    pub(super) clock: CallClock,
    /// When the call must be over: what the host does for it counts as well.
    pub(super) until: Instant,
    wasi: Option<Box<Wasi>>,
}

/// The body that a policy may read and replace.
#[derive(Debug, Clone)]
pub struct CallBody {
    /// The whole of it.
    pub content: Content,
    /// The most it may become.
    pub max: usize,
    /// Whether it has a content coding that the host does not decode.
    pub encoded: bool,
    /// Whether a policy replaced it.
    pub changed: bool,
}

/// Bounds the memories of one store together, and remembers that a bound was met.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    pub(super) used: usize,
    max: usize,
    pub(super) exceeded: bool,
}

/// An empty world for the languages whose runtime wants one.
struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    output: MemoryOutputPipe,
}

/// What a guest's runtime may print in one call.
const OUTPUT_MAX: usize = 4 << 10;
const WASI_HANDLES_MAX: usize = 256;
const TABLE_ELEMENTS_MAX: usize = 20_000;

impl Call {
    /// For an instance of a component with these imports.
    pub(super) fn new(facts: &Facts, services: Arc<Services>, policy: u32, memory: usize) -> Self {
        let call = Self {
            exchange: None,
            is_job: false,
            body: None,
            replies: Vec::new(),
            secrets: Vec::new(),
            stores: Vec::new(),
            outbox: Outbox::default(),
            services,
            policy,
            handed_over: 0,
            memory: MemoryLimiter::new(memory),
            clock: CallClock::default(),
            until: Instant::now(),
            wasi: None,
        };
        if facts.wasi { call.with_wasi() } else { call }
    }

    /// Lends it what the next call is about. What an earlier call in the same store held is gone.
    pub(super) fn begin(&mut self, exchange: Box<Exchange>, body: Option<CallBody>) {
        self.exchange = Some(exchange);
        self.body = body;
        self.replies.clear();
        self.secrets.clear();
        // Stores stay: the policy may open the same ones in every call.
    }

    /// A handle that the guest is to own.
    pub(super) fn hand_over<T: 'static>(&mut self, number: u32) -> Resource<T> {
        self.handed_over += 1;
        Resource::new_own(number)
    }

    /// The guest has dropped a handle.
    pub(super) fn took_back(&mut self) {
        self.handed_over = self.handed_over.saturating_sub(1);
    }

    /// Forgets what an earlier call in the same store opened: the next one is to begin as in a new store.
    pub(super) fn forget(&mut self) {
        self.stores.clear();
        self.memory.exceeded = false;
    }

    /// Whether the guest's runtime keeps handles of the empty world.
    pub(super) fn holds_handles(&self) -> bool {
        self.wasi.as_ref().is_some_and(|wasi| !wasi.table.is_empty())
    }

    /// Whether the guest's runtime printed anything.
    pub(super) fn has_output(&self) -> bool {
        self.wasi.as_ref().is_some_and(|wasi| !wasi.output.contents().is_empty())
    }

    /// Whether it serves somebody: at load time there is nobody.
    pub(super) const fn serves(&self) -> bool {
        self.exchange.is_some() || self.is_job
    }

    /// Adds the empty world.
    fn with_wasi(mut self) -> Self {
        let output = MemoryOutputPipe::new(OUTPUT_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(WASI_HANDLES_MAX);
        let context = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        self.wasi = Some(Box::new(Wasi { context, table, output }));
        self
    }

    /// Sends what the guest printed to the log.
    pub(super) fn log_output(&self) {
        let Some(wasi) = &self.wasi else { return };
        let output = wasi.output.contents();
        let request = self.exchange.as_ref().map_or("", |exchange| exchange.id.as_str());
        for line in String::from_utf8_lossy(&output).lines().filter(|line| !line.is_empty()) {
            self.services.log.emit(&self.services.policy, request, tracing::Level::INFO, (line, &[]));
        }
    }

    /// Whether its log lines go anywhere.
    pub(super) fn logs(level: tracing::Level) -> bool {
        LogGate::enabled(level)
    }

    /// What a failed call means.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> Error {
        if error.is::<PoolConcurrencyLimitError>() {
            return Error::new(Reason::Overloaded, "every policy instance is in use");
        }
        let reason = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) if self.clock.starved => Reason::Overloaded,
            Some(Trap::Interrupt) => Reason::PolicyDeadline,
            _ if self.memory.exceeded => Reason::PolicyMemory,
            _ => Reason::PolicyTrapped,
        };
        Error::new(reason, format!("policy {:?}: {}", self.services.policy, cause(error)))
    }
}

/// Why a call failed, in a line.
pub(super) fn cause(error: &wasmtime::Error) -> String {
    let first = format!("{error:#}").lines().next().unwrap_or("").to_owned();
    shorten(&first, error)
}

/// The last cause says more than the first, which is only where it happened.
fn shorten(first: &str, error: &wasmtime::Error) -> String {
    let root = error.root_cause().to_string();
    if first.contains(&root) { first.to_owned() } else { format!("{first}: {root}") }
}

impl MemoryLimiter {
    pub(super) const fn new(max: usize) -> Self {
        Self { used: 0, max, exceeded: false }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.max {
            self.exceeded = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        4
    }

    fn tables(&self) -> usize {
        16
    }
}

impl WasiView for Call {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            let context = WasiCtx::builder().build();
            Box::new(Wasi { context, table: ResourceTable::new(), output: MemoryOutputPipe::new(OUTPUT_MAX) })
        });
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}
