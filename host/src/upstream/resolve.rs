//! Looks names up, off the request path: a request only ever sees what is known already.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::time::Instant;

use super::endpoint::{Endpoint, Place};
use super::site::Site;
use crate::config::{DnsConfig, Resolution};

/// What a name stands for.
pub(super) struct Found {
    pub(super) peers: Vec<Peer>,
    /// How long that is so.
    pub(super) ttl: Duration,
}

/// One address behind a name. SRV records (RFC 2782) have a weight and a priority of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    srv: Option<(u16, u16)>,
}

/// What is known of one site's name.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// When to look it up again; at once if absent.
    pub(super) due: Option<Instant>,
    /// Whether a look-up is under way.
    pub(super) asked: bool,
    /// When it was last found.
    pub(super) found: Option<Instant>,
    /// The endpoints of its addresses, where each is one.
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Why it was not found the last time.
    pub(super) fault: Option<String>,
}

/// Targets of a service that are looked up.
const TARGETS_MAX: usize = 256;

/// Looks up what a site names.
///
/// # Errors
/// Why it is not known, for the log.
pub(super) async fn look_up(site: &Site, config: &DnsConfig) -> Result<Found, String> {
    let Some(name) = site.name() else { return Err("it has no name".to_owned()) };
    // A resolver of its own each time: it reads what the system's configuration and hosts file say now.
    let resolver = resolver(config)?;
    let mut found = if site.resolution == Resolution::Srv {
        services(&resolver, name).await?
    } else {
        let (addresses, ttl) = addresses(&resolver, name).await?;
        let peer = |address| Peer { address: SocketAddr::new(address, site.port), srv: None };
        Found { peers: addresses.into_iter().map(peer).collect(), ttl }
    };
    if found.peers.is_empty() {
        return Err("it has no address".to_owned());
    }
    if site.resolution != Resolution::One {
        found.peers.sort_unstable();
        found.peers.dedup();
    }
    Ok(found)
}

fn resolver(config: &DnsConfig) -> Result<TokioResolver, String> {
    let system = TokioResolver::builder_tokio();
    let mut builder = if config.servers.is_empty() {
        system.map_err(|error| format!("the system's resolver: {error}"))?
    } else {
        let servers = config.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.to_vec())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = ResolverOpts::default();
        builder
    };
    let options = builder.options_mut();
    options.timeout = config.timeout.0;
    options.attempts = 1;
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().map_err(|error| error.to_string())
}

/// The addresses of a name, families in turn, the sixth first (RFC 8305 §4).
async fn addresses(resolver: &TokioResolver, name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
    let found = resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
    let ttl = found.valid_until().saturating_duration_since(std::time::Instant::now());
    let (mut sixth, mut fourth): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().partition(IpAddr::is_ipv6);
    sixth.dedup();
    fourth.dedup();
    let (mut sixth, mut fourth) = (sixth.into_iter(), fourth.into_iter());
    let mut addresses = Vec::new();
    loop {
        let before = addresses.len();
        addresses.extend(sixth.next());
        addresses.extend(fourth.next());
        if addresses.len() == before {
            return Ok((addresses, ttl));
        }
    }
}

async fn services(resolver: &TokioResolver, name: &str) -> Result<Found, String> {
    let found = resolver.srv_lookup(name).await.map_err(|error| error.to_string())?;
    let mut ttl = found.valid_until().saturating_duration_since(std::time::Instant::now());
    let mut peers = Vec::new();
    let mut fault = None;
    for record in found.answers().iter().take(TARGETS_MAX) {
        let RData::SRV(service) = &record.data else { continue };
        match addresses(resolver, &service.target.to_utf8()).await {
            Ok((addresses, of_target)) => {
                ttl = ttl.min(of_target);
                let srv = Some((service.priority, service.weight));
                let peer = |address| Peer { address: SocketAddr::new(address, service.port), srv };
                peers.extend(addresses.into_iter().map(peer));
            }
            Err(error) => fault = Some(format!("{}: {error}", service.target)),
        }
    }
    match fault {
        Some(fault) if peers.is_empty() => Err(fault),
        _ => Ok(Found { peers, ttl }),
    }
}

impl Peer {
    pub(super) const fn place(&self) -> Place {
        Place::Tcp(self.address)
    }

    /// The endpoint of this address: the one there is, if nothing of it changed.
    pub(super) fn endpoint(&self, site: &Site, known: &[Arc<Endpoint>], is_new: bool) -> Arc<Endpoint> {
        let mut site = site.clone();
        if let Some((priority, weight)) = self.srv {
            site.priority = site.priority.saturating_add(u8::try_from(priority).unwrap_or(u8::MAX));
            site.weight = u32::from(weight).max(1);
        }
        let address = self.address.to_string();
        let same = known.iter().find(|endpoint| {
            *endpoint.address == *address && endpoint.weight == site.weight && endpoint.priority == site.priority
        });
        match same {
            Some(endpoint) => endpoint.clone(),
            None => Arc::new(Endpoint::new(&site, &address, vec![self.place()], is_new)),
        }
    }
}
