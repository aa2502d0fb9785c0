//! Asks a registry for a manifest and a blob (OCI distribution specification 1.1), with a token where it wants one.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Deserialize;

use super::image::{MANIFEST, MANIFEST_MAX};
use crate::body::{Body, gather_apart};
use crate::config::{Digest, EndpointConfig, RegistryConfig, UpstreamConfig, UpstreamProtocol};
use crate::error::{Error, Reason};
use crate::telemetry::Metrics;
use crate::upstream::{Answer, Outgoing, Upstream, Wish};

/// One image in a registry.
pub(super) struct Registry<'a> {
    config: &'a RegistryConfig,
    folder: &'a Path,
    metrics: &'a Arc<Metrics>,
    base: String,
    repository: &'a str,
    authorization: Option<HeaderValue>,
}

/// What a registry says instead of an answer (RFC 9110 §11.6.1).
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// Blobs are often kept elsewhere than the registry.
const REDIRECTS_MAX: u32 = 3;
const TOKEN_MAX: u64 = 64 << 10;

impl<'a> Registry<'a> {
    /// A registry as configured.
    ///
    /// # Errors
    /// What is wrong with the image's name.
    pub(super) fn new(config: &'a RegistryConfig, folder: &'a Path, metrics: &'a Arc<Metrics>) -> anyhow::Result<Self> {
        let (host, repository) = config.image.split_once('/').context("an image is HOST[:PORT]/REPOSITORY")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        if host.is_empty() || repository.is_empty() || !repository.bytes().all(plain) {
            bail!("an image is HOST[:PORT]/REPOSITORY, without a tag");
        }
        let scheme = if config.insecure { "http" } else { "https" };
        let base = format!("{scheme}://{host}");
        Ok(Self { config, folder, metrics, base, repository, authorization: None })
    }

    /// The bytes that the configured digest names, unchecked.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(super) async fn manifest(&mut self) -> anyhow::Result<Bytes> {
        let url = format!("{}/v2/{}/manifests/{}", self.base, self.repository, self.config.digest);
        self.get(&url, MANIFEST, MANIFEST_MAX).await
    }

    /// A blob's bytes, unchecked.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(super) async fn blob(&mut self, digest: &Digest, max: u64) -> anyhow::Result<Bytes> {
        let url = format!("{}/v2/{}/blobs/{digest}", self.base, self.repository);
        self.get(&url, "application/octet-stream", max).await
    }

    /// Asks, and once more with a token where one is wanted.
    async fn get(&mut self, url: &str, accept: &str, max: u64) -> anyhow::Result<Bytes> {
        let answer = self.follow(url, accept).await?;
        let answer = if answer.response.status() == StatusCode::UNAUTHORIZED {
            let challenge = answer.response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            let challenge = Challenge::read(challenge.context("401 without a challenge")?);
            self.authorization = Some(self.authorize(&challenge).await?);
            self.follow(url, accept).await?
        } else {
            answer
        };
        read(answer, max).await.with_context(|| url.to_owned())
    }

    /// Asks there, or where it is sent on to. Only the registry itself is told who asks.
    async fn follow(&self, url: &str, accept: &str) -> anyhow::Result<Answer> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let own = url.starts_with(&format!("{}/", self.base));
            let answer = self.ask(&url, accept, self.authorization.as_ref().filter(|_| own)).await?;
            if !answer.response.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.with_context(|| format!("{url} sends on to nowhere"))?;
            url = match location.strip_prefix('/') {
                Some(path) => format!("{}/{path}", origin_of(&url)?),
                None => location.to_owned(),
            };
        }
        bail!("more than {REDIRECTS_MAX} redirects")
    }

    async fn ask(&self, url: &str, accept: &str, authorization: Option<&HeaderValue>) -> anyhow::Result<Answer> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        let is_loopback = uri.host().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
        if uri.scheme_str() != Some("https") && !(self.config.insecure && is_loopback) {
            bail!("{url} is not https, and `insecure` is for loopback addresses only");
        }
        let config = UpstreamConfig {
            endpoints: vec![EndpointConfig::at(origin_of(url)?)],
            protocol: UpstreamProtocol::Http1,
            tls: self.config.tls.clone(),
            timeouts: self.config.timeouts.clone(),
            idle_connections: 0,
            ..UpstreamConfig::default()
        };
        let upstream = Upstream::build(&self.config.image, &config, self.folder, self.metrics);
        let upstream = upstream.map_err(|faults| {
            anyhow::anyhow!(faults.into_iter().map(|(_, message)| message).collect::<Vec<_>>().join("; "))
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept)?);
        headers.extend(authorization.map(|value| (AUTHORIZATION, value.clone())));
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let outgoing = Outgoing { method: Method::GET, target, authority: None, headers, proxied: None };
        let upstream = Arc::new(upstream);
        upstream.resolve().await;
        let picked = upstream.pick(&Wish::default())?;
        let sent = upstream.send(picked, outgoing, Body::empty(), None).await;
        sent.map_err(Error::from).with_context(|| url.to_owned())
    }

    /// What satisfies a challenge.
    async fn authorize(&self, challenge: &Challenge) -> anyhow::Result<HeaderValue> {
        let basic = self.config.username.as_ref().map(|name| {
            let password = self.config.password.as_deref().unwrap_or_default();
            format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
        });
        let mut basic = basic.map(|basic| HeaderValue::from_str(&basic)).transpose()?;
        if let Some(basic) = &mut basic {
            basic.set_sensitive(true);
        }
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return basic.context("the registry wants a user name and a password");
        }
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            bail!("the registry wants {:?}, which is not known", challenge.scheme);
        }
        let realm = challenge.parameter("realm").context("a challenge without a realm")?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in ["service", "scope"] {
            if let Some(value) = challenge.parameter(name) {
                query.append_pair(name, value);
            }
        }
        let joint = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{joint}{}", query.finish());
        let bytes = read(self.ask(&url, "application/json", basic.as_ref()).await?, TOKEN_MAX).await;
        let bytes = bytes.with_context(|| format!("ask {realm} for a token"))?;
        let Token { token } = serde_json::from_slice(&bytes).context("the token's answer has no token")?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

async fn read(answer: Answer, max: u64) -> anyhow::Result<Bytes> {
    let Answer { response, release } = answer;
    if response.status() != StatusCode::OK {
        bail!("answered {}", response.status());
    }
    let body = Body::from_upstream(response.into_body(), IDLE, release);
    let gathered = gather_apart(body, max, Reason::UpstreamTooLarge).await;
    gathered.map(crate::body::Content::into_bytes).map_err(|error| match error.reason {
        Reason::UpstreamTooLarge => anyhow::anyhow!("is larger than {max} bytes"),
        _ => error.into(),
    })
}

/// Between two reads of a body.
const IDLE: std::time::Duration = std::time::Duration::from_secs(20);

/// Scheme and authority of a URL.
fn origin_of(url: &str) -> anyhow::Result<String> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => Ok(format!("{scheme}://{authority}")),
        _ => bail!("{url:?} is no absolute URL"),
    }
}

impl Challenge {
    /// The first challenge of a header.
    fn read(text: &str) -> Self {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text, ""));
        let mut parameters = Vec::new();
        while let Some((name, value)) = rest.split_once('=') {
            let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => value.split_once(',').unwrap_or((value, "")),
            };
            parameters.push((name, value.to_owned()));
            rest = after;
        }
        Self { scheme: scheme.to_owned(), parameters }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn a_challenge_is_read_with_commas_inside_of_quotes() {
        let challenge = Challenge::read(
            r#"Bearer realm="https://auth.test/token",service="registry.test", scope="repository:a/b:pull,push",x=1"#,
        );
        assert_eq!(challenge.scheme, "Bearer");
        let expected = [
            ("realm", Some("https://auth.test/token")),
            ("service", Some("registry.test")),
            ("scope", Some("repository:a/b:pull,push")),
            ("x", Some("1")),
            ("error", None),
        ];
        for (name, value) in expected {
            assert_eq!(challenge.parameter(name), value, "{name}");
        }
        for odd in ["", "Basic", "Bearer realm", "Bearer realm=\"open"] {
            assert_eq!(Challenge::read(odd).parameter("scope"), None, "{odd}");
        }
    }
}
