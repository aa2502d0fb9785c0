//! Where an upstream's endpoints come from: one entry of its configuration, which is one endpoint, or as many as its
//! name has addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;
use rustls::pki_types::ServerName;

use super::Upstream;
use super::endpoint::{Place, Terms};
use super::standing::Ejections;
use super::tls::UpstreamTls;
use crate::config::{EndpointConfig, Resolution, UpstreamConfig};
use crate::provider::Provider;
use crate::telemetry::Metrics;

/// One entry of an upstream's endpoints.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) resolution: Resolution,
    pub(super) weight: u32,
    pub(super) priority: u8,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) tls: Option<(Arc<UpstreamTls>, ServerName<'static>)>,
    pub(super) authority: Authority,
    pub(super) terms: Arc<Terms>,
}

/// What an endpoint's URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
    Unix(PathBuf),
}

const WEIGHT_MAX: u32 = 1_000;
const PRIORITY_MAX: u8 = 15;

impl Site {
    /// What an endpoint's configuration says.
    ///
    /// # Errors
    /// What is wrong, with a pointer into the endpoint.
    pub(super) fn parse(
        config: &EndpointConfig,
        upstream: &UpstreamConfig,
        (tls, terms): (Option<&Arc<UpstreamTls>>, &Arc<Terms>),
    ) -> Result<Self, (&'static str, String)> {
        if !(1..=WEIGHT_MAX).contains(&config.weight) {
            return Err(("/weight", format!("weight must be from 1 to {WEIGHT_MAX}")));
        }
        if config.priority > PRIORITY_MAX {
            return Err(("/priority", format!("priority must be from 0 to {PRIORITY_MAX}")));
        }
        let url = &config.url;
        let wrong = |what: &str| {
            let write = "write http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH";
            ("/url", format!("{url:?} {what}: {write}"))
        };
        let base = Self {
            host: Host::Unix(PathBuf::new()),
            port: 0,
            resolution: config.resolve,
            weight: config.weight,
            priority: config.priority,
            labels: config.labels.clone(),
            tls: None,
            authority: Authority::from_static("localhost"),
            terms: terms.clone(),
        };
        if let Some(path) = url.strip_prefix("unix:") {
            if !path.starts_with('/') || path.len() > SOCKET_PATH_MAX {
                return Err(wrong("has no absolute path that a socket can have"));
            }
            return Ok(Self { host: Host::Unix(path.into()), ..base });
        }
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("has another scheme")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user name"));
        }
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = match (secure, tls) {
            (true, Some(tls)) => {
                let name = upstream.tls.server_name.clone().unwrap_or_else(|| name.clone());
                let name =
                    ServerName::try_from(name).map_err(|_| wrong("has no name that a certificate could have"))?;
                Some((tls.clone(), name))
            }
            (true, None) => return Err(wrong("needs TLS, which could not be set up")),
            (false, _) => None,
        };
        let host = match name.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(name),
        };
        if config.resolve != Resolution::One && !matches!(host, Host::Name(_)) {
            return Err(("/resolve", format!("{url:?} has no name to resolve")));
        }
        Ok(Self { host, port, tls, authority, ..base })
    }

    /// What the endpoint is called, if it is one whatever its name resolves to.
    pub(super) fn address(&self) -> String {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).to_string(),
            Host::Name(name) => format!("{name}:{}", self.port),
            Host::Unix(path) => path.display().to_string(),
        }
    }

    /// Where its connections go, as far as no name has to be resolved.
    pub(super) fn places(&self) -> Vec<Place> {
        match &self.host {
            Host::Address(address) => vec![Place::Tcp(SocketAddr::new(*address, self.port))],
            Host::Unix(path) => vec![Place::Unix(path.clone())],
            Host::Name(_) => Vec::new(),
        }
    }

    /// The name that has to be resolved.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) | Host::Unix(_) => None,
        }
    }
}

/// `sun_path` on Linux, with its end.
const SOCKET_PATH_MAX: usize = 107;

impl Upstream {
    /// The same upstream, which is this provider.
    #[must_use]
    pub fn provided_by(self, provider: Option<Provider>) -> Self {
        Self { provider: provider.map(Arc::new), ..self }
    }
}

impl Terms {
    pub(super) fn of(config: &UpstreamConfig, ejections: &Arc<Ejections>, metrics: &Arc<Metrics>) -> Self {
        Self {
            protocol: config.protocol,
            connect_timeout: config.timeouts.connect.0,
            keep_alive: config.timeouts.keep_alive.0,
            idle_connections: config.idle_connections,
            proxy_protocol: config.proxy_protocol,
            outliers: config.outliers.clone(),
            ejections: ejections.clone(),
            metrics: metrics.clone(),
        }
    }
}
