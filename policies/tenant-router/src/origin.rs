//! Where the name of the tenant comes from.

use gatewright_sdk::Exchange;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Settings;

/// Where the name of the tenant comes from.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// The tenant that authentication named (`auth.tenant`).
    Tenant,
    /// The principal that authentication named, looked up in `principals`.
    Principal,
    /// A claim (`auth.claim.NAME`); for the claim "tenant" also `auth.tenant`.
    Claim,
    /// A label of the host name.
    Host,
    /// A segment of the path.
    Path,
    /// A request header: only where every client may be trusted with it.
    Header,
}

impl Origin {
    pub(crate) fn is_claim(self) -> bool {
        self == Self::Claim
    }

    pub(crate) fn is_header(self) -> bool {
        self == Self::Header
    }

    pub(crate) fn is_principal(self) -> bool {
        self == Self::Principal
    }
}

impl Settings {
    /// The name that the request gives, known or not.
    pub(crate) fn tenant_name(&self, exchange: &Exchange) -> Option<String> {
        match self.by {
            Origin::Tenant => exchange.metadata_text("auth.tenant"),
            Origin::Principal => self.principals.get(&exchange.metadata_text("auth.principal")?).cloned(),
            Origin::Claim => {
                let claim = self.claim.as_deref()?;
                let value = exchange.metadata_text(&format!("auth.claim.{}", claim.to_ascii_lowercase()));
                value.or_else(|| if claim == "tenant" { exchange.metadata_text("auth.tenant") } else { None })
            }
            Origin::Host => {
                let authority = exchange.authority();
                let host = authority.split(':').next()?;
                host.split('.').nth(self.index).map(str::to_owned)
            }
            Origin::Path => exchange.path().split('/').skip(1).nth(self.index).map(str::to_owned),
            Origin::Header => exchange.request_header(self.header.as_deref()?).ok().flatten(),
        }
    }
}
