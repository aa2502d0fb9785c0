//! What of a request says that it belongs to others.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a request says that it belongs to others: requests with the same value are alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum RequestKey {
    /// The value of this header, if it has exactly one.
    Header(String),
    /// The value of this cookie; the first, if there are more.
    Cookie(String),
    /// The client's address, behind trusted proxies.
    ClientAddress,
    /// The metadata of this name, as the route's chain left it: `auth.principal`, say.
    Metadata(String),
}

impl RequestKey {
    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Header(name) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                Some(format!("{name:?} is no header name"))
            }
            // RFC 6265 §4.1.1: a token, as a header's name is.
            Self::Cookie(name) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                Some(format!("{name:?} is no name that a cookie could have"))
            }
            Self::Metadata(name) if name.is_empty() => Some("metadata needs a name".to_owned()),
            _ => None,
        }
    }
}
