//! What can go wrong with a request: who failed, the status and reason code for the client, the text for the log.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

/// Who made a request fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The client sent what cannot be served, or went away.
    Client,
    /// A policy trapped, ran out of time or memory, or failed.
    Policy,
    /// The upstream could not be reached or broke off.
    Upstream,
    /// The gateway refuses for its own sake.
    Gateway,
}

macro_rules! reasons {
    ($($name:ident $blame:ident $status:literal $code:literal $text:literal,)*) => {
        /// Why a request failed. The code is stable; clients, metrics and logs may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = concat!($status, ": ", $text)] $name,)*
        }

        impl Reason {
            /// Who failed.
            #[must_use]
            pub const fn blame(self) -> Blame {
                match self { $(Self::$name => Blame::$blame,)* }
            }

            /// The stable token.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the client is told. Never anything of a guest or an upstream.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status of the answer.
            #[must_use]
            pub fn status(self) -> StatusCode {
                let status = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    };
}

reasons! {
    MalformedRequest Client 400 "malformed-request" "the request is not well-formed HTTP",
    AmbiguousFraming Client 400 "ambiguous-framing" "the length of the request body can be read in two ways",
    AmbiguousHost Client 400 "ambiguous-host" "the request must name exactly one host",
    AmbiguousPath Client 400 "ambiguous-path" "the path can be read in two ways",
    ProtectedHeaderNamed Client 400 "protected-header-named" "the Connection header names a field that it may not",
    MalformedBody Client 400 "malformed-body" "the request body breaks off or breaks its framing",
    MethodNotAllowed Client 405 "method-not-allowed" "this method is not served",
    CertificateRequired Client 403 "client-certificate-required" "this address is served to clients with a certificate only",
    CertificateRefused Client 403 "client-certificate-refused" "this address is not served to the holder of this certificate",
    NoRoute Client 404 "no-route" "nothing is served at this address",
    RequestTimeout Client 408 "request-timeout" "the request did not arrive in time",
    BodyTooLarge Client 413 "body-too-large" "the request body is too large",
    UriTooLong Client 414 "uri-too-long" "the path and query are too long",
    ExpectationFailed Client 417 "expectation-failed" "the only expectation that is met is 100-continue",
    HeadersTooLarge Client 431 "headers-too-large" "the request has too many or too large header fields",
    UpgradeRefused Client 400 "upgrade-refused" "this upgrade is not served here",
    ClientGone Client 499 "client-gone" "the client closed the connection",
    PolicyTrapped Policy 500 "policy-trapped" "a policy of the gateway failed",
    PolicyDeadline Policy 500 "policy-deadline" "a policy of the gateway took too long",
    PolicyMemory Policy 500 "policy-memory" "a policy of the gateway needs more than it may use",
    PolicyQuarantined Policy 500 "policy-quarantined" "a policy of the gateway failed too often",
    PolicyFailed Policy 500 "policy-failed" "a policy of the gateway could not decide",
    PolicyEncoded Policy 500 "policy-encoded-body" "a policy of the gateway cannot read the content coding of a body",
    UpstreamUnreachable Upstream 502 "upstream-unreachable" "the service behind the gateway cannot be reached",
    UpstreamTls Upstream 502 "upstream-tls" "the service behind the gateway cannot be trusted",
    UpstreamBroken Upstream 502 "upstream-broken" "the service behind the gateway broke off",
    CredentialUnavailable Upstream 502 "credential-unavailable" "the gateway cannot make itself known to the service behind it",
    UpstreamTooLarge Upstream 502 "upstream-too-large" "the answer of the service behind the gateway is too large",
    UpstreamUnhealthy Upstream 503 "upstream-unhealthy" "no server behind the gateway is well",
    UpstreamBusy Upstream 503 "upstream-busy" "the service behind the gateway takes no more requests",
    UpstreamTimeout Upstream 504 "upstream-timeout" "the service behind the gateway did not answer in time",
    Overloaded Gateway 503 "overloaded" "the gateway is busy",
    ConcurrencyLimited Gateway 503 "concurrency-limited" "too many requests are under way here",
    RewriteFailed Gateway 500 "rewrite-failed" "the gateway cannot rewrite the path of this request",
    Draining Gateway 503 "draining" "the gateway is shutting down",
    Timeout Gateway 504 "timeout" "the request took too long",
    Internal Gateway 500 "internal" "the gateway failed",
}

impl Reason {
    /// Whether the request was such that what follows it on its connection may not be what it seems.
    #[must_use]
    pub const fn spoils_connection(self) -> bool {
        use Reason::{
            AmbiguousFraming, AmbiguousHost, AmbiguousPath, ExpectationFailed, MalformedBody, MalformedRequest,
            MethodNotAllowed, ProtectedHeaderNamed,
        };
        matches!(
            self,
            AmbiguousFraming
                | AmbiguousHost
                | AmbiguousPath
                | ExpectationFailed
                | MalformedBody
                | MalformedRequest
                | MethodNotAllowed
                | ProtectedHeaderNamed
        )
    }
}

/// A failed request.
#[derive(Debug, Clone)]
pub struct Error {
    /// Why.
    pub reason: Reason,
    /// For the log; never for the client.
    pub detail: Cow<'static, str>,
}

impl Error {
    /// An error with what the log should say of it.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: Cow::Borrowed("") }
    }
}

impl Blame {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_ref() {
            "" => formatter.write_str(self.reason.code()),
            detail => write!(formatter, "{}: {detail}", self.reason.code()),
        }
    }
}

impl std::error::Error for Error {}
