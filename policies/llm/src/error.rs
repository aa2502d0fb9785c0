//! What can go wrong at a provider: one closed vocabulary for all dialects.

/// What an upstream says has gone wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// What, in the words that all dialects share.
    pub kind: ErrorKind,
    /// For a person.
    pub message: String,
    /// Whether the gateway found it: the upstream itself did not say so.
    pub is_found: bool,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request breaks the provider's rules.
    InvalidRequest,
    /// The request does not fit into the model's context.
    ContextTooLong,
    /// The provider refuses the content.
    ContentRefused,
    /// No credential, or a wrong one.
    Authentication,
    /// The credential does not allow this.
    Permission,
    /// Credit or quota is used up.
    Quota,
    /// No such model or thing.
    NotFound,
    /// The body has too many bytes.
    TooLarge,
    /// Too many requests or tokens for now.
    RateLimited,
    /// The provider is busy.
    Overloaded,
    /// The provider took too long.
    Timeout,
    /// The provider ended its stream early.
    Truncated,
    /// The provider failed, or sent what cannot be read.
    Other,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::InvalidRequest,
        Self::ContextTooLong,
        Self::ContentRefused,
        Self::Authentication,
        Self::Permission,
        Self::Quota,
        Self::NotFound,
        Self::TooLarge,
        Self::RateLimited,
        Self::Overloaded,
        Self::Timeout,
        Self::Truncated,
        Self::Other,
    ];

    /// The word of the vocabulary, for logs, metrics and the `code` of an error.
    pub fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ContextTooLong => "context_length_exceeded",
            Self::ContentRefused => "content_refused",
            Self::Authentication => "authentication_failed",
            Self::Permission => "permission_denied",
            Self::Quota => "insufficient_quota",
            Self::NotFound => "not_found",
            Self::TooLarge => "request_too_large",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Truncated => "stream_truncated",
            Self::Other => "provider_error",
        }
    }

    /// What a status alone says.
    pub fn of_status(status: u16) -> Self {
        match status {
            400 | 422 => Self::InvalidRequest,
            401 => Self::Authentication,
            402 => Self::Quota,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            _ => Self::Other,
        }
    }

    /// The status of an answer that is this error, in dialects without a status of their own for it.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::ContextTooLong | Self::ContentRefused => 400,
            Self::Authentication => 401,
            Self::Permission => 403,
            Self::Quota | Self::RateLimited => 429,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::Overloaded => 503,
            Self::Timeout => 504,
            Self::Truncated | Self::Other => 502,
        }
    }
}

impl UpstreamError {
    /// An error that the upstream told.
    pub fn told(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), is_found: false }
    }

    /// An error that the gateway itself found.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), is_found: true }
    }

    /// The provider's stream ended before its answer did.
    pub fn truncated() -> Self {
        Self::new(ErrorKind::Truncated, "the provider ended the stream early")
    }

    /// An answer that is not of its dialect says no more than its status.
    pub fn of_status(status: u16) -> Self {
        Self::told(ErrorKind::of_status(status), format!("the provider answered with status {status}"))
    }
}
