//! The operator's address: health, readiness, metrics, status, reload, upgrade.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::proxy::Gateway;
use crate::reload::{Outcome, ReloadHandle, Status, endpoints};
use crate::server::Upgrader;
use crate::telemetry::EndpointLabels;

/// What the operator's address speaks of.
#[derive(Clone)]
pub struct Admin {
    /// What is served.
    pub gateway: Arc<Gateway>,
    /// Who looks for changes.
    pub reload: ReloadHandle,
    /// Who starts successors.
    pub upgrader: Arc<Upgrader>,
    /// Requests under way.
    pub requests: TaskTracker,
}

/// Takes the operator's address, or what a predecessor had there.
///
/// # Errors
/// An address that cannot be taken.
pub fn bind(address: SocketAddr, inherited: Option<OwnedFd>) -> anyhow::Result<std::net::TcpListener> {
    let listener = match inherited {
        Some(socket) => std::net::TcpListener::from(socket),
        None => std::net::TcpListener::bind(address).with_context(|| format!("listen on {address} (admin)"))?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

type Answer = Response<Full<Bytes>>;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

impl Admin {
    /// Serves an address until a successor does.
    ///
    /// # Errors
    /// Where the runtime does not take the socket.
    pub fn start(self, listener: std::net::TcpListener) -> anyhow::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "admin listening");
        let mut handed_over = self.upgrader.handed_over();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = handed_over.wait_for(|over| *over) => return,
                };
                match accepted {
                    Ok((stream, _)) => drop(self.requests.spawn(self.clone().serve(stream))),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept (admin)");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
        Ok(())
    }

    async fn serve(self, stream: tokio::net::TcpStream) {
        let service = service_fn(move |request| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(admin.answer(request).await) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "admin connection ended");
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/health") => text(StatusCode::OK, "ok\n"),
            (&Method::GET, "/ready") if self.gateway.draining.load(Ordering::Relaxed) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            (&Method::GET, "/ready") => text(StatusCode::OK, "ready\n"),
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, "/status") => {
                let mut status = json!(self.status());
                status["overload"] = json!(self.gateway.pressure());
                status["upgrade_failure"] = json!(self.upgrader.failure());
                document(StatusCode::OK, &status)
            }
            (&Method::POST, "/reload") => self.look().await,
            (&Method::POST, "/upgrade") => self.upgrade().await,
            (_, "/health" | "/ready" | "/metrics" | "/status" | "/reload" | "/upgrade") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
            }
            _ => text(StatusCode::NOT_FOUND, "there are /health, /ready, /metrics, /status, /reload and /upgrade\n"),
        }
    }

    /// What the reloader last saw, with the endpoints as they are now.
    fn status(&self) -> Status {
        Status { upstreams: endpoints(&self.gateway.snapshot.load()), ..self.reload.status() }
    }

    fn metrics(&self) -> Answer {
        let shared = &self.gateway.shared;
        self.gateway.pressure().tell(&shared.metrics);
        shared.compiler.engine().observe(&shared.metrics);
        self.observe_endpoints();
        self.gateway.snapshot.load().observe(&shared.metrics);
        let dropped = i64::try_from(self.gateway.access_log.dropped()).unwrap_or(i64::MAX);
        shared.metrics.access_log_dropped.set(dropped);
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer(StatusCode::OK, content_type, shared.metrics.text())
    }

    /// Endpoints by state, as they are now.
    fn observe_endpoints(&self) {
        let states = &self.gateway.shared.metrics.upstream_endpoints;
        states.clear();
        for (name, entry) in &self.gateway.snapshot.load().upstreams {
            for endpoint in entry.upstream.endpoints() {
                let labels = EndpointLabels { upstream: name.clone(), state: endpoint.state().word() };
                states.get_or_create(&labels).inc();
            }
        }
    }

    async fn upgrade(self) -> Answer {
        match tokio::task::spawn_blocking(move || self.upgrader.upgrade()).await {
            Ok(Ok(pid)) => document(StatusCode::OK, &json!({ "result": "handed-over", "pid": pid })),
            Ok(Err(error)) => {
                let error = format!("{error:#}");
                document(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "result": "failed", "error": error }))
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    async fn look(self) -> Answer {
        let reload = self.reload.clone();
        match tokio::task::spawn_blocking(move || reload.reload()).await {
            Ok(Ok(outcome)) => {
                let generation = self.reload.status().generation;
                match outcome {
                    Outcome::Applied => {
                        document(StatusCode::OK, &json!({ "result": "applied", "generation": generation }))
                    }
                    Outcome::Unchanged => {
                        document(StatusCode::OK, &json!({ "result": "unchanged", "generation": generation }))
                    }
                    Outcome::Refused(faults) => document(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        &json!({ "result": "refused", "generation": generation, "faults": faults }),
                    ),
                }
            }
            Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

fn document(status: StatusCode, document: &serde_json::Value) -> Answer {
    answer(status, "application/json", format!("{document:#}\n"))
}

fn text(status: StatusCode, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.to_owned())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
