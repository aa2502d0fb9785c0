//! A component as an upstream: an instance of its own for each request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{HOST, HeaderName};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpCtx};

use super::calls::{CALLS_MAX, Calls, told};
use super::fate::{Fate, Running};
use super::guest::{Asked, Bounds, Guest, HANDLES_MAX, Place, linker, run, store};
use super::output::Output;
use super::stream::{GuestBody, broken};
use super::{ComponentInputs, check};
use crate::body::{Body, Source};
use crate::config::ComponentConfig;
use crate::error::{Error, Reason};
use crate::plugin::call::MemoryLimiter;
use crate::plugin::engine::Engine;
use crate::services::LogGate;
use crate::telemetry::{Metrics, UpstreamLabels};
use crate::upstream::{Answer, Handler, Outgoing, Upstream};

/// A component as an upstream.
pub struct Component {
    /// `component:PLUGIN`, for logs.
    address: Arc<str>,
    upstream: Arc<str>,
    config: ComponentConfig,
    /// SHA-256 of its plugin's file.
    hash: String,
    engine: Engine,
    pre: ProxyPre<Guest>,
    http: Arc<BTreeMap<String, Arc<Upstream>>>,
    places: Arc<Semaphore>,
    log: Arc<LogGate>,
    metrics: Arc<Metrics>,
    instances: Gauge,
    cpu_seconds: Counter<f64, AtomicU64>,
}

/// What is logged of an error that a component says.
const CODE_MAX: usize = 256;
/// Header fields of a response: as many as are taken from an endpoint.
const FIELDS_MAX: usize = 100;
/// Names and values of one header section, and what the host keeps for each.
const FIELD_BYTES_MAX: usize = 64 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Component {
    /// Whether this gateway was built to serve components.
    ///
    /// # Errors
    /// How to build one that was.
    pub const fn supported() -> Result<(), &'static str> {
        Ok(())
    }

    /// Compiles a component and links it, or takes what serves already.
    ///
    /// # Errors
    /// Every fault, with a pointer into the component.
    pub fn build(inputs: &ComponentInputs<'_>) -> Result<Arc<Self>, Vec<(String, String)>> {
        let faults = check(inputs.config, &inputs.plugin);
        if !faults.is_empty() {
            return Err(faults);
        }
        let same = inputs.previous.as_ref().filter(|previous| previous.hash == inputs.plugin.hash());
        if let Some(previous) = same
            && previous.config == *inputs.config
            && previous.http.len() == inputs.http.len()
            && inputs.http.iter().all(|(name, http)| previous.calls(name, http))
        {
            return Ok(previous.clone());
        }
        let (engine, pre) = match same {
            Some(previous) => (previous.engine.clone(), previous.pre.clone()),
            None => link(inputs)
                .map_err(|error| vec![(String::new(), format!("plugin {:?}: {error:#}", inputs.plugin.name))])?,
        };
        let labels = UpstreamLabels { upstream: inputs.upstream.to_owned() };
        Ok(Arc::new(Self {
            address: format!("component:{}", inputs.plugin.name).into(),
            upstream: inputs.upstream.into(),
            config: inputs.config.clone(),
            hash: inputs.plugin.hash().to_owned(),
            engine,
            pre,
            http: Arc::new(inputs.http.clone()),
            places: Arc::new(Semaphore::new(inputs.config.concurrency)),
            log: Arc::default(),
            metrics: inputs.metrics.clone(),
            instances: inputs.metrics.component_instances.get_or_create_owned(&labels),
            cpu_seconds: inputs.metrics.component_cpu_seconds.get_or_create_owned(&labels),
        }))
    }

    fn calls(&self, name: &str, upstream: &Arc<Upstream>) -> bool {
        self.http.get(name).is_some_and(|known| Arc::ptr_eq(known, upstream))
    }

    /// What the store of an instance is to hold that serves the request of this id.
    fn guest(&self, permit: OwnedSemaphorePermit, fate: &Fate, outgoing: &Outgoing) -> Guest {
        let id = outgoing.headers.get(REQUEST_ID);
        let output = || {
            let id = id.and_then(|id| id.to_str().ok()).unwrap_or("");
            Output::new(self.log.clone(), self.upstream.clone(), id)
        };
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output()).stderr(output()).allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        for (name, value) in &self.config.environment {
            wasi.env(name, value);
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let calls = Calls {
            upstreams: self.http.clone(),
            running: Arc::new(Semaphore::new(CALLS_MAX)),
            fate: fate.clone(),
            id: id.cloned(),
            metrics: self.metrics.clone(),
        };
        let memory = MemoryLimiter::new(self.config.memory.as_usize());
        Guest { wasi: wasi.build(), http, table, calls, memory, _place: Place::new(permit, &self.instances) }
    }

    /// Starts an instance, which ends with the handle.
    fn start(&self, guest: Guest, fate: Fate, asked: Asked) -> AbortOnDropHandle<()> {
        let (engine, pre) = (self.engine.clone(), self.pre.clone());
        let ComponentConfig { deadline, cpu, .. } = &self.config;
        let bounds = Bounds { deadline: deadline.0, cpu: cpu.0, cpu_seconds: self.cpu_seconds.clone() };
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut store = store(&engine, guest);
            // Dropped before the store is, and with it the bodies that the instance has not finished.
            let running = Running::new(fate);
            let result = run(&mut store, &pre, asked, bounds).await;
            running.end(result);
        }))
    }

    async fn answer(self: Arc<Self>, outgoing: Outgoing, body: Body) -> Result<Answer, Error> {
        let permit = self.places.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Error::new(Reason::UpstreamBusy, "every instance that it may have is in use"))?;
        let fate = Fate::default();
        let guest = self.guest(permit, &fate, &outgoing);
        let scheme = match outgoing.headers.get(FORWARDED_PROTO).map(|scheme| scheme.as_bytes()) {
            Some(b"https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let spoilt = Arc::<OnceLock<Error>>::default();
        let method = outgoing.method.clone();
        let request = self.request(outgoing, body, spoilt.clone())?;
        let (respond, responded) = oneshot::channel();
        let guest = self.start(guest, fate.clone(), Asked { request, scheme, respond });
        let failed = match responded.await {
            Ok(Ok(response)) => match fate.fault() {
                // Nothing of the response has gone out yet: an error says more than half of it.
                Some(fault) => fault,
                None => return received((response, &method), fate, guest),
            },
            // It may hold a text of the component's, of any length.
            Ok(Err(code)) => {
                let code: String = format!("{code:?}").chars().take(CODE_MAX).collect();
                Error::new(Reason::UpstreamBroken, format!("the component says {code}"))
            }
            Err(_) => fate.fault().unwrap_or_else(|| broken("ended without a response")),
        };
        // What the client did wrong is not the component's fault.
        Err(spoilt.get().cloned().unwrap_or(failed))
    }

    /// The request as the component sees it. What goes wrong with its body is noted.
    fn request(
        &self,
        outgoing: Outgoing,
        body: Body,
        spoilt: Arc<OnceLock<Error>>,
    ) -> Result<Request<WasiBody>, Error> {
        let internal = |_| Error::new(Reason::Internal, "the request has no form that a component could read");
        let authority = outgoing.authority.as_deref().unwrap_or(&self.upstream);
        let authority = Authority::try_from(authority).unwrap_or(Authority::from_static("component"));
        let uri = Uri::builder().scheme("http").authority(authority).path_and_query(outgoing.target);
        let body = body.map_err(move |error| {
            let answer = told(&error);
            if spoilt.set(error).is_err() {
                tracing::debug!("a request's body failed twice");
            }
            answer
        });
        let mut request = Request::new(body.boxed_unsync());
        *request.method_mut() = outgoing.method;
        *request.uri_mut() = uri.build().map_err(internal)?;
        *request.headers_mut() = outgoing.headers;
        request.headers_mut().remove(HOST);
        Ok(request)
    }
}

fn link(inputs: &ComponentInputs<'_>) -> anyhow::Result<(Engine, ProxyPre<Guest>)> {
    let (engine, component) = inputs.compiler.component(&inputs.plugin, &inputs.plugins.compiler)?;
    let pre = linker(&engine).and_then(|linker| linker.instantiate_pre(&component)).and_then(ProxyPre::new);
    Ok((engine, pre.map_err(anyhow::Error::from)?))
}

/// The response of an instance to a request of this method; it goes on to write its body.
fn received(
    (response, asked): (Response<WasiBody>, &Method),
    fate: Fate,
    guest: AbortOnDropHandle<()>,
) -> Result<Answer, Error> {
    let (parts, body) = response.into_parts();
    if !(200..600).contains(&parts.status.as_u16()) {
        return Err(broken("its status is none of a response"));
    }
    if parts.headers.len() > FIELDS_MAX {
        return Err(broken("its response has too many header fields"));
    }
    if asked == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        // RFC 9110 §6.4.1: such a response has no body, whatever its headers say. The instance finds its stream closed.
        drop(guest.detach());
        let source = Source::Made(Box::pin(Empty::new().map_err(|never| match never {})));
        return Ok(Answer { response: Response::from_parts(parts, source), release: None });
    }
    let body = GuestBody::new(body, &parts.headers, fate, Some(guest))?;
    Ok(Answer { response: Response::from_parts(parts, body.source()), release: None })
}

impl Handler for Component {
    fn address(&self) -> &Arc<str> {
        &self.address
    }

    fn handle(self: Arc<Self>, outgoing: Outgoing, body: Body) -> BoxFuture<'static, Result<Answer, Error>> {
        self.answer(outgoing, body).boxed()
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Component").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
