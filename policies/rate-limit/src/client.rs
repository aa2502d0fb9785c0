//! Whose request it is.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use gatewright_sdk::{Exchange, Scalar};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// One thing that clients are told apart by.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trait {
    /// Who was authenticated.
    Principal,
    /// The tenant of whom was authenticated.
    Tenant,
    /// The client's address; of IPv6 the network, as one client has a whole /64.
    Address,
    /// The route.
    Route,
    /// The value of a request header. A client can make up any number of them.
    Header(String),
    /// A value of metadata.
    Metadata(String),
}

/// The key of requests that lack a value. No header or principal has a control character.
pub(crate) const SHARED_KEY: &str = "\u{1}shared";
/// What the contract allows.
const KEY_BYTES_MAX: usize = 256;

/// The key to count by; `none` if a value is missing.
pub(crate) fn key_of(traits: &[Trait], exchange: &Exchange) -> Option<String> {
    let key = match traits {
        // Alone, the value is the key: other policies that charge the same shared bucket can name it.
        [only] => only.value(exchange)?,
        several => {
            let mut key = String::new();
            for one in several {
                let value = one.value(exchange)?;
                // With its length, no value can pass for two.
                let _always_ok = write!(key, "{}:{value}", value.len());
            }
            key
        }
    };
    if key.len() <= KEY_BYTES_MAX {
        return Some(key);
    }
    let mut short = String::from("sha256:");
    for byte in Sha256::digest(&key) {
        let _always_ok = write!(short, "{byte:02x}");
    }
    Some(short)
}

impl Trait {
    fn value(&self, exchange: &Exchange) -> Option<String> {
        let value = match self {
            Self::Principal => exchange.metadata_text("auth.principal"),
            Self::Tenant => exchange.metadata_text("auth.tenant"),
            Self::Route => exchange.property_text("route.name"),
            Self::Address => exchange.property_text("client.address").map(|address| network(&address)),
            Self::Header(name) => exchange.request_header(name).ok().flatten(),
            Self::Metadata(name) => exchange.get_metadata(name).map(|value| match value {
                Scalar::Text(text) => text,
                Scalar::Number(number) => number.to_string(),
                Scalar::Boolean(boolean) => boolean.to_string(),
            }),
        };
        value.filter(|value| !value.is_empty())
    }
}

/// An IPv4 address, or the /64 of an IPv6 one.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let network = u128::from(address) >> 64 << 64;
                format!("{}/64", Ipv6Addr::from(network))
            }
        },
        Ok(IpAddr::V4(_)) | Err(_) => address.to_owned(),
    }
}
