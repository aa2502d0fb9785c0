//! Access tokens for upstreams: fetched beside the requests, one at a time, and anew before they end.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::credential::Fault;
use super::grant::Grant;
use super::{Outgoing, Upstream, Wish};
use crate::body::{Body, gather_apart};
use crate::config::{CredentialConfig, EndpointConfig, UpstreamConfig, UpstreamTlsConfig};
use crate::error::{Error, Reason};
use crate::telemetry::Metrics;

/// Where the tokens of one upstream come from, and the newest of them.
pub(super) struct TokenSource {
    upstream: String,
    grant: Grant,
    client: Client,
    schedule: Mutex<Schedule>,
    state: watch::Sender<State>,
}

/// How the token endpoint is reached.
struct Client {
    /// What it is called in logs and metrics.
    name: String,
    config: UpstreamConfig,
    target: String,
    folder: std::path::PathBuf,
    metrics: Arc<Metrics>,
}

/// When the next token is fetched.
#[derive(Debug, Default)]
struct Schedule {
    due: Option<Instant>,
    under_way: bool,
    /// Failures in a row.
    failures: u32,
}

/// What requests see.
#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Whether the last fetch failed.
    failed: bool,
}

struct Token {
    value: HeaderValue,
    until: Instant,
}

/// What a token endpoint answers (RFC 6749 §5.1).
#[derive(Deserialize)]
struct Answer {
    access_token: Zeroizing<String>,
    token_type: Option<String>,
    expires_in: Option<u64>,
}

/// What a token endpoint says of a failure (RFC 6749 §5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// How long a request waits for the first token.
const WAIT: Duration = Duration::from_secs(10);
/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The wait after a first failure; twice as long after each further one.
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The next token is fetched so long before the end of the last, or a fifth of its time if that is less.
const AHEAD_MAX: Duration = Duration::from_secs(300);
/// A token is not used any more so long before its end: it has to arrive, and clocks differ.
const SPARE_MAX: Duration = Duration::from_secs(10);
/// What a token without `expires_in` is good for.
const LIFETIME: u64 = 300;
const LIFETIME_MAX: u64 = 24 * 3600;
const ANSWER_MAX: u64 = 64 << 10;

impl TokenSource {
    /// A source as configured, and a hash of the files that it was made with.
    ///
    /// # Errors
    /// What is wrong, with a pointer into the upstream.
    pub(super) fn parse(
        upstream: &str,
        credential: &CredentialConfig,
        (folder, metrics): (&Path, &Arc<Metrics>),
    ) -> Result<(Self, u64), Fault> {
        let (grant, (at, url), tls, files) = Grant::parse(credential, folder)?;
        let client = Client::new(format!("{upstream} (token)"), &url, tls, (folder, metrics));
        let client = client.map_err(|message| (format!("/credential{at}"), message))?;
        let (schedule, state) = (Mutex::default(), watch::Sender::default());
        Ok((Self { upstream: upstream.to_owned(), grant, client, schedule, state }, files))
    }

    /// The value of `authorization`; waits for the first token.
    ///
    /// # Errors
    /// `CredentialUnavailable`.
    pub(super) async fn value(&self) -> Result<HeaderValue, Error> {
        let mut states = self.state.subscribe();
        let settled = tokio::time::timeout(WAIT, states.wait_for(|state| state.failed || state.value().is_some()));
        let value = match settled.await {
            Ok(Ok(state)) => state.value().cloned(),
            Ok(Err(_)) | Err(_) => None,
        };
        value.ok_or_else(|| Error::new(Reason::CredentialUnavailable, "there is no access token"))
    }

    /// How it stands, for the operator.
    pub(super) fn word(&self) -> &'static str {
        let state = self.state.borrow();
        match (state.value().is_some(), state.failed) {
            (true, false) => "valid",
            (true, true) => "failing",
            (false, false) => "fetching",
            (false, true) => "unavailable",
        }
    }

    /// Fetches a token if one is due, without waiting.
    pub(super) fn refresh(self: &Arc<Self>) {
        {
            let mut schedule = self.schedule.lock();
            if schedule.under_way || schedule.due.is_some_and(|due| due > Instant::now()) {
                return;
            }
            schedule.under_way = true;
        }
        let source = self.clone();
        tokio::spawn(async move {
            let fetched = tokio::time::timeout(PATIENCE, source.fetch()).await;
            let fetched = fetched.unwrap_or_else(|_| Err("it took too long".to_owned()));
            let pause = source.note(fetched);
            let mut schedule = source.schedule.lock();
            schedule.under_way = false;
            schedule.due = Some(Instant::now() + pause);
        });
    }

    /// Keeps a token, or the fact that there is none; how long to wait before the next fetch.
    fn note(&self, fetched: Result<(HeaderValue, Duration), String>) -> Duration {
        let upstream = &*self.upstream;
        let mut schedule = self.schedule.lock();
        match fetched {
            Ok((value, lifetime)) => {
                schedule.failures = 0;
                let until = Instant::now() + (lifetime - SPARE_MAX.min(lifetime / 20));
                self.state.send_replace(State { token: Some(Token { value, until }), failed: false });
                tracing::debug!(upstream, lifetime_s = lifetime.as_secs(), "access token fetched");
                lifetime - AHEAD_MAX.min(lifetime / 5)
            }
            Err(error) => {
                let pause = BACKOFF.saturating_mul(1 << schedule.failures.min(16)).min(BACKOFF_MAX);
                schedule.failures += 1;
                // A token that is still good serves on.
                self.state.send_modify(|state| state.failed = true);
                tracing::warn!(upstream, error, "access token cannot be fetched");
                pause.mul_f64(0.75 + fastrand::f64() / 4.0)
            }
        }
    }

    async fn fetch(&self) -> Result<(HeaderValue, Duration), String> {
        let form = self.grant.form(SystemTime::now())?;
        let (status, bytes) = self.client.post(form).await?;
        if status != StatusCode::OK {
            // Its description may repeat what was sent.
            let said = serde_json::from_slice::<Refusal>(&bytes).map(|refusal| refusal.error).unwrap_or_default();
            let is_code = said.len() <= 64 && said.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            return Err(format!("the token endpoint answered {}", status.as_u16())
                + &match said.as_str() {
                    "" => String::new(),
                    code if is_code => format!(": {code}"),
                    _ => ": in words of its own".to_owned(),
                });
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| "the token endpoint's answer has no token")?;
        if answer.token_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err("the token is no bearer token".to_owned());
        }
        let text = Zeroizing::new(format!("Bearer {}", *answer.access_token));
        let mut value = HeaderValue::from_str(&text).map_err(|_| "the token fits no header")?;
        value.set_sensitive(true);
        Ok((value, Duration::from_secs(answer.expires_in.unwrap_or(LIFETIME).clamp(1, LIFETIME_MAX))))
    }
}

impl State {
    fn value(&self) -> Option<&HeaderValue> {
        self.token.as_ref().filter(|token| token.until > Instant::now()).map(|token| &token.value)
    }
}

impl Client {
    fn new(
        name: String,
        url: &str,
        tls: &UpstreamTlsConfig,
        (folder, metrics): (&Path, &Arc<Metrics>),
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("{url:?} is no absolute URL"));
        };
        let is_loopback = uri.host().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
        if scheme != "https" && !is_loopback {
            return Err(format!("{url:?} is not https"));
        }
        let config = UpstreamConfig {
            endpoints: vec![EndpointConfig::at(format!("{scheme}://{authority}"))],
            tls: tls.clone(),
            idle_connections: 0,
            ..UpstreamConfig::default()
        };
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let client = Self { name, config, target, folder: folder.to_path_buf(), metrics: metrics.clone() };
        client.upstream().map(|_| client)
    }

    /// The token endpoint as an upstream: a new one each time, which knows what its name stands for by then.
    fn upstream(&self) -> Result<Arc<Upstream>, String> {
        let built = Upstream::build(&self.name, &self.config, &self.folder, &self.metrics);
        let first = |faults: Vec<Fault>| faults.into_iter().map(|(_, message)| message).next().unwrap_or_default();
        built.map(Arc::new).map_err(first)
    }

    async fn post(&self, form: Zeroizing<String>) -> Result<(StatusCode, Bytes), String> {
        let upstream = self.upstream()?;
        upstream.resolve().await;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(form.len()));
        let target = self.target.clone();
        let outgoing = Outgoing { method: Method::POST, target, authority: None, headers, proxied: None };
        let picked = upstream.pick(&Wish::default()).map_err(|error| error.to_string())?;
        let body = Body::full(Bytes::copy_from_slice(form.as_bytes()));
        // Boxed: an upstream that needs a token sends with one that needs none.
        let sent = Box::pin(upstream.send(picked, outgoing, body, Some(PATIENCE))).await;
        let answer = sent.map_err(|failed| failed.error.to_string())?;
        let status = answer.response.status();
        let body = Body::from_upstream(answer.response.into_body(), PATIENCE, answer.release);
        let bytes = gather_apart(body, ANSWER_MAX, Reason::UpstreamTooLarge).await;
        Ok((status, bytes.map_err(|error| error.to_string())?.into_bytes()))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenSource").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
