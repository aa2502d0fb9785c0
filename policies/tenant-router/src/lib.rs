//! Sends each tenant to its upstream.

mod destination;
mod origin;

use std::collections::BTreeMap;

use gatewright_sdk::{Decision, Exchange, Failure, Policy, Problem, Reply, export, problem};
use schemars::JsonSchema;
use serde::Deserialize;

use destination::{Destination, Otherwise};
use origin::Origin;

/// Settings of `tenant-router`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the name of the tenant comes from.
    by: Origin,
    /// With `by: claim`: the claim's name, the NAME of `auth.claim.NAME`.
    claim: Option<String>,
    /// With `by: header`: the header.
    header: Option<String>,
    /// With `by: host` or `by: path`: which label or segment, from 0 on the left.
    #[serde(default)]
    index: usize,
    /// With `by: principal`: the tenant of each principal.
    #[serde(default)]
    principals: BTreeMap<String, String>,
    /// The upstream of each tenant; short for `tenants` with an upstream alone.
    #[serde(default)]
    upstreams: BTreeMap<String, String>,
    /// What is done to the requests of each tenant.
    #[serde(default)]
    tenants: BTreeMap<String, Destination>,
    /// What is done to a request of no known tenant.
    #[serde(default)]
    default: Otherwise,
    /// With `by: header`: leave the header in the request that goes to the upstream.
    #[serde(default)]
    forward: bool,
}

/// The policy.
pub struct TenantRouter(Settings);

impl Policy for TenantRouter {
    type Config = Settings;
    const SUMMARY: &'static str = "Sends each tenant to its upstream";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, at: &str, message: &str| {
            if !holds {
                problems.push(problem(at, message));
            }
        };
        require(settings.by.is_claim() == settings.claim.is_some(), "/claim", "`by: claim` and `claim` go together");
        require(
            settings.by.is_header() == settings.header.is_some(),
            "/header",
            "`by: header` and `header` go together",
        );
        require(
            settings.by.is_principal() != settings.principals.is_empty(),
            "/principals",
            "`by: principal` and `principals` go together",
        );
        let nobody = settings.upstreams.is_empty() && settings.tenants.is_empty();
        require(!nobody || settings.default.is_route(), "", "no tenant is known: fill `upstreams` or `tenants`");
        for name in settings.upstreams.keys() {
            let message = "this tenant is under `tenants` too; say its upstream there";
            require(!settings.tenants.contains_key(name), &format!("/upstreams/{name}"), message);
        }
        let all = settings.tenants.iter().map(|(name, tenant)| (format!("/tenants/{name}"), tenant));
        for (at, tenant) in all.chain(settings.default.destination().map(|tenant| ("/default".to_owned(), tenant))) {
            require(
                tenant.path_is_absolute(),
                &format!("{at}/path"),
                "both prefixes start with `/` and do not end with it",
            );
        }
        problems
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let name = self.0.tenant_name(exchange);
        if let (Some(header), false) = (&self.0.header, self.0.forward) {
            exchange.request_headers().remove(header)?;
        }
        if let Some(name) = &name {
            if let Some(destination) = self.0.tenants.get(name) {
                exchange.put_metadata_text("tenant.name", name)?;
                destination.apply(exchange)?;
                return Ok(Decision::Detach);
            }
            if let Some(upstream) = self.0.upstreams.get(name) {
                exchange.put_metadata_text("tenant.name", name)?;
                destination::choose(exchange, upstream)?;
                return Ok(Decision::Detach);
            }
        }
        // `tenant.name` stays unset: a name that nobody configured is not to be trusted.
        if let Some(destination) = self.0.default.destination() {
            destination.apply(exchange)?;
            return Ok(Decision::Detach);
        }
        Ok(Decision::Answer(Reply::error(403, "unknown-tenant", "this request belongs to no known tenant")))
    }
}

export!(TenantRouter: on_request);
