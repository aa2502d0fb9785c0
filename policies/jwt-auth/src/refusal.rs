//! Why a client is refused, in the words of RFC 6750 §3.

use gatewright_sdk::Reply;

/// Why a client is refused.
pub(crate) enum Refusal {
    /// There is no token.
    Missing,
    /// There is more than one.
    Ambiguous,
    /// The token is worth nothing, and this is what the client may know.
    Invalid(&'static str),
    /// This claim has no allowed value.
    Claim(String),
    /// The token lacks one of these scopes.
    Scope(String),
}

impl Refusal {
    pub(crate) fn reply(&self, scheme: &str) -> Reply {
        let scheme = if scheme.is_empty() { "Bearer" } else { scheme };
        let (status, code, message, challenge) = match self {
            Self::Missing => (401, "missing-credentials", "this request needs a token".to_owned(), scheme.to_owned()),
            Self::Ambiguous => {
                let challenge = format!("{scheme} error=\"invalid_request\"");
                (401, "ambiguous-credentials", "send one token, once".to_owned(), challenge)
            }
            Self::Invalid(because) => {
                let challenge = format!("{scheme} error=\"invalid_token\", error_description=\"{because}\"");
                (401, "invalid-token", (*because).to_owned(), challenge)
            }
            Self::Claim(claim) => {
                let message = format!("the token's claim {claim:?} does not allow this");
                (403, "claim-refused", message, format!("{scheme} error=\"insufficient_scope\""))
            }
            Self::Scope(scopes) => {
                let message = format!("the token lacks a scope of: {scopes}");
                (
                    403,
                    "insufficient-scope",
                    message,
                    format!("{scheme} error=\"insufficient_scope\", scope=\"{scopes}\""),
                )
            }
        };
        Reply::error(status, code, &message).with_header("www-authenticate", &challenge)
    }
}
