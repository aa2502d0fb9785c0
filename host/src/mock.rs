//! An upstream that needs no provider: speaks OpenAI, Anthropic and plain HTTP, with answers known beforehand.

mod answer;
mod anthropic;
mod body;
mod openai;
mod plain;
mod received;
mod settings;
mod tally;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

pub use settings::Settings;

use body::{Reply, Script};
use received::Received;
use tally::Tally;

/// Arguments of `gatewright mock`.
#[derive(Debug, clap::Args)]
pub struct MockArgs {
    /// IP address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9000")]
    pub address: SocketAddr,
    /// How it behaves.
    #[command(flatten)]
    pub settings: Settings,
}

/// Serves until the process is interrupted.
///
/// # Errors
/// If the address cannot be bound.
pub async fn run(args: MockArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.address).await.with_context(|| format!("bind {}", args.address))?;
    let address = listener.local_addr().context("read the mock's address")?;
    info!(configured = %args.address, %address, tls = false, "listening");
    tokio::select! {
        () = serve(listener, args.settings) => Ok(()),
        interrupt = tokio::signal::ctrl_c() => interrupt.context("wait for an interrupt"),
    }
}

/// Serves a listener for ever; dropping the future ends accepting, not the connections there are.
pub async fn serve(listener: TcpListener, settings: Settings) {
    let mock = Arc::new(Mock { settings, tally: Tally::default() });
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let mock = Arc::clone(&mock);
                tokio::spawn(async move {
                    converse(stream, mock).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Mock {
    settings: Settings,
    tally: Tally,
}

async fn converse(stream: TcpStream, mock: Arc<Mock>) {
    let service = service_fn(move |request| {
        let mock = Arc::clone(&mock);
        async move { Ok::<_, Infallible>(respond(&mock, request).await) }
    });
    let ended = match stream.set_nodelay(true) {
        Ok(()) if speaks_http2(&stream).await => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await
        }
        _ => {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}

/// Whether the client begins with the preface of HTTP/2 (RFC 9113 §3.4): no method of HTTP/1 begins with "PRI".
async fn speaks_http2(stream: &TcpStream) -> bool {
    let mut start = [0; 3];
    for _ in 0..PREFACE_LOOKS_MAX {
        match stream.peek(&mut start).await {
            Ok(3) => return &start == b"PRI",
            Ok(count) if count > 0 && b"PRI".starts_with(start.get(..count).unwrap_or_default()) => {
                tokio::time::sleep(PREFACE_PAUSE).await;
            }
            _ => return false,
        }
    }
    false
}

async fn respond(mock: &Mock, request: Request<Incoming>) -> Response<Reply> {
    if request.uri().path() == "/mock/requests" {
        return mock.tally.report(request.uri().query()).await.map(Script::unwatched);
    }
    let watch = mock.tally.begin();
    let settings = mock.settings.for_request(request.headers(), watch.number());
    let Some(received) = Received::read(request).await else {
        return Response::new(Script::whole("").unwatched());
    };
    tokio::time::sleep(settings.delay()).await;
    let bodiless = received.method == http::Method::HEAD;
    let response = answer_to(&received, &settings);
    if bodiless || response.status() == 204 || response.status() == 304 {
        watch.finish();
        return response.map(Script::unwatched);
    }
    response.map(|script| script.play(&settings, watch))
}

fn answer_to(received: &Received, settings: &Settings) -> Response<Script> {
    let mut response = match (received.method.as_str(), received.uri.path()) {
        ("GET", "/v1/models") if received.headers.contains_key("anthropic-version") => {
            anthropic::models(received, settings)
        }
        ("POST", "/v1/messages") => anthropic::messages(received, settings),
        ("POST", "/v1/messages/count_tokens") => anthropic::count_tokens(received, settings),
        ("GET", "/v1/models") => openai::models(received, settings),
        ("POST", "/v1/chat/completions") => openai::chat(received, settings),
        ("POST", "/v1/embeddings") => openai::embeddings(received, settings),
        (_, path) => plain::answer(path, received, settings),
    };
    if let Some(value) = settings.retry_after.as_deref().and_then(|text| http::HeaderValue::from_str(text).ok()) {
        response.headers_mut().insert(http::header::RETRY_AFTER, value);
    }
    response
}

const CONNECTIONS_MAX: usize = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const PREFACE_PAUSE: Duration = Duration::from_millis(1);
const PREFACE_LOOKS_MAX: usize = 10_000;
